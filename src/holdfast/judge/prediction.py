"""What was predicted of the replicas that went, beside what was seen: told, not judged."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from holdfast.judge.finding import Ground
from holdfast.model import Json, Observation

_SOURCE = "prediction before the run; Kubernetes, pods seen every second"


def observe(ground: Ground) -> Iterator[Observation]:
    """Replicas of the customers' service that came back during the hold, by zone, and foretold.

    Among equal places the scheduler chooses as it likes: the number says more than the places.
    """
    prediction = ground.record.plan.get("prediction")
    if prediction is None or ground.timeline.fault is None:
        return
    foretold: Counter[str] = Counter()
    for one in prediction["workloads"]:
        if one["service"]:
            foretold.update(one["placed"])
    detail: dict[str, Any] = {
        "carries": prediction["carries"],
        "why": list(prediction["why"]),
        "predicted": dict(foretold),
    }
    looks = [one for one in ground.record.pods if "pods" in one]
    before = [one for one in looks if int(one["mono_ns"]) <= ground.timeline.began_ns]
    during = [one for one in looks if ground.timeline.hold.holds(int(one["looked_ns"]))]
    if not before or not during:
        why = "the pods were not seen before and after the fault"
        yield Observation("replicas-came-back", None, "replicas", _SOURCE, why=why, detail=detail)
        return
    seen = _came(before[-1], during)
    as_many = seen.total() == foretold.total()
    detail |= {"seen": dict(seen), "as_many": as_many, "same_places": seen == foretold}
    yield Observation(
        "replicas-came-back",
        seen.total(),
        "replicas",
        _SOURCE,
        window=ground.timeline.hold,
        samples=len(during),
        why=f"predicted: {_words(foretold)}; seen: {_words(seen)}",
        detail=detail,
    )


def _words(zones: Counter[str]) -> str:
    return ", ".join(f"{many} in {zone}" for zone, many in sorted(zones.items())) or "none"


def _came(before: Json, during: list[Json]) -> Counter[str]:
    """The pods that were not there before and were ready at one look or more, by zone."""
    known = {pod["uid"] for pod in before["pods"]}
    zones = {
        pod["uid"]: pod["zone"]
        for look in during
        for pod in look["pods"]
        if pod["ready"] and pod["uid"] not in known
    }
    return Counter(zones.values())
