"""Drop a zone."""

from collections.abc import Iterator
from typing import Any

from holdfast import context, guard, heal, lock, supervision
from holdfast.clock import now_ns
from holdfast.cluster import Cluster, Node, Pod
from holdfast.context import Context
from holdfast.documents import Environment
from holdfast.errors import InvalidInput
from holdfast.heal.found import TAINT
from holdfast.model import Heal

__all__ = ["drop"]


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
    nodes, _ = _aim(cluster, here.environment, asked, guard.Answers())
    if supervision.ensure(here.run, here.environment):  # it may have waited for the lock
        nodes, _ = _aim(cluster, here.environment, asked, guard.Answers())
    heals = [one for node in nodes for one in _intend(here, node, taint=taint)]
    with heal.injecting(here.run, here.environment, heals):  # the whole zone or none of it
        began = now_ns()
        victims = _darken(here, cluster, nodes, asked)
    fault = {
        "kind": "zones.drop",
        "began_ns": began,
        "returned_ns": now_ns(),
        "reversible": True,
        "targets": [*map(_node, nodes), *map(_pod, victims)],
        "asked": asked,
    }
    here.run.append("events.jsonl", {"event": "fault", **fault})
    hits: list[Node | Pod] = [*nodes, *victims]
    for hit in hits:
        cluster.tell(hit, "FaultInjected", f"zone {zone} dropped by holdfast run {here.run.id}")
    return fault


def targets(
    cluster: Cluster, environment: Environment, answers: guard.Answers, **arguments: Any
) -> list[dict[str, Any]]:
    """The nodes that `drop` would cordon now, and every pod that would go, whosever it is.

    `answers` keeps what each guard says of them.

    Raises:
        Refused: the policy forbids it, or nothing matches.
    """
    nodes, pods = _aim(cluster, environment, arguments, answers)
    return [*map(_node, nodes), *map(_pod, pods)]


def prediction(cluster: Cluster, environment: Environment, **arguments: Any) -> guard.Prediction:
    """What would become of the pods that go: which come back, and where."""
    nodes, victims = _aim(cluster, environment, arguments, guard.Answers())
    whole = cluster.may("list", "pods")
    seen = cluster.pods() if whole else _within(cluster, arguments)
    service = cluster.pods(environment.workload.namespace, environment.workload.selector)
    budgets = [one for name in {pod.namespace for pod in victims} for one in cluster.budgets(name)]
    going = guard.Going(victims, {node.name for node in nodes}, {pod.uid for pod in service})
    return guard.predict(going, seen, cluster.nodes(), budgets, whole=whole)


def _aim(
    cluster: Cluster, environment: Environment, asked: dict[str, Any], answers: guard.Answers
) -> tuple[list[Node], list[Pod]]:
    if asked.get("grace_seconds", 0) < 0:
        raise InvalidInput("zones.drop: grace_seconds", "it is below zero", "Write 0 or more")
    answers.ask(guard.check_cluster, environment, cluster.uid())
    answers.ask(guard.check_namespaces, asked["namespaces"], environment)
    if asked.get("taint"):
        answers.ask(guard.check_taint, environment.policy)
    nodes = cluster.nodes()
    answers.ask(guard.check_zone, asked["zone"], nodes, environment.policy)
    mine = [node for node in nodes if node.zone == asked["zone"]]
    answers.ask(guard.check_protected, [], mine, [], environment.policy)
    return mine, _on(cluster, environment, asked, answers)


def _on(
    cluster: Cluster, environment: Environment, asked: dict[str, Any], answers: guard.Answers
) -> list[Pod]:
    """The pods that go with the zone, once the guardrails have seen them."""
    everyone = _within(cluster, asked)
    victims = guard.victims_by_zone(everyone, asked["zone"])
    if asked.get("taint"):
        victims = [one for one in victims if not one.stays(TAINT)]
    places = sorted({pod.namespace for pod in victims})
    workloads = [one for name in places for one in cluster.workloads(name)]
    answers.ask(guard.check_never, places, environment)
    answers.ask(guard.check_protected, victims, [], workloads, environment.policy)
    answers.ask(guard.check_replicas, victims, everyone, guard.CAP)
    budgets = [one for name in places for one in cluster.budgets(name)]
    answers.ask(guard.disruption_of_a_zone, victims, budgets)
    return victims


def _within(cluster: Cluster, asked: dict[str, Any]) -> list[Pod]:
    """The pods among which those are that go; with a taint they are everybody's."""
    if asked.get("taint"):
        return cluster.pods()
    return [pod for name in asked["namespaces"] for pod in cluster.pods(name)]


def _intend(here: Context, node: Node, *, taint: bool) -> Iterator[Heal]:
    run = here.run.id
    yield heal.intend(here.run, "uncordon", {"node": node.name, "uid": node.uid, "run": run})
    if taint:
        yield heal.intend(here.run, "untaint", {"node": node.name, "key": TAINT, "run": run})


def _darken(here: Context, cluster: Cluster, nodes: list[Node], asked: dict[str, Any]) -> list[Pod]:
    """Cordon, taint if asked to, delete; answer with every pod that goes."""
    undo = "uncordon, untaint" if asked["taint"] else "uncordon"
    for node in nodes:
        held = lock.check(here.run, here.environment)
        cluster.cordon(node, heal.marks(here.run, undo, held.token))
    # nothing new can come onto the nodes now
    victims = _on(cluster, here.environment, asked, guard.Answers())
    mine = [pod for pod in victims if pod.namespace in asked["namespaces"]]
    named, shows = [_pod(one) for one in victims], "customers are served without the zone"
    heal.intend(here.run, "none", {"kind": "zones.drop", "targets": named, "recovery": shows})
    for node in nodes if asked["taint"] else []:
        lock.check(here.run, here.environment)
        cluster.taint(node, TAINT, here.run.id)
    lock.check(here.run, here.environment)
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
