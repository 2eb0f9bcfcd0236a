"""May this service account do what an experiment needs: the undo first, then the lock, the fault.

`deploy/` grants exactly this; what a right is asked for is said with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.cluster import WORKLOADS, Cluster
from holdfast.documents import Environment
from holdfast.errors import Refused

ZONES, PODS, GATEWAY = (f"holdfast.actions.{name}" for name in ("zones", "pods", "gateway"))
PARTS = ("undo", "lock", "fault")

_LEASES = "coordination.k8s.io"


@dataclass(frozen=True)
class Right:
    """One verb on one resource; in a namespace or (empty) in the whole cluster; and what for.

    An empty group is Kubernetes' core group, an empty name every object of that kind.
    """

    part: str
    verb: str
    resource: str
    namespace: str
    purpose: str
    group: str = ""
    name: str = ""

    def __str__(self) -> str:
        words = [self.verb, self.resource, self.name]
        where = f" in {self.namespace}" if self.namespace else ""
        return " ".join(filter(None, words)) + where


def needed(module: str, namespaces: Iterable[str], own: str) -> Iterator[Right]:
    """What an action of that module needs, in the order in which it would be missed most.

    `namespaces` are those that it may break, `own` is holdfast's, where the lock is.
    """
    names = sorted(namespaces)
    if module in (ZONES, PODS, GATEWAY):
        yield from _undo(module, names)
        yield from _lock(own)
        yield from _fault(module, names)


def granted(environment: Environment, modules: Iterable[str]) -> list[Right]:
    """Every right that actions of these modules need, once the API server allowed each.

    Raises:
        Refused: names the rights that are missing, the undo's first.
    """
    cluster = Cluster(environment.kubernetes.kubeconfig)
    namespaces = {environment.workload.namespace, *environment.policy.namespaces}
    own = environment.kubernetes.namespace
    every = [right for module in modules for right in needed(module, namespaces, own)]
    wanted = sorted(dict.fromkeys(every), key=lambda one: PARTS.index(one.part))
    if refused := missing(cluster, wanted):
        raise Refused(
            f"rights of {environment.kubernetes.kubeconfig}",
            "; ".join(f"may not {one} ({one.purpose})" for one in refused),
            "Apply deploy/ and deploy/allowed, which grant holdfast's service account just these",
        )
    return wanted


def missing(cluster: Cluster, rights: Iterable[Right]) -> list[Right]:
    """Which of these the API server refuses."""
    return [
        one
        for one in rights
        if not cluster.may(one.verb, one.resource, one.namespace, one.group, one.name)
    ]


def words(rights: Iterable[Right]) -> str:
    """The rights on one line, by what they are for."""
    found = [*rights]
    parts = {part: [str(one) for one in found if one.part == part] for part in PARTS}
    return "; ".join(f"{part}: {', '.join(those)}" for part, those in parts.items() if those)


def _undo(module: str, names: list[str]) -> Iterator[Right]:
    if module == ZONES:
        yield Right("undo", "list", "nodes", "", "to find which nodes carry our marks")
        yield Right("undo", "get", "nodes", "", "to read back what was undone")
        yield Right("undo", "patch", "nodes", "", "to uncordon a node again")
    if module in (ZONES, PODS):
        for name in names:
            yield Right("undo", "list", "pods", name, "to see whether pods came back")


def _lock(own: str) -> Iterator[Right]:
    purposes = {"get": "to see who holds the lock", "update": "to take, renew and release it"}
    for verb, purpose in purposes.items():
        yield Right("lock", verb, "leases", own, purpose, _LEASES, "holdfast")
    purpose = "to make the lock where there is none yet"
    yield Right("lock", "create", "leases", own, purpose, _LEASES)
    purpose = "to see whether the reaper is alive"
    yield Right("lock", "get", "leases", own, purpose, _LEASES, "holdfast-reaper")


def _fault(module: str, names: list[str]) -> Iterator[Right]:
    if module == ZONES:
        yield Right("fault", "patch", "nodes", "", "to cordon a node")
    if module == PODS:
        yield Right("fault", "list", "nodes", "", "to know the zones of pods")
    if module in (ZONES, PODS):
        for name in names:
            for kind in WORKLOADS:
                yield Right("fault", "list", kind, name, "to see which are protected", "apps")
            budgets, purpose = "poddisruptionbudgets", "to see how many pods may go"
            yield Right("fault", "list", budgets, name, purpose, "policy")
            yield Right("fault", "get", "pods", name, "to read back that a pod is gone")
            yield Right("fault", "delete", "pods", name, "to kill pods")
