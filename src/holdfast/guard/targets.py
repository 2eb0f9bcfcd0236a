"""Which namespaces, pods, zones and proxies may be hit, decided on fresh state."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from holdfast.cluster import Node, Pod, Workload
from holdfast.documents import Environment, Policy
from holdfast.errors import Refused
from holdfast.marks import RUN
from holdfast.toxiproxy import Proxy

CAP = 0.5  # the share of anything that may be hit; no policy raises it
NEVER = ("kube-*", "holdfast", "monitoring")  # namespaces; a policy can only add to them
PROTECTED = (
    "holdfast.io/protected"  # unless it says `false`; deploy/admission.yaml reads it so, too
)


def check_namespaces(namespaces: Collection[str], environment: Environment) -> str:
    """Is every namespace on the list, is none of those that are never hit, and is there one?"""
    if not namespaces:
        raise Refused("namespaces", "none is named", "Name those whose pods may be hit")
    check_never(namespaces, environment)
    policy = environment.policy
    for name in namespaces:
        if name not in policy.namespaces:
            allowed = ", ".join(policy.namespaces) or "none"
            raise Refused(
                f"namespace {name}",
                f"the policy allows {allowed}",
                "Add it to `policy.namespaces` if its pods may be hit",
            )
    return f"{', '.join(namespaces)}: allowed"


def check_never(namespaces: Collection[str], environment: Environment) -> str:
    """Kubernetes' own namespaces, holdfast's and the monitoring's: never, even when listed."""
    patterns = (*NEVER, environment.kubernetes.namespace, *environment.policy.never)
    for name in namespaces:
        for pattern in patterns:
            if fnmatchcase(name, pattern):
                raise Refused(
                    f"namespace {name}",
                    f"{pattern} is never hit, whatever the policy lists",
                    "Break something else",
                )
    return f"none of {', '.join(dict.fromkeys(patterns))}"


def check_protected(
    victims: Iterable[Pod], nodes: Iterable[Node], workloads: Iterable[Workload], policy: Policy
) -> str:
    """Is no pod, no node and no workload of a pod protected by a label?"""
    pods, owners = list(victims), list(workloads)
    things = [(f"pod {pod.namespace}/{pod.name}", pod.labels) for pod in pods]
    things += [(f"node {node.name}", node.labels) for node in nodes]
    things += [
        (f"{one.kind[:-1]} {one.namespace}/{one.name}", one.labels)
        for one in owners
        if any(one.owns(pod) for pod in pods)
    ]
    for thing, labels in things:
        ours = [PROTECTED] if labels.get(PROTECTED, "false") not in ("", "false") else []
        for selector in (*ours, *policy.protected):
            if selector in ours or _labelled(selector, labels):
                raise Refused(
                    thing, f"it is protected: {selector}", "Break something else, or ask its owner"
                )
    selectors = " or ".join((PROTECTED, *policy.protected))
    return f"none of {len(things)} pods, nodes and workloads has {selectors}"


def _labelled(selector: str, labels: Mapping[str, str]) -> bool:
    """Does every part of `key=value,key` hold?"""
    parts = [part.partition("=") for part in selector.split(",")]
    return all(key in labels and (not equals or labels[key] == it) for key, equals, it in parts)


def check_selector(selector: str) -> str:
    """A selector that is empty would mean every pod."""
    if not selector.strip():
        raise Refused("selector", "it is empty, which would match every pod", "Name a label")
    return selector


def check_pods(victims: Sequence[Pod], policy: Policy) -> str:
    """Are there no more pods than the policy allows at a time?"""
    if len(victims) > policy.max_pods:
        raise Refused(
            "pods",
            f"{len(victims)} would go, the policy allows {policy.max_pods}",
            "Hit fewer, or raise `policy.max_pods`",
        )
    return f"{len(victims)}, of {policy.max_pods} at most"


def check_replicas(victims: Sequence[Pod], everyone: Iterable[Pod], share: float) -> str:
    """Does every workload keep a ready replica, and lose no more than its share of them, or one?

    A workload is what a pod's owner replaces; a pod without an owner is one of its own. The share
    is rounded down to whole replicas, never above half of them.
    """
    if not victims:
        raise Refused("targets", "nothing matches that is ready", "Look at the selector and zone")
    ready = Counter(_workload(pod) for pod in everyone if pod.serving)
    hit = Counter(_workload(pod) for pod in victims if pod.serving)
    names = {_workload(pod): f"{pod.namespace}/{pod.name}" for pod in victims}
    for workload, count in hit.items():
        have = ready[workload]
        if count >= have:
            raise Refused(
                f"the workload of {names[workload]}",
                f"{count} of its {have} ready replicas would go, and none would be left",
                "Give it replicas elsewhere",
            )
        if count > max(1, int(min(share, CAP) * have + 1e-9)):
            raise Refused(
                f"the workload of {names[workload]}",
                f"{count} of its {have} ready replicas would go, allowed is one or"
                f" {min(share, CAP):.0%}",
                "Hit fewer, or spread the replicas more evenly",
            )
    return (
        ", ".join(f"{count} of {ready[it]} ready" for it, count in hit.items()) or "none is ready"
    )


def check_zone(zone: str, nodes: Sequence[Node], policy: Policy) -> str:
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
    if len(mine) > CAP * len(nodes):
        raise Refused(
            f"zone {zone}",
            f"{len(mine)} of {len(nodes)} nodes would go, half of anything is the most",
            "Spread the nodes more evenly",
        )
    return f"{len(mine)} of {len(nodes)} nodes, 1 zone of {policy.max_zones}"


def check_taint(policy: Policy) -> str:
    """A taint drives off pods of every namespace, and so needs a line of its own."""
    if not policy.allow_taint:
        raise Refused(
            "taint",
            "it drives pods of every namespace off the nodes, and the policy does not allow it",
            "Set `policy.allow_taint`, or drop the zone without it",
        )
    return "the policy allows it"


def check_proxy(name: str, proxies: Mapping[str, Proxy], policy: Policy, url: str) -> str:
    """May this proxy be hit, is it there, and is it as it should be?"""
    allowed = policy.proxies
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
    return f"{place} is allowed, enabled and free of toxics"


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
