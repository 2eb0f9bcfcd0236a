"""What to change on a node, given how it is now: pure, as JSON Patch operations.

No operations means that nothing is left to change, which is also how a change is read back. Only
what carries the run's mark is ever taken away.
"""

from collections.abc import Mapping
from typing import Any

from holdfast.errors import Conflict, FaultNotApplied
from holdfast.marks import ON_NODES, RUN

type Json = dict[str, Any]


def cordon(node: Json, marks: Mapping[str, str]) -> list[Json]:
    """Let no new pod onto it, and mark it in the same write.

    Raises:
        FaultNotApplied: it is cordoned, and not by this run.
    """
    annotations = _annotations(node)
    if node["spec"].get("unschedulable"):
        if marks.items() <= annotations.items():
            return []
        raise FaultNotApplied(_place(node), "somebody else cordoned it", "Plan again")
    return [
        _add("/spec/unschedulable", True),
        _add("/metadata/annotations", {**annotations, **marks}),
    ]


def uncordon(node: Json, run: str) -> list[Json]:
    """Take back a cordon of that run, and its marks.

    Raises:
        Conflict: it is cordoned, and the cordon does not carry that run's mark.
    """
    annotations, cordoned = _annotations(node), bool(node["spec"].get("unschedulable"))
    owner = annotations.get(RUN, "nobody")
    if owner == run:
        left = {k: v for k, v in annotations.items() if k not in ON_NODES}
        marks = _add("/metadata/annotations", left)
        return [marks, {"op": "remove", "path": "/spec/unschedulable"}] if cordoned else [marks]
    if cordoned:
        raise Conflict(
            _place(node),
            f"it is cordoned, and its mark names {owner} instead of this run",
            f"Ask who did it, then: kubectl uncordon {node['metadata']['name']}",
        )
    return []


def taint(node: Json, key: str, run: str) -> list[Json]:
    """Drive off every pod that does not tolerate this taint.

    Raises:
        FaultNotApplied: somebody else uses that key.
    """
    ours = {"key": key, "value": run, "effect": "NoExecute"}
    taints = node["spec"].get("taints") or []
    if ours in taints:
        return []
    if any(one["key"] == key for one in taints):
        raise FaultNotApplied(_place(node), f"somebody else set the taint {key}", "Plan again")
    return [_add("/spec/taints", [*taints, ours])]


def untaint(node: Json, key: str, run: str) -> list[Json]:
    """Take back a taint of that run.

    Raises:
        Conflict: the taint is there with another value.
    """
    taints = node["spec"].get("taints") or []
    values = {one.get("value") for one in taints if one["key"] == key}
    if values - {run}:
        raise Conflict(
            _place(node),
            f"its taint {key} does not carry this run's mark",
            f"Ask who set it, then: kubectl taint nodes {node['metadata']['name']} {key}-",
        )
    return [_add("/spec/taints", [one for one in taints if one["key"] != key])] if values else []


def _annotations(node: Json) -> dict[str, str]:
    return dict(node["metadata"].get("annotations") or {})


def _place(node: Json) -> str:
    return f"node {node['metadata']['name']}"


def _add(path: str, value: Any) -> Json:
    """In JSON Patch, `add` also replaces what is there."""
    return {"op": "add", "path": path, "value": value}
