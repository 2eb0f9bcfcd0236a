"""Outages whose begin and end are known, and how far each estimate of them lies from the truth."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean, median

from holdfast.clock import SECOND
from holdfast.measure import Recovery, recovery
from holdfast.model import Interval, Journey, Sample, Window
from tests.stories import (
    Customers,
    Service,
    dead,
    errors,
    flapping,
    frozen,
    ns,
    partly,
    slow_start,
)

RATE = 100.0  # requests a second
STABLE_S = 3.2  # at this rate: 299 requests and what chance adds
CALM_S = 1.0  # before an outage, which may then begin unannounced
WITHIN_S, LIMIT_S = 0.5, 0.8
SHARE = 1 / 3  # of requests that fail in a partial outage
FLAP_S = 0.3  # a flapping service is bad for so long, then good for so long
KINDS = ("errors", "dead", "hang", "partial", "flapping", "slow start")

JOURNEY = Journey("query", WITHIN_S, None, LIMIT_S, money=False)


@dataclass(frozen=True)
class Trial:
    """One outage: when it truly began and ended, in ns, and what customers recorded about it."""

    kind: str
    began_ns: int
    ended_ns: int
    until_ns: int
    samples: Sequence[Sample]

    @property
    def seconds(self) -> float:
        """How long it truly lasted."""
        return (self.ended_ns - self.began_ns) / SECOND

    def found(self, since_ns: int) -> Recovery:
        """What holdfast says, watching from an instant on."""
        called, hold = Window(since_ns, since_ns), Window(since_ns, self.until_ns)
        return recovery(self.samples, {JOURNEY.name: JOURNEY}, called, hold, STABLE_S)

    def recovered(self) -> Interval | None:
        """Seconds from the fault, whose instant is known, until customers were served again."""
        found = self.found(self.began_ns)
        return found.seconds if found.recovered and found.outages else None

    def lasted(self) -> Interval | None:
        """Seconds that it lasted, when nobody knows either end."""
        found = self.found(self.began_ns - round(CALM_S * SECOND))
        if not found.recovered or not found.outages:
            return None
        start, end = found.outages[0].start, found.outages[-1].end
        return Interval((end.low - start.high) / SECOND, (end.high - start.low) / SECOND)


@dataclass(frozen=True)
class Error:
    """How far estimates lay from the truth, in seconds; `unknown` trials said nothing."""

    trials: int
    unknown: int
    bias: float
    worst: float
    width: float
    widest: float
    covered: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, Interval | None]]) -> "Error":
        """From the truth and the estimate of each trial."""
        every = list(pairs)
        told = [(truth, one) for truth, one in every if one is not None and one.high < inf]
        off = [(one.low + one.high) / 2 - truth for truth, one in told] or [inf]
        widths = [one.high - one.low for _, one in told] or [inf]
        return cls(
            trials=len(every),
            unknown=len(every) - len(told),
            bias=fmean(off),
            worst=max(map(abs, off)),
            width=median(widths),
            widest=max(widths),
            covered=sum(one.low <= truth <= one.high for truth, one in told) / max(1, len(told)),
        )


def simulated(kind: str, number: int) -> Trial:
    """The same kind of outage in simulated time: 0.5 to 60 s, at a random phase."""
    chance = random.Random(f"{kind}/{number}")
    lasts = 0.5 * 120 ** chance.random()
    began = chance.random()
    service, ended = _service(kind, began, began + lasts)
    end = ended + LIMIT_S + STABLE_S + 1
    customers = Customers(
        JOURNEY, RATE, -2 * CALM_S, end + LIMIT_S, seed=number, took=(0.0005, 0.002)
    )
    return Trial(kind, ns(began), ns(ended), ns(end), customers.meet(service))


def _service(kind: str, start: float, end: float) -> tuple[Service, float]:
    """The service, and when it truly was well again."""
    plain = {"errors": errors, "dead": dead, "hang": frozen}
    if kind in plain:
        return plain[kind](start, end), end
    if kind == "partial":
        return partly(start, end, SHARE), end
    if kind == "flapping":
        times = max(1, round((end - start + FLAP_S) / (2 * FLAP_S)))
        return flapping(start, times, FLAP_S), start + (2 * times - 1) * FLAP_S
    return slow_start(start, end, WITHIN_S), end
