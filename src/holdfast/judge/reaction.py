"""How the platform reacted, whatever was promised: detected, mitigated, recovered, and the cost.

Told, not judged. Each is measured from the start of the injecting call.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground
from holdfast.judge.platform import restored
from holdfast.measure import Breakers, Series, bad_over_time, last_rise, opened
from holdfast.measure.counters import spacing
from holdfast.model import Interval, Observation, Window

_SOURCE = "customers' own timestamps"
_YEAR_S = {"share_of_yearly_budget_4h": 14_400, "share_of_yearly_budget_99_95": 15_768}


def observe(ground: Ground) -> Iterator[Observation]:
    """Time to detect, to mitigate, to recover; the impact; each journey and each zone."""
    if ground.timeline.fault is None:
        return
    yield _detected(ground)
    seen = ground.recovery
    yield Observation("time-to-mitigate", seen.seconds, "s", _SOURCE, why=seen.why)
    yield _recovered(ground)
    yield _impact(ground)
    for name, one in seen.each.items():
        kinds = [outage.kind for outage in one.outages]
        detail = {"outages": kinds, "flapping": one.flapping}
        yield Observation(
            f"recovery-of-{name}", one.seconds, "s", _SOURCE, why=one.why, detail=detail
        )
    yield from _zones(ground)


def _detected(ground: Ground) -> Observation:
    """The first that anything of the platform noticed."""
    name, alert, silent = _alert_fired(ground)
    found = {
        "breaker open": _breaker_open(ground),
        "endpoint removed": _endpoint_removed(ground),
        "alert fired": alert,
    }
    first = _earliest([one for one in found.values() if one])
    nobody = "no breaker opened, no pod that was hit was seen to leave, and "
    why = f"first alert: {name}" if name else silent if first else nobody + silent
    source = "wallet's breakers, Kubernetes, alerts"
    detail = {**found, "alert": name or None}
    return Observation("time-to-detect", first, "s", source, why=why, detail=detail)


def _alert_fired(ground: Ground) -> tuple[str, Interval | None, str]:
    """The first alert that began to fire after the fault: its name, and when; or why there is none.

    Between the evaluation of its rule before, and the one that found it firing. One that fired
    before the fault, too, has not detected it.
    """
    when, every = ground.timeline, ground.counts.series("alerts")
    if every is None:
        return "", None, "the alerts were not collected"
    began_s, end_s = when.wall_s(when.began_ns), when.wall_s(when.stop_ns)
    if any(one.unusable for one in every):
        return "", None, "the alerts' samples are not all numbers"
    named: dict[str, list[Series]] = {}
    for one in every:
        named.setdefault(one.labels.get("alertname", ""), []).append(one)
    fired = {
        name: _earliest([_after(one, began_s) for one in same])
        for name, same in named.items()
        if all(began_s < one.times[0] <= end_s for one in same if one.times)
    }
    begun = [(one.high, name, one) for name, one in fired.items() if one]
    if not begun:
        return "", None, "no alert began to fire"
    _, name, first = min(begun, key=lambda one: one[:2])
    return name, first, ""


def _after(alert: Series, began_s: float) -> Interval:
    """Seconds from the fault until it fired, from one evaluation of its rule to the next."""
    every_s = spacing(alert)  # with one sample, nobody knows how long before it was looked at
    first = alert.times[0] - began_s
    return Interval(max(0.0, first - every_s) if every_s else 0.0, first)


def _earliest(those: Sequence[Interval]) -> Interval | None:
    """When the first of several came."""
    if not those:
        return None
    return Interval(min(one.low for one in those), min(one.high for one in those))


def _breaker_open(ground: Ground) -> Interval | None:
    """When the first breaker of any gateway opened."""
    when, state = ground.timeline, ground.counts.series("breaker_state")
    if state is None:
        return None
    breakers = Breakers(state, ground.counts.series("breaker_entered") or [])
    start_s, end_s = when.wall_s(when.began_ns), when.wall_s(when.hold.end_ns)
    pairs = {(one.labels.get("gateway", ""), one.labels.get("pod", "")) for one in state}
    changes = [opened(breakers, gateway, [pod], start_s, end_s)[0] for gateway, pod in pairs]
    times = [one.seconds for one in changes if one.seconds]
    return _earliest(times)


def _endpoint_removed(ground: Ground) -> Interval | None:
    """Between which two looks the first pod that was hit was gone, or not ready."""
    when = ground.timeline
    assert when.fault is not None
    hit = {str(one["uid"]) for one in when.fault["targets"] if "pod" in one}
    looks = [one for one in ground.record.pods if "pods" in one]
    for before, after in pairwise(looks):
        ready = [
            {pod["uid"] for pod in one["pods"] if pod["ready"]} & hit for one in (before, after)
        ]
        if int(after["mono_ns"]) >= when.began_ns and ready[0] - ready[1]:
            ends = int(before["looked_ns"]), int(after["mono_ns"])
            low, high = ((end - when.began_ns) / SECOND for end in ends)
            return Interval(max(0.0, low), high)
    return None


def _recovered(ground: Ground) -> Observation:
    """Customers are served again, and as many replicas are ready as before."""
    customers, (pods, why) = ground.recovery.seconds, restored(ground)
    detail = {"customers": customers, "replicas": pods}
    both = None
    if customers and pods:
        both = Interval(max(customers.low, pods.low), max(customers.high, pods.high))
    words = "" if both else f"{ground.recovery.why}; {why}"
    source = f"{_SOURCE}, Kubernetes"
    return Observation("time-to-recover", both, "s", source, why=words, detail=detail)


def _impact(ground: Ground) -> Observation:
    """Bad requests from the fault to the end, as requests, as seconds, and of the yearly budget."""
    window = Window(ground.cut_off_ns, ground.timeline.stop_ns)
    lost, spoiled, seconds = {}, set[int](), 0.0
    for name, journey in ground.journeys.items():
        track = ground.samples.of_journey(name)
        missed, lost_s = ground.lost(window, journey)
        lost[name], seconds = len(missed), max(seconds, lost_s or 0.0)
        spoiled |= {(track.scheduled_ns[one] - window.start_ns) // SECOND for one in missed}
    detail = {
        "by_journey": lost,
        "seconds_at_its_rate": seconds,
        "seconds_with_any_bad_request": len(spoiled),
        **{name: seconds / budget for name, budget in _YEAR_S.items()},
    }
    number, due = sum(lost.values()), ground.due(window)
    return Observation("impact", number, "bad requests", _SOURCE, window, due, detail=detail)


def _zones(ground: Ground) -> Iterator[Observation]:
    """When the entrance last counted a bad request of each zone, between two of its scrapes.

    Only what an upstream answered has a zone: a request that none would take counts for none.
    """
    when = ground.timeline
    counted, timed = (ground.counts.series(f"entrance_{part}") for part in ("count", "bucket"))
    every = [*(counted or []), *(timed or [])]
    start_s, end_s = when.wall_s(when.began_ns), when.wall_s(when.hold.end_ns)
    for zone in sorted({one.labels["zone"] for one in every if one.labels.get("zone")}):
        mine = [one for one in every if one.has(zone=zone)]
        ends: dict[str, Interval] = {}
        for name, journey in ground.journeys.items():
            read = bad_over_time(mine, journey, ground.good_codes(name), (start_s, end_s))
            if last := last_rise(read):
                ends[name] = Interval(max(0.0, last.low - start_s), last.high - start_s)
        value = _latest(ends)
        yield Observation(
            f"last-bad-in-{zone}",
            value,
            "s",
            "the entrance's counters",
            why="" if value else "no bad request was counted in this zone during the hold",
            detail=dict(ends),
        )


def _latest(ends: dict[str, Interval]) -> Interval | None:
    if not ends:
        return None
    high = max(one.high for one in ends.values())
    return Interval(max(one.low for one in ends.values()), min(inf, high))
