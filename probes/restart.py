"""Were pods that died replaced, and how soon were as many ready as before."""

from typing import Any

from holdfast import context
from holdfast.cluster import Change, Cluster, Pod
from holdfast.context import Context

__all__ = ["replicas_ready"]


def replicas_ready(at_least: int, configuration: dict[str, Any] | None = None) -> bool:
    """Are at least so many replicas of the workload ready now?"""
    ready = [pod for pod in look(context.of(configuration)) if pod["ready"]]
    return len(ready) >= at_least


def look(here: Context, zones: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The workload's pods as they are now: name, uid, zone, and whether each is ready.

    `zones` remembers the zones of nodes from look to look.
    """
    workload = here.environment.workload
    cluster = Cluster(here.environment.kubernetes.kubeconfig)
    pods = cluster.pods(workload.namespace, workload.selector, zones)
    return [told(pod, pod.zone) for pod in pods]


def told(pod: Pod | Change, zone: str) -> dict[str, Any]:
    """A pod as a look tells of it."""
    return {"name": pod.name, "uid": pod.uid, "zone": zone, "ready": pod.serving}
