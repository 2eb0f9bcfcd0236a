"""The Kubernetes API as holdfast uses it: pods, nodes, rights; raw JSON, every change read back.

The kubernetes package's typed classes cost 0.8 s to import and are not used.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote

from holdfast.clock import utc_now
from holdfast.cluster import changes
from holdfast.cluster.client import Client, Json, open_client
from holdfast.cluster.objects import (
    ZONE,
    Budget,
    Node,
    Pod,
    Workload,
    pod_path,
    pods_path,
    read_budget,
    read_node,
    read_pod,
    read_version,
    read_workload,
)
from holdfast.cluster.watching import Change, PodWatch
from holdfast.errors import FaultNotApplied, FaultRemains, HoldfastError, Unreachable

__all__ = [
    "WORKLOADS",
    "ZONE",
    "Budget",
    "Change",
    "Cluster",
    "Node",
    "Pod",
    "PodWatch",
    "Workload",
]

CALL_S = 5.0  # one call, from looking up the name to the last byte of the answer
WORKLOADS = ("deployments", "statefulsets", "daemonsets")
_TRIES = 5  # a node's status is written all the time, and each of our changes is a compare-and-set
_AT_ONCE = 16


class Cluster:
    """One cluster, with the rights of one kubeconfig. Instances of one file share connections."""

    def __init__(self, kubeconfig: str, call_s: float = CALL_S) -> None:
        self._kubeconfig = kubeconfig
        self._call_s = call_s

    def uid(self) -> str:
        """What tells this cluster from every other: the uid of its kube-system namespace."""
        return str(self._read("/api/v1/namespaces/kube-system", lambda it: it["metadata"]["uid"]))

    def version(self) -> str:
        """The API server's version, such as `v1.36.3`."""
        return str(self._read("/version", lambda it: it["gitVersion"]))

    def pods(
        self, namespace: str | None = None, selector: str = "", zones: dict[str, str] | None = None
    ) -> list[Pod]:
        """The pods of a namespace (or of all) that a label selector matches, by name.

        `zones` are those of nodes that were seen before: who looks again and again asks for nodes
        only when a pod is on another one, which is then added.
        """
        return self.listed_pods(namespace, selector, zones)[0]

    def listed_pods(
        self, namespace: str | None, selector: str, zones: dict[str, str] | None
    ) -> tuple[list[Pod], int]:
        """The same, and the version at which they were so, from which a watch can go on."""
        query = {"labelSelector": selector} if selector else {}
        known = self._zones() if zones is None else zones
        found, version = self._read(
            pods_path(namespace),
            lambda it: (
                [read_pod(one, known) for one in it["items"]],
                read_version(it.get("metadata") or {}),
            ),
            query,
        )
        if zones is not None and any(one.node and one.node not in zones for one in found):
            zones.update(self._zones())
            found = [replace(one, zone=zones.get(one.node, "")) for one in found]
        return sorted(found, key=lambda one: (one.namespace, one.name)), version

    def watch_pods(self, namespace: str, selector: str, since: int) -> PodWatch:
        """What becomes of these pods after that version, told while it happens.

        Raises:
            Unreachable: the watch was not opened.
        """
        query = {"watch": "1", "resourceVersion": str(since), "allowWatchBookmarks": "true"}
        if selector:
            query["labelSelector"] = selector
        return PodWatch(self._client.follow(pods_path(namespace), query))

    def _zones(self) -> dict[str, str]:
        return {node.name: node.zone for node in self.nodes()}

    def nodes(self) -> list[Node]:
        """Every node, by name."""
        found = self._read("/api/v1/nodes", lambda it: [read_node(one) for one in it["items"]])
        return sorted(found, key=lambda one: one.name)

    def workloads(self, namespace: str) -> list[Workload]:
        """The Deployments, StatefulSets and DaemonSets of a namespace."""
        return [one for kind in WORKLOADS for one in self._workloads(kind, namespace)]

    def _workloads(self, kind: str, namespace: str) -> list[Workload]:
        path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/{kind}"
        return self._read(path, lambda it: [read_workload(kind, one) for one in it["items"]])

    def budgets(self, namespace: str) -> list[Budget]:
        """The disruption budgets of a namespace."""
        place = f"namespaces/{quote(namespace, safe='')}/poddisruptionbudgets"
        return self._read(
            f"/apis/policy/v1/{place}", lambda it: [read_budget(one) for one in it["items"]]
        )

    def read(self, path: str) -> Json:
        """One document of the API as it is; empty when there is no such path."""
        return self._client.call("GET", path, accept=(404,)) or {}

    def listed(self, path: str) -> list[Json]:
        """The objects of a list as they are; none when the API has no such kind."""
        items = self.read(path).get("items") or []
        if not isinstance(items, list):
            raise Unreachable(
                self._client.url, f"{path} has another form", "Is this a Kubernetes API server?"
            )
        return items

    def delete_pods(self, pods: Sequence[Pod], grace_seconds: int) -> None:
        """Delete pods at the same time, and read back that each is gone or going.

        Raises:
            FaultNotApplied: names those that are still there.
        """
        with ThreadPoolExecutor(min(len(pods), _AT_ONCE) or 1) as pool:
            reasons = [*pool.map(lambda pod: self._remove(pod, grace_seconds), pods)]
        if wrong := [reason for reason in reasons if reason]:
            raise FaultNotApplied(
                f"{len(wrong)} of {len(pods)} pods", "; ".join(wrong), "The others are deleted"
            )

    def delete_pod(self, pod: Pod, grace_seconds: int) -> bool:
        """Delete this very pod; False when it was gone already, or replaced by one of its name."""
        body = {"gracePeriodSeconds": grace_seconds, "preconditions": {"uid": pod.uid}}
        return self._client.call("DELETE", pod_path(pod), body=body, accept=(404, 409)) is not None

    def cordon(self, node: Node, marks: Mapping[str, str]) -> None:
        """Let no new pod onto a node, and mark it as ours in the same write; read back.

        Raises:
            FaultNotApplied: somebody else cordoned it first, or it does not read back.
        """
        self._settle(node.name, node.uid, lambda now: changes.cordon(now, marks), FaultNotApplied)

    def uncordon(self, name: str, uid: str, run: str) -> bool:
        """Take back a cordon of that run, and its marks; what others set stays. Read back.

        False when there was nothing of it.

        Raises:
            Conflict: it is cordoned, and the cordon does not carry that run's mark.
        """
        return self._settle(name, uid, lambda now: changes.uncordon(now, run), FaultRemains)

    def taint(self, node: Node, key: str, run: str) -> None:
        """Drive off a node every pod that does not tolerate this taint (NoExecute); read back.

        Raises:
            FaultNotApplied: somebody else uses that key, or it does not read back.
        """
        self._settle(node.name, node.uid, lambda now: changes.taint(now, key, run), FaultNotApplied)

    def untaint(self, name: str, key: str, run: str) -> bool:
        """Take back a taint of that run; what others set stays. Read back.

        False when there was nothing of it.

        Raises:
            Conflict: the taint is there with another value.
        """
        return self._settle(name, "", lambda now: changes.untaint(now, key, run), FaultRemains)

    def may(
        self, verb: str, resource: str, namespace: str = "", group: str = "", name: str = ""
    ) -> bool:
        """Do our rights allow it? Empty: in all namespaces, of the core group, all objects."""
        wanted = {
            "verb": verb,
            "resource": resource,
            "namespace": namespace,
            "group": group,
            "name": name,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._client.call("POST", path, body=body)
        return bool(answer and answer.get("status", {}).get("allowed"))

    def tell(self, about: Pod | Node, reason: str, note: str) -> None:
        """Leave an Event on a pod or a node, for whoever looks at it; never a reason to fail."""
        space = about.namespace if isinstance(about, Pod) else "default"
        stamp = f"{utc_now():%Y-%m-%dT%H:%M:%SZ}"
        event = {
            "metadata": {"generateName": f"{about.name}.", "namespace": space},
            "involvedObject": {
                "kind": type(about).__name__,
                "apiVersion": "v1",
                "name": about.name,
                "uid": about.uid,
                **({"namespace": space} if isinstance(about, Pod) else {}),
            },
            "reason": reason,
            "message": note,
            "type": "Warning",
            "source": {"component": "holdfast"},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        path = f"/api/v1/namespaces/{quote(space, safe='')}/events"
        with contextlib.suppress(HoldfastError):
            self._client.call("POST", path, body=event)

    @property
    def _client(self) -> Client:
        return open_client(self._kubeconfig, self._call_s)

    def _remove(self, pod: Pod, grace_seconds: int) -> str:
        """Delete and read back; what is wrong, or nothing."""
        try:
            self.delete_pod(pod, grace_seconds)
            found = self._client.call("GET", pod_path(pod), accept=(404,))
        except HoldfastError as error:
            return f"{pod.name}: {error}"
        metadata = found["metadata"] if found else {}
        if metadata.get("uid") == pod.uid and "deletionTimestamp" not in metadata:
            return f"{pod.name}: it was deleted and is still there"
        return ""

    def _settle(
        self,
        name: str,
        uid: str,
        change: Callable[[Json], list[Json]],
        otherwise: type[HoldfastError],
    ) -> bool:
        """Change a node until it reads back as needing no change; each write compares and sets.

        A node that is gone took what we did to it along; a fault cannot be made there. False when
        it never needed a change.
        """
        changed = False
        path = f"/api/v1/nodes/{quote(name, safe='')}"
        for _ in range(_TRIES):
            now = self._client.call("GET", path, accept=(404,))
            if now is None and name in self._zones():
                why = f"it lists node {name}, and says that it is not there"
                raise Unreachable(self._client.url, why, "Is something else answering for it?")
            if now is None or uid not in ("", now["metadata"]["uid"]):
                if otherwise is FaultRemains:
                    return changed
                break
            if not (wanted := change(now)):
                return changed
            metadata = now["metadata"]
            tests = [
                {"op": "test", "path": f"/metadata/{key}", "value": metadata[key]}
                for key in ("uid", "resourceVersion")
            ]
            self._client.call("PATCH", path, body=[*tests, *wanted], accept=(404, 409, 422))
            changed = True
        raise otherwise(f"node {name}", "it does not read back as asked", "Look at the node")

    def _read[T](
        self, path: str, parse: Callable[[Json], T], query: Mapping[str, str] | None = None
    ) -> T:
        answer = self._client.call("GET", path, query=query)
        try:
            return parse(answer or {})
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Unreachable(
                self._client.url, f"{path} has another form", "Is this a Kubernetes API server?"
            ) from None
