"""What is left in Kubernetes: nodes, policies, workloads, and other tools' objects.

An object that is meant to be as it is says so: its annotation `holdfast.io/intended` holds why.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from shlex import quote as shell
from typing import Any

from holdfast import marks
from holdfast.residue.leftover import Leftover

INTENDED = "holdfast.io/intended"
# Taints that Kubernetes and clouds set of themselves; only those that drive pods off are faults.
_SYSTEM = ("node.kubernetes.io/", "node-role.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_OURS = "holdfast.io/"

type Json = Mapping[str, Any]


def nodes(items: Sequence[Json]) -> Iterator[Leftover]:
    """Cordons, taints that drive pods off, and marks without a fault."""
    for node in items:
        found = list(_node(node))
        run = _annotations(node).get(marks.RUN, "")
        yield from found if not _intended(node) else (one for one in found if one.run)
        if run and not any(one.run for one in found):
            yield _marked(node, "mark", run, "")


def policies(items: Sequence[Json]) -> Iterator[Leftover]:
    """Policies that let nothing through, unless others open the namespace again.

    A policy for every pod beside policies that allow is the usual standing default, no fault.
    """
    for policy in items:
        denied = [way for way in ("Ingress", "Egress") if _denies(policy, way)]
        whole = not any((policy["spec"].get("podSelector") or {}).values())
        opened = all(any(_allows(one, way) for one in items) for way in denied)
        if denied and not (whole and opened) and not _intended(policy):
            name, namespace = policy["metadata"]["name"], policy["metadata"]["namespace"]
            step = f"kubectl -n {shell(namespace)} delete networkpolicy {shell(name)}"
            yield _created("policy that denies all", policy, step)


def workloads(kind: str, items: Sequence[Json]) -> Iterator[Leftover]:
    """Those that were scaled to zero; `kind` as kubectl calls it."""
    for one in items:
        if one["spec"].get("replicas") != 0 or _intended(one):
            continue
        manager, since = _changed(one, "f:spec", "f:replicas")
        name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
        step = f"kubectl -n {shell(namespace)} scale {kind} {shell(name)} --replicas=HOW_MANY"
        where = f"workloads of namespace {namespace}"
        what = f"{kind} scaled to zero"
        yield Leftover(what, name, where, step, owner=manager, since=since)


def others(tool: str, resource: str, items: Sequence[Json]) -> Iterator[Leftover]:
    """Objects of another chaos tool: whoever deletes them ends its fault."""
    for one in items:
        metadata = one["metadata"]
        namespace = f"-n {shell(metadata['namespace'])} " if "namespace" in metadata else ""
        step = f"kubectl {namespace}delete {shell(resource)} {shell(metadata['name'])}"
        yield _created(f"{tool} object", one, step, name=f"{resource}/{metadata['name']}")


def _node(node: Json) -> Iterator[Leftover]:
    metadata, spec = node["metadata"], node["spec"]
    name, run = metadata["name"], _annotations(node).get(marks.RUN, "")
    if spec.get("unschedulable"):
        step = f"kubectl uncordon {shell(name)}"
        if run:
            yield _marked(node, "cordon", run, step)
        else:
            manager, since = _changed(node, "f:spec", "f:unschedulable")
            yield Leftover("cordon", name, f"node {name}", step, owner=manager, since=since)
    for taint in spec.get("taints") or []:
        key, effect = taint["key"], taint["effect"]
        step = f"kubectl taint nodes {shell(name)} {shell(f'{key}:{effect}-')}"
        if key.startswith(_OURS):
            yield _marked(node, f"taint {key}", taint.get("value") or run or "unknown", step)
        elif effect == "NoExecute" and not key.startswith(_SYSTEM):
            since = _instant(taint.get("timeAdded"))
            yield Leftover(f"taint {key}", name, f"node {name}", step, since=since)


def _marked(node: Json, what: str, run: str, step: str) -> Leftover:
    """Something of holdfast's own on a node."""
    name, annotations = node["metadata"]["name"], _annotations(node)
    clean = f"kubectl annotate node {shell(name)} " + " ".join(f"{key}-" for key in marks.ON_NODES)
    steps = " && ".join(filter(None, (step, clean)))
    person = annotations.get(marks.OWNER)
    return Leftover(
        what,
        name,
        f"node {name}",
        f"holdfast undo --all-mine, or: {steps}",
        run,
        f"holdfast run {run}" + (f" of {person}" if person else ""),
        _changed(node, "f:metadata", "f:annotations", f"f:{marks.RUN}")[1],
        _instant(annotations.get(marks.EXPIRES)),
    )


def _created(what: str, one: Json, step: str, name: str = "") -> Leftover:
    """Something whose being there is the fault."""
    metadata = one["metadata"]
    managers = metadata.get("managedFields") or [{}]
    where = f"namespace {metadata['namespace']}" if "namespace" in metadata else "the cluster"
    return Leftover(
        what,
        name or metadata["name"],
        where,
        step,
        owner=str(managers[0].get("manager", "")),
        since=_instant(metadata.get("creationTimestamp")),
    )


def _denies(policy: Json, way: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress"]
    return way in types and not spec.get(way.lower())


def _allows(policy: Json, way: str) -> bool:
    return way in (policy["spec"].get("policyTypes") or ["Ingress"]) and not _denies(policy, way)


def _annotations(one: Json) -> Mapping[str, str]:
    return one["metadata"].get("annotations") or {}


def _intended(one: Json) -> bool:
    return bool(_annotations(one).get(INTENDED))


def _changed(one: Json, *way: str) -> tuple[str, datetime | None]:
    """Who last wrote a field, and when, as the API server noted it."""
    for entry in one["metadata"].get("managedFields") or []:
        fields = entry.get("fieldsV1") or {}
        for part in way:
            fields = fields.get(part) if isinstance(fields, dict) else None
        if fields is not None:
            return str(entry.get("manager", "")), _instant(entry.get("time"))
    return "", None


def _instant(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None
