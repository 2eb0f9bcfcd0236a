"""Do the entrance's own counters tell the same story as the customers? Every term is named."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.clock import SECOND, Anchor
from holdfast.measure.counters import (
    STALE_S,
    Series,
    bad_and_total,
    bad_over_time,
    last_rise,
    resets,
    scrapes,
)
from holdfast.measure.recovery import Recovery
from holdfast.model import Interval, Journey, Sample, Window
from holdfast.samples import Samples, Track

_NEAR = 0.05  # of a latency limit: the two clocks start at different instants of a request
_SLACK_S = 0.5  # by which the two clocks may differ, and a scrape may take
_UNHEARD = {"connect", "reset", "timeout"}  # such a request may never have reached the entrance


@dataclass(frozen=True)
class Entrance:
    """The second source: its `_count` and `_bucket` series, and how to read them.

    `codes` are the good answers of each journey; `anchor` ties its wall clock to the customers',
    whose own clocks are up to `apart_s` apart.
    """

    series: Sequence[Series]
    codes: Mapping[str, Collection[int]]
    anchor: Anchor
    apart_s: float = 0.0

    def wall_s(self, instant_ns: int) -> float:
        """A monotonic instant in Unix seconds."""
        return self.anchor.to_wall_ns(instant_ns) / SECOND


@dataclass(frozen=True)
class Agreement:
    """None when they cannot be compared. `terms` are the counts behind it, by journey and name."""

    agrees: bool | None
    why: str
    terms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def agree(
    samples: Iterable[Sample],
    entrance: Entrance,
    journeys: Mapping[str, Journey],
    window: Window,
    recovery: Recovery | None = None,
) -> Agreement:
    """Compare the counts of a window, best the whole load with its drain, and the recovery.

    Counts may differ by requests answered as the counters were read at the window's edges, by those
    that never reached the entrance, and by those within 5 % of a latency limit.
    """
    columns = Samples.of(samples)
    compared = {
        name: _Compared(columns.of_journey(name), entrance, journey, window)
        for name, journey in journeys.items()
    }
    parts = {name: one.counts() for name, one in compared.items()}
    terms = {name: part.terms for name, part in parts.items()}
    unknown = [f"{name}: {part.why}" for name, part in parts.items() if part.agrees is None]
    wrong = [f"{name}: {part.why}" for name, part in parts.items() if part.agrees is False]
    for name, part in parts.items():
        seen = recovery.each.get(name) if recovery else None
        if part.agrees and seen and (why := compared[name].contradiction(seen)):
            wrong.append(f"{name}: {why}")
    if wrong:
        return Agreement(False, "; ".join([*wrong, *unknown]), terms)
    if unknown or not journeys:
        return Agreement(None, "; ".join(unknown) or "there is nothing to compare", terms)
    return Agreement(True, "customers and entrance agree", terms)


@dataclass(frozen=True)
class _Counts:
    """One journey's numbers: do they agree, or None; why not; each term."""

    agrees: bool | None
    why: str
    terms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Compared:
    """One journey, as customers and as the entrance saw it."""

    track: Track
    entrance: Entrance
    journey: Journey
    window: Window

    def counts(self) -> _Counts:
        """Are the differences in number explained, term by term?"""
        codes = self._codes()
        wall = (
            self.entrance.wall_s(self.window.start_ns),
            self.entrance.wall_s(self.window.end_ns),
        )
        seen = bad_and_total(self.entrance.series, self.journey, codes, wall)
        if seen.bad is None or seen.total is None:
            return _Counts(None, seen.why)
        if any(resets(one, *wall) for one in self._mine()):
            return _Counts(None, "the entrance was started again in this window")
        start, end = (self._read(at) for at in wall)
        inside = self._done(start[1], end[1])
        slack_s = _SLACK_S + self.entrance.apart_s
        edge = {
            number
            for first, last in (start, end)
            for number in self._done(first - slack_s, last + slack_s)
        }
        is_bad = self.track.bad(self.journey.within)
        bads = [self.track.at(number) for number in inside if is_bad[number]]
        terms = {
            "customers": float(len(inside)),
            "customers bad": float(len(bads)),
            "entrance": seen.total,
            "entrance bad": seen.bad,
            "at the edges": float(len(edge)),
            "bad at the edges": float(sum(is_bad[number] for number in edge)),
            "perhaps never arrived": float(sum(one.outcome in _UNHEARD for one in bads)),
            "near the limit": float(sum(map(self._near_limit, map(self.track.latency, inside)))),
            "bad by their body": float(
                sum(one.outcome == "wrong" and one.code in codes for one in bads)
            ),
        }
        why = _unexplained(terms)
        return _Counts(not why, why, terms)

    def contradiction(self, seen: Recovery) -> str:
        """Why the entrance's bad requests end at another time than the customers'; or nothing."""
        if seen.hold is None or seen.seconds is None or seen.no_outage:
            return ""
        hold = seen.hold
        began_s, end_s = self.entrance.wall_s(hold.start_ns), self.entrance.wall_s(hold.end_ns)
        late = [self.track.at(one) for one in self.track.bad_due(hold, self.journey.within)]
        bads = [one for one in late if one.done_ns < hold.end_ns]
        heard = [one for one in bads if self._heard(one)]
        read = bad_over_time(
            self.entrance.series, self.journey, self._codes(), (began_s - STALE_S, end_s)
        )
        last = last_rise(read, seen.excused)
        if last is None:
            return "the entrance counted no bad request after the fault" if heard else ""
        longest = max((one.done_ns - one.sent_ns for one in bads), default=0) / SECOND
        slack_s = _SLACK_S + self.entrance.apart_s
        there = Interval(last.low - began_s - longest - slack_s, last.high - began_s + slack_s)
        low = seen.seconds.low
        if len(heard) < len(bads):
            heard_s = [(one.sent_ns - hold.start_ns) / SECOND for one in heard]
            low = min(low, max(heard_s, default=0.0))
        unread_s = self._read(end_s)[0] - slack_s  # what came later, the entrance had not told
        ends_unread = any(self.entrance.wall_s(one.done_ns) > unread_s for one in heard)
        if there.meets(Interval(low, seen.seconds.high)) or (ends_unread and not seen.recovered):
            return ""
        return (
            f"by the entrance the last bad request ended {last.low - began_s:.2f} to"
            f" {last.high - began_s:.2f} s after the fault, but {seen.why}"
        )

    def _heard(self, sample: Sample) -> bool:
        """Is this bad request surely bad for the entrance too?"""
        body = sample.outcome == "wrong" and sample.code in self._codes()
        return sample.outcome not in _UNHEARD and not body and not self._near_limit(sample.latency)

    def _codes(self) -> Collection[int]:
        return self.entrance.codes.get(self.journey.name, ())

    def _mine(self) -> list[Series]:
        return [one for one in self.entrance.series if one.has(**self.journey.entrance)]

    def _done(self, after_s: float, until_s: float) -> list[int]:
        """The positions of the requests that were done after a Unix second, up to another."""
        after_ns, until_ns = (
            self.entrance.anchor.to_mono_ns(round(at * SECOND)) for at in (after_s, until_s)
        )
        done_ns = enumerate(self.track.done_ns)
        return [number for number, at_ns in done_ns if after_ns < at_ns <= until_ns]

    def _read(self, at_s: float) -> tuple[float, float]:
        """When the counters were read whose values count for an instant: first and last target."""
        last = [
            times[index - 1]
            for times in scrapes(self._mine()).values()
            if (index := bisect_right(times, at_s))
        ]
        return (min(last), max(last)) if last else (at_s, at_s)

    def _near_limit(self, latency_s: float) -> bool:
        return abs(latency_s - self.journey.within) <= _NEAR * self.journey.within


def _unexplained(terms: Mapping[str, float]) -> str:
    """What the terms leave over; empty when they explain both differences."""
    missing = terms["customers"] - terms["entrance"]
    if missing > terms["perhaps never arrived"] + terms["at the edges"]:
        return f"the entrance counted {missing:.0f} requests fewer than customers sent"
    if -missing > terms["at the edges"]:
        return f"the entrance counted {-missing:.0f} requests that customers did not send"
    unheard = min(terms["perhaps never arrived"], max(0.0, missing) + terms["at the edges"])
    either = terms["near the limit"] + terms["bad at the edges"]
    more = terms["customers bad"] - terms["entrance bad"]
    if more > unheard + terms["bad by their body"] + either or -more > either:
        return (
            f"{terms['customers bad']:.0f} bad requests by customers,"
            f" {terms['entrance bad']:.0f} by the entrance; explained are"
            f" {unheard:.0f} that never arrived,"
            f" {terms['near the limit']:.0f} near the limit, {terms['bad at the edges']:.0f} at the"
            f" edges, {terms['bad by their body']:.0f} by their body"
        )
    return ""
