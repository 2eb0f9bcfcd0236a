"""Kubernetes objects as holdfast reads them, each as it was when it was listed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from holdfast.cluster import scheduling
from holdfast.cluster.client import Json
from holdfast.cluster.scheduling import Spread

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
    owner: tuple[str, str] = ("", "")  # kind and name
    asks: Mapping[str, float] = field(default_factory=dict)  # cores and bytes
    spread: tuple[Spread, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Json, ...] = ()
    unmodelled: tuple[str, ...] = ()
    finished: bool = False
    version: int = 0  # grows with each of its changes; 0 when it is not known

    @property
    def serving(self) -> bool:
        """Is it ready, and not on its way out?"""
        return self.ready and not self.deleting

    def tolerates(self, key: str, effect: str, value: str) -> bool:
        """Would a taint let it come?"""
        return any(scheduling.tolerated(one, (key, value, effect)) for one in self.tolerations)

    def stays(self, key: str) -> bool:
        """Would a NoExecute taint of this key, whatever its value, let it stay for good?"""
        return any(
            one.get("operator") == "Exists"
            and one.get("tolerationSeconds") is None
            and scheduling.tolerated(one, (key, "", "NoExecute"))
            for one in self.tolerations
        )


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
    labels: Mapping[str, str] = field(default_factory=dict)
    room: Mapping[str, float] = field(default_factory=dict)  # cores, bytes, number of pods


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet: its labels, and which pods are its own."""

    kind: str
    name: str
    namespace: str
    labels: Mapping[str, str]
    selector: Json

    def owns(self, pod: Pod) -> bool:
        """Is the pod one of its own, by its selector?"""
        mine = scheduling.matches(self.selector, pod.labels)
        return pod.namespace == self.namespace and mine


@dataclass(frozen=True)
class Budget:
    """A PodDisruptionBudget: how many more of its pods may go now; None when it does not know."""

    name: str
    namespace: str
    selector: Json | None
    allowed: int | None

    def covers(self, pod: Pod) -> bool:
        """Is the pod one that it protects?"""
        return pod.namespace == self.namespace and scheduling.matches(self.selector, pod.labels)


def pods_path(namespace: str | None) -> str:
    """Where the pods of a namespace are, or (None) those of all."""
    place = f"namespaces/{quote(namespace, safe='')}/" if namespace is not None else ""
    return f"/api/v1/{place}pods"


def pod_path(pod: Pod) -> str:
    """Where a pod is."""
    return f"{pods_path(pod.namespace)}/{quote(pod.name, safe='')}"


def read_pod(data: Json, zones: Mapping[str, str]) -> Pod:
    """A pod of a list; `zones` says which zone each node is in."""
    metadata, node = data["metadata"], data["spec"].get("nodeName", "")
    owner: Json = next(
        (it for it in metadata.get("ownerReferences", []) if it.get("controller")), {}
    )
    spec = data["spec"]
    return Pod(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        node=node,
        zone=zones.get(node, ""),
        ready=is_ready(data),
        labels=metadata.get("labels", {}),
        owner_uid=owner.get("uid", ""),
        deleting="deletionTimestamp" in metadata,
        owner=(owner.get("kind", ""), owner.get("name", "")),
        asks=scheduling.asks(spec),
        spread=scheduling.spreads(metadata, spec),
        node_selector=spec.get("nodeSelector") or {},
        tolerations=tuple(spec.get("tolerations") or ()),
        unmodelled=scheduling.unmodelled(spec),
        finished=data["status"].get("phase") in ("Succeeded", "Failed"),
        version=read_version(metadata),
    )


def read_version(metadata: Mapping[str, Any]) -> int:
    """The version of an object or of a list; they count the changes of one cluster."""
    version = str(metadata.get("resourceVersion", ""))
    return int(version) if version.isascii() and version.isdecimal() else 0


def read_node(data: Json) -> Node:
    """A node of a list."""
    metadata, spec = data["metadata"], data["spec"]
    taints = spec.get("taints", [])
    return Node(
        name=metadata["name"],
        uid=metadata["uid"],
        zone=metadata.get("labels", {}).get(ZONE, ""),
        ready=is_ready(data),
        unschedulable=bool(spec.get("unschedulable")),
        taints=tuple((one["key"], one.get("value", ""), one["effect"]) for one in taints),
        annotations=metadata.get("annotations", {}),
        labels=metadata.get("labels", {}),
        room=scheduling.room(data.get("status", {})),
    )


def read_workload(kind: str, data: Json) -> Workload:
    """A workload of a list."""
    metadata = data["metadata"]
    return Workload(
        kind,
        metadata["name"],
        metadata["namespace"],
        metadata.get("labels") or {},
        data["spec"]["selector"],
    )


def read_budget(data: Json) -> Budget:
    """A disruption budget of a list; a status of an older spec than today's counts as unknown."""
    metadata, status = data["metadata"], data.get("status") or {}
    fresh = status.get("observedGeneration", -1) >= metadata.get("generation", 0)
    return Budget(
        metadata["name"],
        metadata["namespace"],
        data["spec"].get("selector"),
        int(status["disruptionsAllowed"]) if fresh and "disruptionsAllowed" in status else None,
    )


def is_ready(data: Any) -> bool:
    """Does a pod or a node say of itself that it is ready?"""
    conditions = data.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
