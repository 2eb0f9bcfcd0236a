"""What the scheduler looks at: requests, room on nodes, spread, and label selectors. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

type Json = dict[str, Any]

_SUFFIX = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SUFFIX |= {"P": 1e15, "E": 1e18} | {f"{one}i": 1024.0**n for n, one in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?|\d+\.)([numkMGTPE]|[KMGTPE]i)?")
RESOURCES = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class Spread:
    """A topology spread constraint that forbids (`DoNotSchedule`); its domains are label values.

    Unless it honours taints, nodes that are cordoned count as domains, and stay empty.
    """

    key: str
    max_skew: int
    selector: Json
    honours_taints: bool = False


def quantity(text: str) -> float:
    """A Kubernetes quantity such as `100m`, `128Mi` or `2` as a number.

    Raises:
        ValueError: it is not one.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    return float(match[1]) * _SUFFIX[match[2] or ""]


def matches(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Does a label selector of the API match? An empty one matches everything, none nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    rules = selector.get("matchExpressions") or []
    return wanted.items() <= labels.items() and all(_rule(one, labels) for one in rules)


def _rule(rule: Json, labels: Mapping[str, str]) -> bool:
    key, operator, values = rule["key"], rule["operator"], rule.get("values") or []
    if operator in ("In", "NotIn"):
        return bool((labels.get(key) in values) == (operator == "In"))
    if operator in ("Exists", "DoesNotExist"):
        return bool((key in labels) == (operator == "Exists"))
    raise KeyError(operator)


def tolerated(toleration: Json, taint: tuple[str, str, str]) -> bool:
    """Does a toleration of a pod bear this taint (key, value, effect)?"""
    key, value, effect = taint
    anything = toleration.get("operator") == "Exists"
    same = toleration.get("key", "") == key and (anything or toleration.get("value", "") == value)
    return (same or (anything and not toleration.get("key"))) and toleration.get("effect", "") in (
        "",
        effect,
    )


def asks(spec: Json) -> dict[str, float]:
    """What a pod asks for: its containers together, or its largest init container if that is more.

    Init containers that keep running (sidecars) count with the containers; so does the overhead.
    """
    inits = spec.get("initContainers") or []
    beside = [*spec["containers"], *(one for one in inits if one.get("restartPolicy") == "Always")]
    once = [one for one in inits if one.get("restartPolicy") != "Always"]
    overhead = spec.get("overhead") or {}
    return {
        name: max(sum(_asked(one, name) for one in beside), *(_asked(one, name) for one in once), 0)
        + quantity(overhead.get(name, "0"))
        for name in RESOURCES
    }


def _asked(container: Json, name: str) -> float:
    requests = (container.get("resources") or {}).get("requests") or {}
    return quantity(requests.get(name, "0"))


def room(status: Json) -> dict[str, float]:
    """What a node can give to pods, their number among it."""
    allocatable = status.get("allocatable") or {}
    return {name: quantity(value) for name, value in allocatable.items() if name in _GIVEN}


_GIVEN = (*RESOURCES, "pods")


def spreads(metadata: Json, spec: Json) -> tuple[Spread, ...]:
    """The constraints that keep a pod pending; `matchLabelKeys` become part of the selector."""
    labels = metadata.get("labels") or {}
    found = []
    for one in spec.get("topologySpreadConstraints") or []:
        if one["whenUnsatisfiable"] == "DoNotSchedule":
            selector = dict(one.get("labelSelector") or {})
            more = {key: labels[key] for key in one.get("matchLabelKeys") or [] if key in labels}
            selector["matchLabels"] = {**(selector.get("matchLabels") or {}), **more}
            honours = one.get("nodeTaintsPolicy") == "Honor"
            found.append(Spread(one["topologyKey"], one["maxSkew"], selector, honours))
    return tuple(found)


def unmodelled(spec: Json) -> tuple[str, ...]:
    """What else would decide where a pod may go, and is not looked at here."""
    affinity = spec.get("affinity") or {}
    found = [
        name
        for name, there in {
            "node affinity": (affinity.get("nodeAffinity") or {}).get(_REQUIRED),
            "pod affinity": (affinity.get("podAffinity") or {}).get(_REQUIRED),
            "pod anti-affinity": (affinity.get("podAntiAffinity") or {}).get(_REQUIRED),
            "volumes": any("persistentVolumeClaim" in one for one in spec.get("volumes") or []),
        }.items()
        if there
    ]
    return tuple(found)


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
