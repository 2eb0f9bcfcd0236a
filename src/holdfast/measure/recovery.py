"""When customers were served again, from their own timestamps: an interval, never a point."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from holdfast.clock import SECOND
from holdfast.measure.outages import LEAST, Outage, Request, Stretch, percentile_999, requests
from holdfast.measure.ratio import upper_bound
from holdfast.model import Interval, Journey, Sample, Window
from holdfast.samples import Samples, Track
from holdfast.verdict import Verdict

_WRITTEN_S = 0.5  # a settled request is in the file of samples after this time


@dataclass(frozen=True)
class Recovery:
    """Whether and when customers recovered, in seconds from the fault taking effect.

    `recovered` is None when it cannot be known, and `seconds` then too, though not before `least`;
    when it is False, `seconds` is infinite at its upper end. Without an outage, `seconds` ends at
    the longest one that would have left no trace. `lasted` is the window that proves it,
    `residual_excluded` the share of bad requests that it excludes at 95 %, `excused` the bad
    requests that are no outage, `undecided` those that had no answer, and needed none yet, when
    the hold ended.
    """

    recovered: bool | None
    seconds: Interval | None
    why: str
    outages: tuple[Outage, ...] = ()
    lasted: Window | None = None
    residual_excluded: float | None = None
    no_outage: bool = False
    excused: int = 0
    undecided: int = 0
    least: float = 0.0
    hold: Window | None = None
    each: Mapping[str, "Recovery"] = field(default_factory=dict)

    @property
    def flapping(self) -> bool:
        """Were customers served for a while, and then not again?"""
        several = any(
            a.journey == b.journey
            for number, a in enumerate(self.outages)
            for b in self.outages[number + 1 :]
        )
        return several or any(one.kind == "flapping" for one in self.outages)

    def late(self, limit_s: float) -> bool:
        """Were customers of a journey surely still not served well at the limit?"""
        return any(_low(one) >= limit_s for one in (self, *self.each.values()))

    def verdict(self, limit_s: float) -> Verdict:
        """Held when surely sooner than the limit, broken when surely not, or not at all."""
        if self.recovered is False or self.late(limit_s):
            return Verdict.BROKEN
        if self.recovered is None or self.seconds is None or not self.seconds.high < limit_s:
            return Verdict.UNKNOWN
        return Verdict.HELD


def _low(one: Recovery) -> float:
    return one.seconds.low if one.seconds else one.least


def bad(sample: Sample, journey: Journey) -> bool:
    """Good is an answer that succeeded within the journey's promise."""
    return sample.outcome != "ok" or sample.latency > journey.within


def recovery(
    samples: Iterable[Sample],
    journeys: Mapping[str, Journey],
    fault: Window,
    hold: Window,
    stable_s: float,
) -> Recovery:
    """From the fault taking effect to the first good request of a stretch that lasts.

    `fault` is the call that injected; `hold` runs from its start to the undo, or to the end of the
    wait. Every journey has to be well. Requests due before the fault are not its own; those that
    the undo may have helped to an answer prove nothing.
    """
    return _recovery(_Asked(journeys, fault, hold, round(stable_s * SECOND), hold.end_ns), samples)


def first_lasting_window(
    samples: Iterable[Sample],
    journeys: Mapping[str, Journey],
    after_ns: int,
    stable_s: float,
    now_ns: int,
) -> Window | None:
    """The first window of the stretch that has lasted until now, as far as answers can be known.

    A request is known `limit` after it was due; None while customers are not well.
    """
    longest = max((one.limit for one in journeys.values()), default=0.0)
    known_ns = now_ns - round((longest + _WRITTEN_S) * SECOND)
    if known_ns <= after_ns:
        return None
    called, seen = Window(after_ns, after_ns), Window(after_ns, known_ns)
    asked = _Asked(journeys, called, seen, round(stable_s * SECOND), now_ns)
    return _recovery(asked, samples).lasted


@dataclass(frozen=True)
class _Asked:
    """What is asked of the samples; answers that came after `decided_ns` prove nothing."""

    journeys: Mapping[str, Journey]
    fault: Window
    hold: Window
    stable: int
    decided_ns: int

    def undecided(self, one: Request, journey: str) -> bool:
        """Had it no answer, and needed none yet?"""
        within = round(self.journeys[journey].within * SECOND)
        return one.done > self.decided_ns < one.scheduled + within


def _recovery(asked: _Asked, samples: Iterable[Sample]) -> Recovery:
    if not asked.journeys:
        return _unknown("no journey was asked for")
    hold, columns = asked.hold, Samples.of(samples)
    tracks = {name: columns.of_journey(name) for name in asked.journeys}
    mine = {name: requests(tracks[name], one, hold) for name, one in asked.journeys.items()}
    undecided = {
        name: [one for one in same if asked.undecided(one, name)] for name, same in mine.items()
    }
    until = min([hold.end_ns, *(one.scheduled for same in undecided.values() for one in same)])
    each = {}
    for name, same in mine.items():
        open_then = set(undecided[name])
        stretch = Stretch(
            name,
            hold.start_ns,
            until,
            asked.stable,
            _calm(tracks[name], hold.start_ns, asked.journeys[name]),
            tuple(one for one in same if one not in open_then) if open_then else tuple(same),
        )
        each[name] = replace(_of(stretch, asked, undecided[name]), hold=hold)
    return replace(_combined(each), hold=hold)


def _calm(track: Track, until_ns: int, journey: Journey) -> int:
    """How long a good request took at most before this instant (its 99.9th percentile), in ns."""
    before = slice(0, track.due(Window(until_ns, until_ns)).start)
    rows = zip(
        track.sent_ns[before], track.done_ns[before], track.bad(journey.within)[before], strict=True
    )
    return percentile_999([done_ns - sent_ns for sent_ns, done_ns, bad in rows if not bad])


def _of(stretch: Stretch, asked: _Asked, undecided: list[Request]) -> Recovery:
    """One journey by itself."""
    name, hold, outages = stretch.journey, asked.hold, tuple(stretch.outages)
    last_due = max([*stretch.times[-1:], *(one.scheduled for one in undecided)], default=0)
    if hold.end_ns - last_due > stretch.usual or stretch.until - hold.start_ns < stretch.stable:
        why = f"{name}: too little was sent by the end of the hold, or it was shorter than a window"
        return _unknown(why, outages, asked)
    good = stretch.resumed()
    if good is None or good.scheduled + stretch.stable > stretch.until:
        decided = good is None or good.scheduled + stretch.stable > hold.end_ns
        if not outages or not decided:
            why = f"{name}: answers were still due when the hold ended"
            return _unknown(why, outages, asked)
        return _not_recovered(stretch, asked)
    if doubt := _doubt(stretch, asked, undecided, good):
        return _unknown(f"{name}: {doubt}", outages, asked)
    return _recovered(stretch, asked, good, len(undecided))


def _doubt(stretch: Stretch, asked: _Asked, undecided: list[Request], good: Request) -> str:
    """Why a stretch without outages does not show that customers were served; or nothing."""
    fewest = stretch.fewest(good.scheduled)
    if fewest < LEAST:
        return f"{fewest} requests in a window of {_s(stretch.stable)}, {LEAST} are needed"
    late = _overdue(stretch, asked, undecided)
    return f"{late} requests were overdue when the hold ended" if late else ""


def _overdue(stretch: Stretch, asked: _Asked, undecided: list[Request]) -> int:
    """Requests that had waited far longer than usual at the end; one straggler is no sign."""
    lately = [one for one in stretch.goods if one.scheduled >= stretch.until - stretch.stable]
    calm = max(stretch.calm, percentile_999([one.done - one.sent for one in lately]))
    since = asked.decided_ns - max(SECOND, 2 * calm)
    late = sum(one.scheduled < since for one in undecided)
    return late if late > max(1, len(lately) // 1000) else 0


def _recovered(stretch: Stretch, asked: _Asked, good: Request, undecided: int) -> Recovery:
    began, returned = asked.fault.start_ns, asked.fault.end_ns
    lasted = Window(good.scheduled, good.scheduled + stretch.stable)
    inside = sum(lasted.holds(one.scheduled) for one in stretch.bads)
    share = upper_bound(inside, stretch.count(lasted.start_ns, lasted.end_ns))
    outages = tuple(stretch.outages)
    no_outage = not outages and not stretch.blind
    if no_outage:
        seconds = Interval(0.0, stretch.unseen / SECOND)
    elif outages:
        end = outages[-1].end
        seconds = Interval(_least(outages, returned), (max(end.high, good.done) - began) / SECOND)
    else:
        seconds = Interval(0.0, (good.done - began) / SECOND)
    return Recovery(
        recovered=True,
        seconds=seconds,
        why=_sentence(seconds, no_outage, len(outages)),
        outages=outages,
        lasted=lasted,
        residual_excluded=share,
        no_outage=no_outage,
        excused=len(stretch.bads) - len(stretch.faulty),
        undecided=undecided,
    )


def _not_recovered(stretch: Stretch, asked: _Asked) -> Recovery:
    last = _least(stretch.outages, asked.fault.end_ns)
    why = (
        f"{stretch.journey}: not served well for {_s(stretch.stable)} when the hold ended;"
        f" still bad {last:.2f} s after the fault"
    )
    return Recovery(
        recovered=False,
        seconds=Interval(last, inf),
        why=why,
        outages=tuple(stretch.outages),
        excused=len(stretch.bads) - len(stretch.faulty),
    )


def _combined(each: Mapping[str, Recovery]) -> Recovery:
    """All journeys together: the last one to recover decides."""
    parts = list(each.values())
    outages = tuple(sorted((o for one in parts for o in one.outages), key=lambda o: o.start.low))
    failed = [one for one in parts if one.recovered is False]
    unknown = [one for one in parts if one.recovered is None]
    low = max(_low(one) for one in parts)
    all_of_them = Recovery(
        None,
        None,
        "; ".join(one.why for one in failed or unknown),
        outages,
        excused=sum(one.excused for one in parts),
        undecided=sum(one.undecided for one in parts),
        least=low,
        each=each,
    )
    if failed:
        return replace(all_of_them, recovered=False, seconds=Interval(low, inf))
    if unknown:
        return all_of_them
    no_outage = all(one.no_outage for one in parts)
    touched = [one.seconds for one in parts if one.seconds and (no_outage or not one.no_outage)]
    seconds = Interval(low, max(one.high for one in touched))
    return replace(
        all_of_them,
        recovered=True,
        seconds=seconds,
        why=_sentence(seconds, no_outage, max(len(one.outages) for one in parts)),
        lasted=max((one.lasted for one in parts if one.lasted), key=lambda one: one.start_ns),
        residual_excluded=max(one.residual_excluded or 0.0 for one in parts),
        no_outage=no_outage,
    )


def _sentence(seconds: Interval, no_outage: bool, outages: int) -> str:
    if no_outage:
        return f"no outage seen, longer than {seconds.high:.3f} s excluded"
    several = f", after {outages} outages" if outages > 1 else ""
    return f"customers recovered {seconds.low:.2f} to {seconds.high:.2f} s after the fault{several}"


def _unknown(why: str, outages: tuple[Outage, ...] = (), asked: _Asked | None = None) -> Recovery:
    """Not known when; not before the end of the last outage that was seen."""
    least = _least(outages, asked.fault.end_ns) if outages and asked else 0.0
    still = f"; still bad {least:.2f} s after the fault" if least else ""
    return Recovery(None, None, why + still, outages, least=least)


def _least(outages: Sequence[Outage], returned_ns: int) -> float:
    """Seconds from the fault until the last outage ended, at least."""
    return max(0.0, outages[-1].end.low - returned_ns) / SECOND


def _s(ns: int) -> str:
    return f"{ns / SECOND:g} s"
