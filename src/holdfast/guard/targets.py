"""What the policy forbids, decided on fresh state and without asking any system.

Every refusal names the thing, the reason and the next step. Nothing here has a default that allows.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from holdfast.cluster import RUN, Node, Pod
from holdfast.documents import Environment, Policy
from holdfast.errors import Refused
from holdfast.toxiproxy import Proxy


def check_cluster(environment: Environment, uid: str) -> None:
    """Is this the very cluster that the environment file names?"""
    if uid != environment.kubernetes.cluster_uid:
        raise Refused(
            f"cluster {uid}",
            f"the environment file names {environment.kubernetes.cluster_uid}",
            "Point the kubeconfig at the right cluster, or correct `kubernetes.cluster_uid`",
        )


def check_namespaces(namespaces: Collection[str], policy: Policy) -> None:
    """Is every namespace on the list, and is there one at all?"""
    if not namespaces:
        raise Refused("namespaces", "none is named", "Name those whose pods may be hit")
    for name in namespaces:
        if name not in policy.namespaces:
            allowed = ", ".join(policy.namespaces) or "none"
            raise Refused(
                f"namespace {name}",
                f"the policy allows {allowed}",
                "Add it to `policy.namespaces` if its pods may be hit",
            )


def check_selector(selector: str) -> None:
    """A selector that is empty would mean every pod."""
    if not selector.strip():
        raise Refused("selector", "it is empty, which would match every pod", "Name a label")


def check_replicas(victims: Sequence[Pod], everyone: Iterable[Pod], policy: Policy) -> None:
    """Does every workload keep a ready replica, and at least its share of them?

    A workload is what a pod's owner replaces; a pod without an owner is one of its own. An outage
    that the policy allows takes all replicas, and so cannot keep a share of them either.
    """
    if not victims:
        raise Refused("targets", "nothing matches that is ready", "Look at the selector and zone")
    if policy.allow_outage:
        return
    ready = Counter(_workload(pod) for pod in everyone if pod.serving)
    hit = Counter(_workload(pod) for pod in victims if pod.serving)
    names = {_workload(pod): f"{pod.namespace}/{pod.name}" for pod in victims}
    for workload, count in hit.items():
        have = ready[workload]
        if count >= have:
            raise Refused(
                f"the workload of {names[workload]}",
                f"{count} of its {have} ready replicas would go, and none would be left",
                "Give it replicas elsewhere; a laboratory may set `policy.allow_outage`",
            )
        if count > policy.max_share * have:
            raise Refused(
                f"the workload of {names[workload]}",
                f"{count} of its {have} ready replicas would go, the policy allows"
                f" {policy.max_share:.0%}",
                "Hit fewer, or spread the replicas more evenly",
            )


def check_zone(zone: str, nodes: Sequence[Node], policy: Policy) -> None:
    """Does the zone exist, is it whole, and would no more zones be down than the policy allows?"""
    mine = [node for node in nodes if node.zone == zone]
    if not zone or not mine:
        known = ", ".join(sorted({node.zone for node in nodes if node.zone})) or "none"
        raise Refused(f"zone {zone!r}", "no node is in it", f"Zones: {known}")
    for node in mine:
        if node.unschedulable:
            owner = node.annotations.get(RUN)
            raise Refused(
                f"node {node.name}",
                f"run {owner} has cordoned it" if owner else "somebody has cordoned it",
                "Undo that run" if owner else "Wait for the end of that work, or uncordon it",
            )
    others = {node.zone for node in nodes} - {zone, ""}
    up = {node.zone for node in nodes if node.ready and not node.unschedulable}
    down = [zone, *sorted(others - up)]
    if len(down) > policy.max_zones:
        raise Refused(
            f"zone {zone}",
            f"{', '.join(down)} would be down, the policy allows {policy.max_zones} at a time",
            "Bring the other zone back first, or raise `policy.max_zones`",
        )


def check_taint(policy: Policy) -> None:
    """A taint drives off pods of every namespace, and so needs a line of its own."""
    if not policy.allow_taint:
        raise Refused(
            "taint",
            "it drives pods of every namespace off the nodes, and the policy does not allow it",
            "Set `policy.allow_taint`, or drop the zone without it",
        )


def check_proxy(
    name: str, proxies: Mapping[str, Proxy], environment: Environment, url: str
) -> None:
    """May this proxy be hit, is it there, and is it as it should be?"""
    allowed = environment.policy.proxies or sorted(environment.breakers)
    place = f"proxy {name} at {url}"
    if name not in allowed:
        raise Refused(
            place,
            f"the policy allows {', '.join(allowed) or 'none'}",
            "Add it to `policy.proxies` if it may be hit",
        )
    if name not in proxies:
        raise Refused(place, "it does not exist", f"It has: {', '.join(proxies) or 'none'}")
    if not proxies[name].enabled:
        raise Refused(place, "it is disabled", "Enable it, or undo the run that disabled it")
    if there := ", ".join(proxies[name].toxics):
        raise Refused(place, f"toxics are there already: {there}", "Undo the run that left them")


def victims_by_zone(pods: Iterable[Pod], zone: str) -> list[Pod]:
    """The pods on the zone's nodes, by namespace and name; those on their way out are left out."""
    mine = [pod for pod in pods if pod.zone == zone and not pod.deleting]
    return sorted(mine, key=lambda pod: (pod.namespace, pod.name))


def choose(
    pods: Iterable[Pod], *, count: int | None, share: float | None, zone: str | None
) -> list[Pod]:
    """The first pods by name that are ready: `count` of them, or `share` of them rounded down."""
    ready = sorted((pod for pod in pods if pod.serving), key=lambda pod: pod.name)
    near = [pod for pod in ready if zone is None or pod.zone == zone]
    place = f"pods in zone {zone}" if zone else "pods"
    if not near:
        raise Refused(place, "nothing matches that is ready", "Look at the selector and zone")
    wanted = int(len(near) * share + 1e-9) if share is not None else count or 0
    if not 1 <= wanted <= len(near):
        raise Refused(
            place, f"{wanted} were asked for and {len(near)} are ready", "Ask for another number"
        )
    return near[:wanted]


def _workload(pod: Pod) -> tuple[str, str]:
    return pod.namespace, pod.owner_uid or pod.uid
