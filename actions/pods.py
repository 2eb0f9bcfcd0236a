"""Kill pods."""

from dataclasses import asdict, dataclass
from typing import Any

from holdfast import context, guard, heal, lock, supervision
from holdfast.clock import now_ns
from holdfast.cluster import Cluster, Pod
from holdfast.documents import Environment
from holdfast.errors import InvalidInput

__all__ = ["kill"]


@dataclass(frozen=True)
class _Aim:
    """What was asked for: `count` pods or a `share` of them, in one zone or in any."""

    selector: str
    namespace: str
    count: int | None = None
    share: float | None = None
    zone: str | None = None
    grace_seconds: int = 0

    def __post_init__(self) -> None:
        if (self.count is None) == (self.share is None):
            raise InvalidInput(
                "pods.kill", "it needs `count` or `share`, one of them", "Say how many pods"
            )
        if self.grace_seconds < 0:
            raise InvalidInput("pods.kill: grace_seconds", "it is below zero", "Write 0 or more")


def kill(  # noqa: PLR0913  # an experiment names each argument
    selector: str,
    namespace: str,
    count: int | None = None,
    share: float | None = None,
    zone: str | None = None,
    grace_seconds: int = 0,
    configuration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Delete `count` pods, or a `share` of them, that are ready and that a label selector matches.

    They are the first by name, in one zone if it is given. There is no undo: what owns them
    replaces them. With `grace_seconds: 0` they are not told to stop.

    Raises:
        Refused: the policy forbids it, or nothing matches.
        FaultNotApplied: a pod that was to go is still there.
    """
    here = context.of(configuration)
    aim = _Aim(selector, namespace, count, share, zone, grace_seconds)
    cluster = heal.open_systems(here.environment).cluster
    victims = _victims(cluster, here.environment, aim, guard.Answers())
    if supervision.ensure(here.run, here.environment):  # it may have waited for the lock
        victims = _victims(cluster, here.environment, aim, guard.Answers())
    named = [_named(pod) for pod in victims]
    shows = f"as many ready replicas again as before: {aim.selector} in {aim.namespace}"
    heal.intend(here.run, "none", {"kind": "pods.kill", "targets": named, "recovery": shows})
    lock.check(here.run, here.environment)
    began = now_ns()
    cluster.delete_pods(victims, grace_seconds)
    fault = {
        "kind": "pods.kill",
        "began_ns": began,
        "returned_ns": now_ns(),
        "reversible": False,
        "targets": named,
        "asked": asdict(aim),
    }
    here.run.append("events.jsonl", {"event": "fault", **fault})
    for pod in victims:
        cluster.tell(pod, "FaultInjected", f"killed by holdfast run {here.run.id}")
    return fault


def targets(
    cluster: Cluster, environment: Environment, answers: guard.Answers, **arguments: Any
) -> list[dict[str, Any]]:
    """The pods that `kill` would delete now; `answers` keeps what each guard says of them.

    Raises:
        Refused: the policy forbids it, or nothing matches.
    """
    victims = _victims(cluster, environment, _Aim(**arguments), answers)
    return [_named(pod) for pod in victims]


def _victims(
    cluster: Cluster, environment: Environment, aim: _Aim, answers: guard.Answers
) -> list[Pod]:
    policy = environment.policy
    answers.ask(guard.check_cluster, environment, cluster.uid())
    answers.ask(guard.check_namespaces, [aim.namespace], environment)
    answers.ask(guard.check_selector, aim.selector)
    matching = cluster.pods(aim.namespace, aim.selector)
    victims = guard.choose(matching, count=aim.count, share=aim.share, zone=aim.zone)
    workloads = cluster.workloads(aim.namespace)
    answers.ask(guard.check_protected, victims, [], workloads, policy)
    answers.ask(guard.check_pods, victims, policy)
    everyone = cluster.pods(aim.namespace)
    answers.ask(guard.check_replicas, victims, everyone, policy.max_share)
    answers.ask(guard.check_disruption, victims, cluster.budgets(aim.namespace))
    return victims


def _named(pod: Pod) -> dict[str, Any]:
    return {
        "pod": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "node": pod.node,
        "zone": pod.zone,
    }
