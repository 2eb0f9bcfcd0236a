"""Did the fault really happen, and does it last: read back, and the bytes that went its way."""

from collections.abc import Mapping
from typing import Any

from holdfast import context, heal
from holdfast.clock import now_ns
from holdfast.context import Context
from holdfast.errors import HoldfastError
from holdfast.model import Heal, Json
from holdfast.prometheus import Prometheus
from holdfast.signals import raw_samples

__all__ = ["still_there"]

READBACKS = "samples/readbacks.jsonl"


def still_there(configuration: dict[str, Any] | None = None) -> bool:
    """Is everything that the run's action changed still as it left it?

    Each answer is written down; a system that does not answer makes it false, with its reason.
    """
    return look(context.of(configuration))


def look(here: Context) -> bool:
    """Read every fault back now, and write down what was seen."""
    began = now_ns()
    try:
        missing = list(_missing(here))
        seen: dict[str, Any] = {"in_place": not missing, "missing": missing}
    except HoldfastError as error:
        seen = {"in_place": None, "error": str(error)}
    here.run.append(READBACKS, {"looked_ns": began, **seen})
    return seen["in_place"] is True


def raw(here: Context, window_s: float, at_wall_s: float) -> Mapping[str, Any]:
    """Prometheus' raw samples of the bytes through each proxy, and of which targets answered."""
    prometheus = Prometheus(here.environment.prometheus.url)
    return {
        name: prometheus.raw(raw_samples(here.named(name), window_s), at_wall_s)
        for name in ("proxy_bytes", "up")
    }


def _missing(here: Context) -> list[str]:
    """What of the fault is no longer there, in words."""
    systems = heal.open_systems(here.environment)
    gone = [
        f"{one.operation} of {dict(one.arguments)}: the change is not there any more"
        for one in heal.pending(here.run)
        if not _in_place(one, systems)
    ]
    killed = [target for fault in here.faults() for target in fault["targets"] if "uid" in target]
    return gone + _alive(systems, killed)


def _in_place(one: Heal, systems: heal.Systems) -> bool:
    arguments = one.arguments
    if one.operation in ("remove_toxic", "enable_proxy"):
        proxy = systems.toxiproxy(arguments["url"]).proxies().get(arguments["proxy"])
        if proxy is None:
            return False
        if one.operation == "enable_proxy":
            return not proxy.enabled
        toxic, asked = proxy.toxics.get(arguments["toxic"]), arguments.get("attributes")
        return toxic is not None and asked in (None, dict(toxic.attributes))
    nodes = systems.cluster.nodes()
    node = next((node for node in nodes if node.name == arguments.get("node")), None)
    if one.operation == "uncordon":
        return node is not None and node.unschedulable
    if one.operation == "untaint":
        return node is not None and any(key == arguments["key"] for key, _, _ in node.taints)
    return True


def _alive(systems: heal.Systems, killed: list[Json]) -> list[str]:
    """Which pods that were killed are there all the same."""
    uids = {str(one["uid"]): one for one in killed if "pod" in one}
    namespaces = {str(one["namespace"]) for one in uids.values()}
    return [
        f"pod {pod.name} is still there"
        for namespace in sorted(namespaces)
        for pod in systems.cluster.pods(namespace)
        if pod.uid in uids
    ]
