"""Outages whose begin and end are known, and how far each estimate of them lies from the truth."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite

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
    """One outage: when it truly began and ended, in ns, and what customers recorded about it.

    `calm` is what they recorded long before it, which tells how long an answer usually takes.
    """

    kind: str
    began_ns: int
    ended_ns: int
    until_ns: int
    samples: Sequence[Sample]
    calm: Sequence[Sample] = ()

    @property
    def seconds(self) -> float:
        """How long it truly lasted."""
        return (self.ended_ns - self.began_ns) / SECOND

    @cached_property
    def announced(self) -> Recovery:
        """What holdfast says when it knows the instant of the fault."""
        return self._found(self.began_ns)

    @cached_property
    def unannounced(self) -> Recovery:
        """What it says when it watches from an earlier instant on, and nobody knows either end."""
        return self._found(self.began_ns - round(CALM_S * SECOND))

    def _found(self, since_ns: int) -> Recovery:
        called, hold = Window(since_ns, since_ns), Window(since_ns, self.until_ns)
        samples = [*self.calm, *self.samples]
        return recovery(samples, {JOURNEY.name: JOURNEY}, called, hold, STABLE_S)

    def recovered(self) -> Interval | None:
        """Seconds from the fault, whose instant is known, until customers were served again."""
        found = self.announced
        return found.seconds if found.recovered and found.outages else None

    def lasted(self) -> Interval | None:
        """Seconds that it lasted, when nobody knows either end."""
        found = self.unannounced
        if not found.recovered or not found.outages:
            return None
        start, end = found.outages[0].start, found.outages[-1].end
        return Interval((end.low - start.high) / SECOND, (end.high - start.low) / SECOND)

    @property
    def edges(self) -> list[int]:
        """The instants that decide, near which customers must not have been late themselves."""
        found = [*self.announced.outages, *self.unannounced.outages]
        bounds = [
            bound for one in found for end in (one.start, one.end) for bound in (end.low, end.high)
        ]
        return [self.began_ns, self.until_ns, *(round(one) for one in bounds if isfinite(one))]

    def stood_still(self, stalls: Iterable[Window]) -> bool:
        """Did the machine, while it began or ended, as far as its estimates can tell when."""
        found = [*self.announced.outages, *self.unannounced.outages]
        ends = [end for one in found for end in (one.start, one.end)]
        return any(
            one.start_ns <= end.high and end.low <= one.end_ns for one in stalls for end in ends
        )


@dataclass(frozen=True)
class Errors:
    """How far the middles of the estimates lay from the truths, and how wide they were, in seconds.

    `unknown` trials said nothing; `covered` is the share of the others that hold the truth.
    """

    unknown: int
    off: Sequence[float]
    widths: Sequence[float]
    covered: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, Interval | None]]) -> "Errors":
        """From the truth and the estimate of each trial."""
        every = list(pairs)
        told = [(truth, one) for truth, one in every if one is not None and one.high < inf]
        return cls(
            unknown=len(every) - len(told),
            off=[(one.low + one.high) / 2 - truth for truth, one in told],
            widths=[one.high - one.low for _, one in told],
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
