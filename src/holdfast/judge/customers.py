"""The promises that customers notice: recovery, availability, latency, success."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from math import inf

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground, Judged, finding
from holdfast.measure import (
    Look,
    below,
    below_twice,
    rank_above,
    upper_bound,
    upper_bound_twice,
)
from holdfast.model import Interval, Observation, Window
from holdfast.samples import Track
from holdfast.verdict import Verdict, worst

_SOURCE = "customers' own timestamps"
_PERCENTILES = (0.5, 0.95, 0.99, 0.999)


def recovery(name: str, ground: Ground) -> Judged:
    """Held when the whole interval lies under the promise, broken when none of it does."""
    limit = _limit(name, ground)
    if ground.timeline.fault is None:
        return finding(name, ground, Verdict.UNKNOWN, "no fault took effect")
    seen = ground.recovery
    hold_s = ground.timeline.hold.seconds
    observed = Observation(
        "recovery",
        seen.seconds if seen.recovered is not False else Interval(hold_s, inf),
        "s",
        _SOURCE,
        window=ground.timeline.hold,
        samples=ground.due(ground.timeline.hold),
        why=seen.why,
        detail={
            "outages": len(seen.outages),
            "bad_requests": sum(outage.bad for outage in seen.outages),
            "residual_bad_share_excluded": seen.residual_excluded,
        },
    )
    verdict = seen.verdict(limit)
    cut_short = ground.timeline.aborted or ground.timeline.ended_early
    if verdict is Verdict.BROKEN and cut_short and not seen.late(limit):
        verdict = Verdict.UNKNOWN  # customers may have recovered in the time that was taken away
    return _trusted(finding(name, ground, verdict, seen.why, observed), ground)


def availability(name: str, ground: Ground) -> Judged:
    """Seconds of bad requests, of the journey that suffered most, from the fault to the end.

    Where customers are not served well at the end, there are more to come: held is then unknown.
    """
    limit = _limit(name, ground)
    window = Window(ground.cut_off_ns, ground.timeline.stop_ns)  # with what the fault cut off
    lost, spoiled = {}, set[int]()
    for journey in ground.journeys.values():
        if why := ground.too_few(window, journey.name):
            return finding(name, ground, Verdict.UNKNOWN, why)
        missed, lost_s = ground.lost(window, journey)
        if lost_s is None:
            why = f"no request of {journey.name} was planned from the fault to the end"
            return finding(name, ground, Verdict.UNKNOWN, why)
        lost[journey.name] = lost_s
        track = ground.samples.of_journey(journey.name)
        spoiled |= {(track.scheduled_ns[one] - window.start_ns) // SECOND for one in missed}
    seconds, still_bad = max(lost.values()), ground.still_bad()
    observed = Observation(
        "bad-seconds",
        Interval(seconds, inf) if still_bad else seconds,
        "s",
        _SOURCE,
        window=window,
        samples=ground.due(window),
        why=still_bad,
        detail={
            "by_journey": lost,
            "seconds_with_any_bad_request": len(spoiled),
            "share_of_yearly_budget_4h": seconds / 14_400,
            "share_of_yearly_budget_99_95": seconds / 15_768,
        },
    )
    why = (
        f"{seconds:.2f} s of bad requests, {seconds / 14_400:.3%} of the 4 h a year"
        f" ({seconds / 15_768:.3%} of 99.95 %); {len(spoiled)} seconds had any"
    )
    verdict = Verdict.HELD if seconds <= limit else Verdict.BROKEN
    if still_bad:
        verdict = Verdict.UNKNOWN if verdict is Verdict.HELD else verdict
        why = f"> {why}; at the end, {still_bad}"
    return _trusted(finding(name, ground, verdict, why, observed), ground)


def latency(name: str, ground: Ground) -> Judged:
    """The share slower than the promise, before, once recovered, and after: each by itself.

    However a request ended: one that failed, or was given up, after more than the promise is slow.
    What failed sooner was not slow, and is no matter of latency.
    """
    objective = ground.record.plan["objectives"][name]
    journey = ground.journeys[objective["journey"]]
    track = ground.samples.of_journey(journey.name)
    observations, verdicts, words = [], [], []
    for phase, window in ground.phases():
        took = _took(track, ground.counted(journey, window), journey.within)
        slow = _slower(took, journey.within)
        verdicts.append(below(slow, len(took), float(objective["limit"])))
        words.append(f"{phase}: {slow} of {len(took)} slower than {journey.within:g} s")
        observed = _share(f"{name}-{phase}", slow, len(took), window)
        observations.append(
            replace(observed, detail={**observed.detail, **_percentiles(took, journey.limit)})
        )
    target = journey.target
    if target is not None:
        took = _took(track, track.due(Window(0, ground.timeline.stop_ns)), target)
        words.append(f"target {target:g} s missed by {_slower(took, target)} of {len(took)} in all")
    why = "; ".join(words)
    return _trusted(finding(name, ground, worst(verdicts), why, *observations), ground)


def success(name: str, ground: Ground) -> Judged:
    """Failures of transfers at 95 % confidence, before and after: never pooled.

    Where the run had looked at a phase before it was over, over both looks.
    """
    objective = ground.record.plan["objectives"][name]
    track = ground.samples.of_journey(objective["journey"])
    observations, verdicts, words = [], [], []
    for phase, window in ground.steady():
        mine = ground.counted(ground.journeys[objective["journey"]], window)
        seen = Look(sum(track.outcome[one] != "ok" for one in mine), len(mine))
        first = _first_look(name, ground, phase)
        verdict, bound, how = _decided(seen, first, float(objective["limit"]))
        if first and (first.bad > seen.bad or first.n > _due_at_look(ground, phase, track, window)):
            verdict, how = Verdict.UNKNOWN, " (the first look counted others)"
        verdicts.append(verdict)
        words.append(f"{phase}: {seen.bad} of {seen.n} failed, at most {bound:.4%}{how}")
        observed = _share(f"{name}-{phase}", seen.bad, seen.n, window)
        detail = {"upper_bound_95": bound, "first_look": first and asdict(first)}
        observations.append(replace(observed, detail={**observed.detail, **detail}))
    why = "; ".join(words) + " at 95 % confidence"
    return _trusted(finding(name, ground, worst(verdicts), why, *observations), ground)


def _first_look(name: str, ground: Ground, phase: str) -> Look | None:
    """What the run had counted when it decided whether the phase should grow."""
    look = ground.timeline.looks.get(phase)
    counts = look["counts"].get(name) if look else None
    return Look(int(counts["failed"]), int(counts["n"])) if counts else None


def _due_at_look(ground: Ground, phase: str, track: Track, window: Window) -> int:
    """How many requests of the window were due when the run looked."""
    look_ns = int(ground.timeline.looks[phase]["mono_ns"])
    return len(track.due(replace(window, end_ns=min(window.end_ns, look_ns))))


def _decided(seen: Look, first: Look | None, limit: float) -> tuple[Verdict, float, str]:
    """The verdict, the share that is not exceeded, and what was seen at a first look."""
    bound = upper_bound(seen.bad, seen.n)
    if first is None:
        return below(seen.bad, seen.n, limit), bound, ""
    verdict = below_twice(first, seen, limit)
    if below(first.bad, first.n, limit) is Verdict.HELD:
        return verdict, bound, ""
    bound = upper_bound_twice(first, seen, limit)
    return verdict, bound, f" at the second look (first: {first.bad} of {first.n})"


def _took(track: Track, those: Iterable[int], within_s: float) -> list[float]:
    """How long those took that were good or slow, from when they were due, in ns, in order.

    Endless for what never came to a good end: it timed out, or failed after more than the promise.
    """
    took: list[float] = []
    for one in those:
        ns, outcome = track.done_ns[one] - track.scheduled_ns[one], track.outcome[one]
        if outcome == "ok":
            took.append(ns)
        elif outcome == "timeout" or ns > round(within_s * SECOND):
            took.append(inf)
    return sorted(took)


def _slower(took: Sequence[float], within_s: float) -> int:
    """How many of them took longer."""
    return len(took) - bisect_right(took, round(within_s * SECOND))


def _percentiles(took: Sequence[float], limit_s: float) -> dict[str, float | None]:
    """What each percentile does not exceed, in seconds, at 95 % confidence, by exact ranks.

    None with too few requests, or where it lies among those that came to no good end.
    """
    found: dict[str, float | None] = {}
    for share in _PERCENTILES:
        rank = rank_above(share, len(took))
        seconds = took[rank - 1] / SECOND if rank else limit_s
        found[f"p{100 * share:g}_at_most_s"] = seconds if seconds < limit_s else None
    return found


def _share(name: str, hits: int, n: int, window: Window) -> Observation:
    return Observation(
        name,
        hits / n if n else None,
        "share",
        _SOURCE,
        window=window,
        samples=n,
        why="" if n else "no request was recorded",
        detail={"upper_bound_95": upper_bound(hits, n), "count": hits},
    )


def _limit(name: str, ground: Ground) -> float:
    return float(ground.record.plan["objectives"][name]["limit"])


def _trusted(judged: Judged, ground: Ground) -> Judged:
    """Unknown when the customers' times or counts cannot be believed, whatever they say."""
    distrust = ground.distrust()
    return judged.unknown(distrust) if distrust else judged
