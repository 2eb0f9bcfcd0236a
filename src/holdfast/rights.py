"""May this service account do what an experiment needs: first the undo, then the fault."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.cluster import WORKLOADS, Cluster
from holdfast.documents import Environment
from holdfast.errors import Refused


@dataclass(frozen=True)
class Right:
    """One verb on one resource, in a namespace or (empty) in the whole cluster; and what for."""

    verb: str
    resource: str
    namespace: str
    purpose: str
    group: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{where}"


def needed(module: str, namespaces: Iterable[str]) -> Iterator[Right]:
    """What an action of that module needs; the undo's rights come first."""
    names = sorted(namespaces)
    if module == "holdfast.actions.zones":
        yield Right("patch", "nodes", "", "to uncordon a node again, and to cordon it")
        yield Right("list", "nodes", "", "to know which nodes a zone has")
    if module in ("holdfast.actions.zones", "holdfast.actions.pods"):
        for name in names:
            yield Right("list", "pods", name, "to see whether pods came back, and to find them")
        for name in names:
            for kind in WORKLOADS:
                yield Right("list", kind, name, "to see which are protected", "apps")
            purpose = "to see how many pods may go"
            yield Right("list", "poddisruptionbudgets", name, purpose, "policy")
        for name in names:
            yield Right("delete", "pods", name, "to kill pods")


def missing(cluster: Cluster, rights: Iterable[Right]) -> list[Right]:
    """Which of these the API server refuses."""
    return [
        one for one in rights if not cluster.may(one.verb, one.resource, one.namespace, one.group)
    ]


def check(environment: Environment, modules: Iterable[str]) -> None:
    """Ask for every right that actions of these modules need.

    Raises:
        Refused: names the rights that are missing, the undo's first.
    """
    cluster = Cluster(environment.kubernetes.kubeconfig)
    namespaces = {environment.workload.namespace, *environment.policy.namespaces}
    wanted = [right for module in modules for right in needed(module, namespaces)]
    if refused := missing(cluster, wanted):
        raise Refused(
            f"rights of {environment.kubernetes.kubeconfig}",
            "; ".join(f"may not {one} ({one.purpose})" for one in refused),
            "Grant them to holdfast's service account",
        )
