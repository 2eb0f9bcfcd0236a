"""Kubernetes objects as holdfast reads them, each as it was when it was listed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.cluster.client import Json

ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Pod:
    """A pod as it was when it was listed. `owner_uid` is the uid of what would replace it."""

    name: str
    namespace: str
    uid: str
    node: str
    zone: str
    ready: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    owner_uid: str = ""
    deleting: bool = False

    @property
    def serving(self) -> bool:
        """Is it ready, and not on its way out?"""
        return self.ready and not self.deleting


@dataclass(frozen=True)
class Node:
    """A node as it was when it was listed. A taint is (key, value, effect)."""

    name: str
    uid: str
    zone: str
    ready: bool
    unschedulable: bool
    taints: tuple[tuple[str, str, str], ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def read_pod(data: Json, zones: Mapping[str, str]) -> Pod:
    """A pod of a list; `zones` says which zone each node is in."""
    metadata, node = data["metadata"], data["spec"].get("nodeName", "")
    owners = metadata.get("ownerReferences", [])
    return Pod(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        node=node,
        zone=zones.get(node, ""),
        ready=_ready(data),
        labels=metadata.get("labels", {}),
        owner_uid=next((one["uid"] for one in owners if one.get("controller")), ""),
        deleting="deletionTimestamp" in metadata,
    )


def read_node(data: Json) -> Node:
    """A node of a list."""
    metadata, spec = data["metadata"], data["spec"]
    taints = spec.get("taints", [])
    return Node(
        name=metadata["name"],
        uid=metadata["uid"],
        zone=metadata.get("labels", {}).get(ZONE, ""),
        ready=_ready(data),
        unschedulable=bool(spec.get("unschedulable")),
        taints=tuple((one["key"], one.get("value", ""), one["effect"]) for one in taints),
        annotations=metadata.get("annotations", {}),
    )


def _ready(data: Any) -> bool:
    conditions = data.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
