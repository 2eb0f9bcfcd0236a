"""What a watch tells of the pods between two lists of them: looks at the instants of its events.

They count only when they lead to exactly what the next list shows, version by version. A watch that
is late, has ended or is silently dead leaves the lists alone: it makes nothing look better.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from holdfast.clock import Anchor, now_ns
from holdfast.cluster import Change, Cluster, Pod, PodWatch
from holdfast.context import Context
from holdfast.errors import HoldfastError
from holdfast.probes import restart

UNDER_WAY_NS = 40_000_000  # an event may have been on its way for so long
_MOST = 1_000  # events between two lists; a watch that tells more is no help


@dataclass(frozen=True)
class Listed:
    """The pods of a list, its version, when it was asked for, and when it was written down."""

    pods: list[Pod]
    version: int
    began_ns: int
    written: Anchor


@dataclass(frozen=True)
class Heard:
    """A pod that has changed, or is gone: after one instant, and before it was read at another."""

    pod: Change
    after_ns: int
    at: Anchor


class Stream(threading.Thread):
    """Hears what becomes of the pods from a list on, until the watch ends or is stopped."""

    def __init__(self, here: Context, since: int) -> None:
        super().__init__(name="stream", daemon=True)
        self._here = here
        self._since = since
        self._heard: deque[Heard] = deque()
        self._watch: PodWatch | None = None
        self._end = threading.Event()

    def run(self) -> None:
        """Listen; whatever goes wrong only ends it."""
        workload = self._here.environment.workload
        cluster = Cluster(self._here.environment.kubernetes.kubeconfig)
        try:
            self._watch = cluster.watch_pods(workload.namespace, workload.selector, self._since)
            if self._end.is_set():
                self._watch.stop()
            self._listen(self._watch)
        except (OSError, HoldfastError):
            return

    def _listen(self, watch: PodWatch) -> None:
        after_ns, waits_ns = 0, now_ns()
        for change in watch:
            at = Anchor.take()
            if at.mono_ns - waits_ns >= UNDER_WAY_NS:  # else it may have come long before
                after_ns = at.mono_ns - UNDER_WAY_NS
            if self._end.is_set() or len(self._heard) >= _MOST:
                return watch.stop()
            self._heard.append(Heard(change, after_ns, at))
            waits_ns = now_ns()
        return None

    def until(self, version: int) -> list[Heard]:
        """What was heard up to that version, and was not asked for yet."""
        found = []
        while self._heard and self._heard[0].pod.version <= version:
            found.append(self._heard.popleft())
        return found

    def stop(self) -> None:
        """Listen no more; what still waits for an answer is left to itself."""
        self._end.set()
        if self._watch:
            self._watch.stop()


def looks(
    before: Listed, heard: Iterable[Heard], after: list[Pod], zones: dict[str, str]
) -> list[dict[str, Any]] | None:
    """The looks between two lists: the pods right before each event that changed them, and then.

    Of events that may have come together, only before the first. None when the events do not lead
    from the one list to the other.
    """
    versions = {pod.uid: pod.version for pod in before.pods}
    pods = {pod.uid: restart.told(pod, pod.zone) for pod in before.pods}
    was, last_ns, found = [*pods.values()], before.began_ns, list[dict[str, Any]]()
    for one in heard:
        pod = one.pod
        if pod.gone:
            versions.pop(pod.uid, None)
            pods.pop(pod.uid, None)
        else:
            versions[pod.uid] = pod.version
            pods[pod.uid] = restart.told(pod, zones.get(pod.node, ""))
        now = sorted(pods.values(), key=itemgetter("name"))
        if now != was:
            at = max(one.at, before.written, key=lambda instant: instant.mono_ns)
            after_ns = max(one.after_ns, before.began_ns)
            when = {"looked_ns": after_ns, "mono_ns": at.mono_ns, "wall_ns": at.wall_ns}
            if after_ns > last_ns:
                found.append({**when, "pods": was})
            found.append({**when, "pods": now})
            was, last_ns = now, after_ns
    return found if versions == {pod.uid: pod.version for pod in after} else None
