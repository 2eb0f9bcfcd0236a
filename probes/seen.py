"""Is there a fault that somebody else made: the witness of a run that only observes."""

from typing import Any

from holdfast import context, heal
from holdfast.probes import restart

__all__ = ["pods_not_ready", "toxics"]


def toxics(configuration: dict[str, Any] | None = None) -> bool:
    """Does a proxy that the policy names carry a toxic, or is one disabled?"""
    here = context.of(configuration)
    names = set(here.environment.policy.proxies)
    systems = heal.open_systems(here.environment)
    found = [
        proxy
        for toxiproxy in systems.toxiproxies.values()
        for name, proxy in toxiproxy.proxies().items()
        if name in names
    ]
    return any(proxy.toxics or not proxy.enabled for proxy in found)


def pods_not_ready(configuration: dict[str, Any] | None = None) -> bool:
    """Is a pod of the workload not ready, or on its way out, or is there none at all?"""
    pods = restart.look(context.of(configuration))
    return not pods or not all(pod["ready"] for pod in pods)
