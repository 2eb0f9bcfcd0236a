"""The promises that the platform keeps by itself: failover, restart, money."""

from collections.abc import Iterator
from math import inf

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground, Judged, finding
from holdfast.model import Interval, Json, Observation
from holdfast.verdict import Verdict


def restart(name: str, ground: Ground) -> Judged:
    """Seconds until as many replicas were ready as before, and stayed so until the hold's end."""
    when = ground.timeline
    if when.fault is None:
        return finding(name, ground, Verdict.UNKNOWN, "no fault took effect")
    looks = list(_looks(ground))
    before = [ready for looked, _, ready in looks if looked < when.began_ns]
    during = [one for one in looks if one[0] >= when.began_ns]
    if not before or not during:
        why = "the pods were not seen before and after the fault"
        return finding(name, ground, Verdict.UNKNOWN, why)
    value, why = _restored(before[-1], during, when.began_ns)
    observed = Observation(
        "replicas-restored", value, "s", "Kubernetes, pods seen every second", samples=len(looks)
    )
    limit = float(ground.record.plan["objectives"][name]["limit"])
    if value.high <= limit:
        verdict = Verdict.HELD
    elif value.low >= limit and not (when.aborted or when.ended_early):
        verdict = Verdict.BROKEN
    else:
        verdict = Verdict.UNKNOWN
    return finding(name, ground, verdict, why, observed)


def _looks(ground: Ground) -> Iterator[tuple[int, int, int]]:
    """When each look began and ended, and how many pods that were not killed were ready."""
    when = ground.timeline
    targets: list[Json] = list(when.fault["targets"]) if when.fault else []
    killed = {str(target["uid"]) for target in targets if "uid" in target}
    # what an undo may have helped to restore was not restored by the platform
    end_ns = when.hold.end_ns if when.fault and when.fault["reversible"] else when.stop_ns
    for look in ground.record.pods:
        if "pods" not in look or int(look["mono_ns"]) > end_ns:
            continue
        after = int(look["looked_ns"]) >= when.began_ns
        ready = [pod for pod in look["pods"] if pod["ready"]]
        count = len([pod for pod in ready if not after or pod["uid"] not in killed])
        yield int(look["looked_ns"]), int(look["mono_ns"]), count


def _restored(
    wanted: int, looks: list[tuple[int, int, int]], began_ns: int
) -> tuple[Interval, str]:
    """Between which two looks the number of ready replicas came back for good."""
    short = [number for number, look in enumerate(looks) if look[2] < wanted]
    if short and short[-1] == len(looks) - 1:
        seen = (looks[-1][0] - began_ns) / SECOND
        return Interval(seen, inf), f"{looks[-1][2]} of {wanted} replicas ready after {seen:.1f} s"
    first = short[-1] + 1 if short else 0
    low = (looks[short[-1]][0] - began_ns) / SECOND if short else 0.0
    high = (looks[first][1] - began_ns) / SECOND
    return Interval(low, high), f"{wanted} replicas were ready again within {high:.1f} s"
