"""The promises that customers notice: recovery, availability, latency, success."""

from math import inf

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground, Judged, finding
from holdfast.measure import bad, below, upper_bound
from holdfast.model import Interval, Observation, Sample, Window
from holdfast.verdict import Verdict, worst

_SOURCE = "customers' own timestamps"


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
        samples=len(ground.samples(ground.timeline.hold)),
        why=seen.why,
        detail={
            "outages": len(seen.outages),
            "bad_requests": sum(outage.bad for outage in seen.outages),
            "residual_bad_share_excluded": seen.residual_excluded,
        },
    )
    verdict = seen.verdict(limit)
    if verdict is Verdict.BROKEN and (ground.timeline.aborted or ground.timeline.ended_early):
        verdict = Verdict.UNKNOWN  # the hold was cut short: customers may have recovered within it
    return _trusted(finding(name, ground, verdict, seen.why, observed), ground)


def availability(name: str, ground: Ground) -> Judged:
    """Bad requests ÷ mean rate, of the journey that suffered most, from the fault to the end."""
    limit = _limit(name, ground)
    window = Window(ground.before.end_ns, ground.timeline.stop_ns)  # with what the fault cut off
    lost = {}
    for journey in ground.journeys.values():
        if why := ground.too_few(window, journey.name):
            return finding(name, ground, Verdict.UNKNOWN, why)
        due = ground.planned(window, journey.name)
        if not due:
            why = f"no request of {journey.name} was planned from the fault to the end"
            return finding(name, ground, Verdict.UNKNOWN, why)
        missed = sum(bad(one, journey) for one in ground.samples(window, journey.name))
        lost[journey.name] = missed * window.seconds / due
    seconds = max(lost.values())
    spoiled = len({one.scheduled_ns // SECOND for one in _bad(ground, window)})
    observed = Observation(
        "bad-seconds",
        seconds,
        "s",
        _SOURCE,
        window=window,
        samples=len(ground.samples(window)),
        detail={
            "by_journey": lost,
            "seconds_with_any_bad_request": spoiled,
            "share_of_yearly_budget_4h": seconds / 14_400,
            "share_of_yearly_budget_99_95": seconds / 15_768,
        },
    )
    why = (
        f"{seconds:.2f} s of bad requests, {seconds / 14_400:.3%} of the 4 h a year"
        f" ({seconds / 15_768:.3%} of 99.95 %); {spoiled} seconds had any"
    )
    verdict = Verdict.HELD if seconds <= limit else Verdict.BROKEN
    return _trusted(finding(name, ground, verdict, why, observed), ground)


def latency(name: str, ground: Ground) -> Judged:
    """The share slower than the promise, before, once recovered, and after: each by itself."""
    objective = ground.record.plan["objectives"][name]
    journey = ground.journeys[objective["journey"]]
    observations, verdicts, words = [], [], []
    for phase, window in ground.phases():
        answered = [
            one for one in ground.samples(window, journey.name) if one.outcome in ("ok", "timeout")
        ]
        slow = sum(one.latency > journey.within for one in answered)
        verdicts.append(below(slow, len(answered), float(objective["limit"])))
        words.append(f"{phase}: {slow} of {len(answered)} slower than {journey.within:g} s")
        observations.append(_share(f"{name}-{phase}", slow, len(answered), window))
    target = journey.target
    if target is not None:
        everything = ground.samples(Window(0, ground.timeline.stop_ns), journey.name)
        missed = sum(one.latency > target for one in everything if one.outcome == "ok")
        words.append(f"target {target:g} s missed by {missed} of {len(everything)} in all")
    why = "; ".join(words)
    return _trusted(finding(name, ground, worst(verdicts), why, *observations), ground)


def success(name: str, ground: Ground) -> Judged:
    """Failures of transfers at 95 % confidence, before and after: never pooled."""
    objective = ground.record.plan["objectives"][name]
    observations, verdicts, words = [], [], []
    for phase, window in (("before", ground.before), ("after", ground.timeline.after)):
        mine = ground.samples(window, objective["journey"])
        failed = sum(one.outcome != "ok" for one in mine)
        verdicts.append(below(failed, len(mine), float(objective["limit"])))
        bound = upper_bound(failed, len(mine))
        words.append(f"{phase}: {failed} of {len(mine)} failed, at most {bound:.4%}")
        observations.append(_share(f"{name}-{phase}", failed, len(mine), window))
    why = "; ".join(words) + " at 95 % confidence"
    return _trusted(finding(name, ground, worst(verdicts), why, *observations), ground)


def _bad(ground: Ground, window: Window) -> list[Sample]:
    return [one for one in ground.samples(window) if bad(one, ground.journeys[one.journey])]


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
