"""Customers, counters and ledgers whose truth is known, in three lines each.

Seconds count from `ORIGIN`; the fault begins at second 0.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.clock import SECOND, Anchor
from holdfast.measure import Series
from holdfast.model import Journey, Sample, Window

ORIGIN = 5_000 * SECOND
WALL = 1_700_000_000.0  # the Unix second of ORIGIN
ANCHOR = Anchor(ORIGIN, round(WALL) * SECOND)

PIX = Journey("pix", 5.0, 2.0, 10.0, money=True, entrance={"route": "POST /transfers/pix"})
BALANCE = Journey(
    "balance", 2.0, None, 10.0, money=False, entrance={"route": "GET /accounts/:id/balance"}
)


def ns(seconds: float) -> int:
    """The monotonic instant of a second of the story."""
    return ORIGIN + round(seconds * SECOND)


def span(start: float, end: float) -> Window:
    """From one second of the story to another."""
    return Window(ns(start), ns(end))


@dataclass(frozen=True)
class Fate:
    """What becomes of a request: when it is done, its outcome and its code."""

    done: float
    outcome: str = "ok"
    code: int = 200


JUST_S = 0.02  # over a promise at the end of a slow start, and under it from then on

type Service = Callable[[float, float, random.Random], Fate]  # sent, usual duration, chance


def well(sent: float, took: float, _: random.Random) -> Fate:
    """A service that nothing befalls."""
    return Fate(sent + took)


def errors(start: float, end: float) -> Service:
    """It answers 503 at once; what was under way is reset."""
    return _broken(start, end, lambda sent: Fate(sent + 0.001, "wrong", 503))


def dead(start: float, end: float) -> Service:
    """It refuses connections; what was under way is reset."""
    return _broken(start, end, lambda sent: Fate(sent + 0.0005, "connect", 0))


def _broken(start: float, end: float, fate: Callable[[float], Fate]) -> Service:
    def service(sent: float, took: float, _: random.Random) -> Fate:
        if sent < start < sent + took:
            return Fate(start, "reset", 0)
        return fate(sent) if start <= sent < end else Fate(sent + took)

    return service


def frozen(start: float, end: float) -> Service:
    """It answers nothing, and everything once it thaws."""

    def service(sent: float, took: float, _: random.Random) -> Fate:
        return Fate(end + took if sent + took > start and sent < end else sent + took)

    return service


def partly(start: float, end: float, share: float) -> Service:
    """A share of its answers is 503."""

    def service(sent: float, took: float, chance: random.Random) -> Fate:
        if start <= sent < end and chance.random() < share:
            return Fate(sent + 0.001, "wrong", 503)
        return Fate(sent + took)

    return service


def flapping(start: float, times: int, turn_s: float) -> Service:
    """Bad and good by turns, each for so long; bad so many times."""

    def service(sent: float, took: float, _: random.Random) -> Fate:
        turn, into = divmod(sent - start, 2 * turn_s)
        is_bad = 0 <= turn < times and into < turn_s
        return Fate(sent + 0.001, "wrong", 503) if is_bad else Fate(sent + took)

    return service


def slow_start(start: float, end: float, within: float) -> Service:
    """Dead for the first half; then slow, ever less, and from the end on just within a promise."""
    middle = (start + end) / 2
    steep = (2 * within - JUST_S) / (end - middle)
    stopped = dead(start, middle)

    def service(sent: float, took: float, chance: random.Random) -> Fate:
        if sent < middle:
            return stopped(sent, took, chance)
        sunk = steep * (sent - middle) + (2 * JUST_S if sent >= end else 0)
        return Fate(sent + max(took, 3 * within - sunk))

    return service


def one_after_another(*services: Service) -> Service:
    """The first of the services that does anything but serve well."""

    def service(sent: float, took: float, chance: random.Random) -> Fate:
        fates = [one(sent, took, chance) for one in services]
        return next((fate for fate in fates if fate != Fate(sent + took)), fates[0])

    return service


@dataclass(frozen=True)
class Customers:
    """Who sends what: `rate` requests a second of one journey, from second to second."""

    journey: Journey = PIX
    rate: float = 100.0
    start: float = -5.0
    end: float = 20.0
    seed: int = 1
    took: tuple[float, float] = (0.004, 0.030)  # seconds until a good answer

    def meet(self, service: Service) -> list[Sample]:
        """Their record of that service."""
        chance = random.Random(f"{self.seed}/{self.journey.name}")
        first = self.start + chance.random() / self.rate
        number = round((self.end - self.start) * self.rate)
        return [self._one(first + k / self.rate, service, chance) for k in range(number)]

    def _one(self, due: float, service: Service, chance: random.Random) -> Sample:
        sent = due + chance.uniform(0, 0.0002)
        fate = service(sent, chance.uniform(*self.took), chance)
        if fate.done > due + self.journey.limit:
            fate = Fate(due + self.journey.limit, "timeout", 0)
        name = self.journey.name
        return Sample(name, ns(due), ns(sent), ns(fate.done), fate.outcome, fate.code)


def counter(
    labels: Mapping[str, str], value: Callable[[float], float], at: Iterable[float]
) -> Series:
    """A series of which each second of the story has its value."""
    return Series(dict(labels), tuple((WALL + one, value(one)) for one in at))


def entrance(
    samples: Sequence[Sample], journeys: Sequence[Journey], start: float, end: float
) -> list[Series]:
    """What the entrance counted of the samples that reached it, scraped each second."""
    by_name = {one.name: one for one in journeys}
    times = [start + 0.37 + k for k in range(int(end - start))]
    found: list[Series] = []
    arrived = [one for one in samples if one.outcome not in ("connect", "reset")]
    for name, code in sorted({(one.journey, _code(one)) for one in arrived}):
        mine = [one for one in arrived if (one.journey, _code(one)) == (name, code)]
        labels = {**by_name[name].entrance, "code": code, "job": "edge", "instance": "edge:9090"}
        for limit in ("", "1", "2", "5", "+Inf"):
            top = float(limit or "inf")
            done = sorted(
                _s(one.done_ns) for one in mine if _s(one.done_ns - one.sent_ns + ORIGIN) <= top
            )
            with_limit = {**labels, "le": limit} if limit else labels
            # a code's series exist from its first request on
            birth = min(_s(one.done_ns) for one in mine) if code != "200" else start
            found.append(_counted(with_limit, done, [at for at in times if at >= birth]))
    return found


def _counted(labels: Mapping[str, str], done: Sequence[float], times: Sequence[float]) -> Series:
    return counter(labels, lambda at: float(sum(one <= at for one in done)), times)


def _code(sample: Sample) -> str:
    return "499" if sample.outcome == "timeout" else str(sample.code)


def _s(instant_ns: int) -> float:
    return (instant_ns - ORIGIN) / SECOND


def answer(*series: Series) -> dict[str, Any]:
    """The series as Prometheus answers a query with a range selector."""
    return {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [
                {
                    "metric": dict(one.labels),
                    "values": [[at, f"{value:g}"] for at, value in one.points],
                }
                for one in series
            ],
        },
    }


def transfer(number: int, **changes: Any) -> dict[str, Any]:
    """A settled transfer of 10.00 with a fee of 0.10, as the ledger tells it."""
    row = {
        "id": f"id-{number}",
        "end_to_end_id": f"E{number:031}",
        "rail": "pix",
        "account": "acc-0001",
        "amount_cents": 1000,
        "fee_cents": 10,
        "state": "settled",
    }
    row["postings"] = postings(("acc-0001", -1010), ("settlement:pix", 1000), ("fees", 10))
    return row | changes


def postings(*pairs: tuple[str, int]) -> list[dict[str, Any]]:
    """Postings by account and cents."""
    return [{"account": account, "amount_cents": cents} for account, cents in pairs]


def settlement(number: int, cents: int = 1000) -> dict[str, Any]:
    """The bank's record of that transfer."""
    return {
        "end_to_end_id": f"E{number:031}",
        "gateway": "pix-primary",
        "amount_cents": cents,
        "settled_at": WALL + number / 100,
    }


def told(number: int, outcome: str = "ok", code: int = 201) -> Sample:
    """The customer's record of that transfer."""
    at = ns(number / 100)
    return Sample("pix", at, at, at + SECOND // 50, outcome, code, f"id-{number}", "acc-0001", 1000)
