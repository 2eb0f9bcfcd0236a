"""Drop a zone."""

from typing import Any

from holdfast import context, guard, heal
from holdfast.clock import now_ns
from holdfast.cluster import Cluster, Node, Pod
from holdfast.context import Context
from holdfast.documents import Environment
from holdfast.errors import HoldfastError, InvalidInput

__all__ = ["drop"]

TAINT = "holdfast.io/dropped"


def drop(
    zone: str,
    namespaces: list[str],
    taint: bool = False,
    grace_seconds: int = 0,
    configuration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Cordon every node of a zone, then delete at once the pods there of the namespaces named.

    It stays so until it is undone. With `taint: true` pods of every other namespace are driven off
    too. It is an orderly loss that is announced to Kubernetes; a zone without power is another.

    Raises:
        Refused: the policy forbids it, or nothing matches.
        FaultNotApplied: a node is not cordoned, or a pod that was to go is still there.
    """
    here = context.of(configuration)
    cluster = heal.open_systems(here.environment).cluster
    asked = {
        "zone": zone,
        "namespaces": namespaces,
        "taint": taint,
        "grace_seconds": grace_seconds,
    }
    nodes, _ = _aim(cluster, here.environment, **asked)
    for node in nodes:
        _intend(here, node, taint=taint)
    began = now_ns()
    try:
        victims = _darken(here, cluster, nodes, asked)
    except HoldfastError:
        heal.undo_all(here.run, here.environment)  # the whole zone or none of it
        raise
    fault = {
        "kind": "zones.drop",
        "began_ns": began,
        "returned_ns": now_ns(),
        "reversible": True,
        "targets": [*map(_node, nodes), *map(_pod, victims)],
        "asked": asked,
    }
    here.run.append("events.jsonl", {"event": "fault", **fault})
    return fault


def targets(cluster: Cluster, environment: Environment, **arguments: Any) -> list[dict[str, Any]]:
    """The nodes that `drop` would cordon now, and every pod that would go, whosever it is.

    Raises:
        Refused: the policy forbids it, or nothing matches.
    """
    nodes, pods = _aim(cluster, environment, **arguments)
    return [*map(_node, nodes), *map(_pod, pods)]


def _aim(cluster: Cluster, environment: Environment, **asked: Any) -> tuple[list[Node], list[Pod]]:
    if asked.get("grace_seconds", 0) < 0:
        raise InvalidInput("zones.drop: grace_seconds", "it is below zero", "Write 0 or more")
    guard.check_cluster(environment, cluster.uid())
    guard.check_namespaces(asked["namespaces"], environment.policy)
    if asked.get("taint"):
        guard.check_taint(environment.policy)
    nodes = cluster.nodes()
    guard.check_zone(asked["zone"], nodes, environment.policy)
    mine = [node for node in nodes if node.zone == asked["zone"]]
    return mine, _on(cluster, environment, asked)


def _on(cluster: Cluster, environment: Environment, asked: dict[str, Any]) -> list[Pod]:
    """The pods that go with the zone, once the guardrails have seen them."""
    if asked.get("taint"):
        everyone = cluster.pods()
    else:
        everyone = [pod for name in asked["namespaces"] for pod in cluster.pods(name)]
    victims = guard.victims_by_zone(everyone, asked["zone"])
    guard.check_replicas(victims, everyone, environment.policy)
    return victims


def _intend(here: Context, node: Node, *, taint: bool) -> None:
    run = here.run.id
    heal.intend(here.run, "uncordon", {"node": node.name, "uid": node.uid, "run": run})
    if taint:
        heal.intend(here.run, "untaint", {"node": node.name, "key": TAINT, "run": run})


def _darken(here: Context, cluster: Cluster, nodes: list[Node], asked: dict[str, Any]) -> list[Pod]:
    """Cordon, taint if asked to, delete; answer with every pod that goes."""
    undo = "uncordon, untaint" if asked["taint"] else "uncordon"
    for node in nodes:
        cluster.cordon(node, heal.marks(here.run, undo))
    victims = _on(cluster, here.environment, asked)  # nothing new can come onto the nodes now
    mine = [pod for pod in victims if pod.namespace in asked["namespaces"]]
    heal.intend(here.run, "none", {"kind": "zones.drop", "targets": [_pod(one) for one in victims]})
    for node in nodes if asked["taint"] else []:
        cluster.taint(node, TAINT, here.run.id)
    cluster.delete_pods(mine, asked["grace_seconds"])
    return victims


def _node(node: Node) -> dict[str, Any]:
    return {"node": node.name, "uid": node.uid, "zone": node.zone}


def _pod(pod: Pod) -> dict[str, Any]:
    return {
        "pod": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "node": pod.node,
        "zone": pod.zone,
    }
