"""The promise that the platform keeps by itself: pods are replaced."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from math import inf

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground, Judged, finding
from holdfast.model import Interval, Json, Observation
from holdfast.verdict import Verdict

_UNSEEN_S = 10.0  # replicas that nobody looked at for so long may not have stayed ready
_STAYED_S = 0.5  # what was ready for less may be a rollout that is about to take a pod away


def restart(name: str, ground: Ground) -> Judged:
    """Seconds until as many replicas were ready as before, and stayed so until the hold's end."""
    when = ground.timeline
    if when.fault is None:
        return finding(name, ground, Verdict.UNKNOWN, "no fault took effect")
    looks = list(_looks(ground))
    value, why = restored(ground)
    if value is None:
        return finding(name, ground, Verdict.UNKNOWN, why)
    observed = Observation(
        "replicas-restored", value, "s", "Kubernetes, pods seen every second", samples=len(looks)
    )
    limit = float(ground.record.plan["objectives"][name]["limit"])
    if value.high <= limit:
        unseen_s = _unseen_s(ground, value)
        verdict = Verdict.HELD if unseen_s <= _UNSEEN_S else Verdict.UNKNOWN
        if verdict is Verdict.UNKNOWN:
            why = f"{why}, but then nobody looked for {unseen_s:.0f} s"
    elif value.low >= limit and not (when.aborted or when.ended_early):
        verdict = Verdict.BROKEN
    else:
        verdict = Verdict.UNKNOWN
    return finding(name, ground, verdict, why, observed)


def _unseen_s(ground: Ground, restored: Interval) -> float:
    """The longest time between two looks from the one that saw them restored until the end."""
    began_ns = ground.timeline.began_ns
    ends = [ended for _, ended, _ in _looks(ground) if (ended - began_ns) / SECOND >= restored.high]
    return max(b - a for a, b in pairwise([*ends, _watched_until(ground)])) / SECOND


def ready_before(ground: Ground) -> int | None:
    """The most replicas that stayed ready before the fault; None when nobody looked.

    A look that began before the fault and ended after it may have missed what the fault took.
    """
    began_ns, stay_ns = ground.timeline.began_ns, round(_STAYED_S * SECOND)
    looks = [(at, ready) for at, ended, ready in _looks(ground) if ended <= began_ns]
    return max((_stayed(looks[number:], stay_ns) for number in range(len(looks))), default=None)


def _stayed(looks: Sequence[tuple[int, int]], stay_ns: int) -> int:
    """The fewest that were ready from the first of these looks on, for so long."""
    soon = takewhile(lambda look: look[0] < looks[0][0] + stay_ns, looks)
    return min(ready for _, ready in soon)


def _looks(ground: Ground) -> Iterator[tuple[int, int, int]]:
    """When each look began and ended, and how many pods that were not killed were ready."""
    when = ground.timeline
    targets: list[Json] = list(when.fault["targets"]) if when.fault else []
    killed = {str(target["uid"]) for target in targets if "uid" in target}
    for look in ground.record.pods:
        if "pods" not in look or int(look["mono_ns"]) > _watched_until(ground):
            continue
        after = int(look["looked_ns"]) >= when.began_ns
        ready = [pod for pod in look["pods"] if pod["ready"]]
        count = len([pod for pod in ready if not after or pod["uid"] not in killed])
        yield int(look["looked_ns"]), int(look["mono_ns"]), count


def _watched_until(ground: Ground) -> int:
    """What an undo may have helped to restore was not restored by the platform."""
    when = ground.timeline
    return when.hold.end_ns if when.fault and when.fault["reversible"] else when.stop_ns


def restored(ground: Ground) -> tuple[Interval | None, str]:
    """Between which two looks the number of ready replicas came back for good, in seconds."""
    began_ns = ground.timeline.began_ns
    wanted = ready_before(ground)
    looks = [one for one in _looks(ground) if one[0] >= began_ns]
    if not wanted or not looks:
        return None, "the pods were not seen before and after the fault"
    short = [number for number, look in enumerate(looks) if look[2] < wanted]
    if short and short[-1] == len(looks) - 1:
        seen = (looks[-1][0] - began_ns) / SECOND
        return Interval(seen, inf), f"{looks[-1][2]} of {wanted} replicas ready after {seen:.1f} s"
    first = short[-1] + 1 if short else 0
    low = (looks[short[-1]][0] - began_ns) / SECOND if short else 0.0
    high = (looks[first][1] - began_ns) / SECOND
    return Interval(low, high), f"{wanted} replicas were ready again within {high:.1f} s"
