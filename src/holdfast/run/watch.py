"""What is looked at while a run is on: pods, fault, customers' process, disk, ledger's sums."""

import threading
from collections.abc import Callable

from holdfast import customers
from holdfast.clock import SECOND, Anchor, now_ns
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.errors import HoldfastError
from holdfast.probes import landed, ledger, restart
from holdfast.run.stream import Listed, Stream, looks

_PODS = "samples/pods.jsonl"
_LOOK_PODS_S = 1.0
_LOOK_FAULT_S = 5.0
_LOOK_SUMS_S = 5.0


class Watch(threading.Thread):
    """Looks at the pods every second and at the fault every five, and writes down what it sees.

    What a watch told in between is written together with the look that confirms it. What must not
    go on, it tells: customers that are gone, a disk that is full.
    """

    def __init__(
        self, here: Context, load: customers.Customers, interrupt: Callable[[str], None]
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self._here = here
        self._load = load
        self._interrupt = interrupt
        self._end = threading.Event()
        self._zones: dict[str, str] = {}  # of the nodes seen so far
        self._last: Listed | None = None
        self._stream: Stream | None = None
        self._may_watch: bool | None = None  # not asked yet

    def run(self) -> None:
        """Look until told to stop."""
        next_fault = now_ns()
        while not self._end.wait(_LOOK_PODS_S):
            try:
                self._pods()
                if now_ns() >= next_fault and self._here.faults() and not self._undone():
                    landed.look(self._here)
                    next_fault = now_ns() + round(_LOOK_FAULT_S * SECOND)
            except (OSError, HoldfastError) as error:
                return self._interrupt(f"the run cannot be recorded: {error}")
            if not self._load.alive() and not self._end.is_set():
                return self._interrupt("the customers' process ended before its time")
        return None

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self.join(timeout=15)
        if self._stream:
            self._stream.stop()
            self._stream.join(timeout=1)

    def _undone(self) -> bool:
        events = self._here.run.records("events.jsonl")
        return any(one["event"] == "undo_began" for one in events)

    def _pods(self) -> None:
        began = now_ns()
        workload = self._here.environment.workload
        cluster = Cluster(self._here.environment.kubernetes.kubeconfig)
        try:
            pods, version = cluster.listed_pods(workload.namespace, workload.selector, self._zones)
        except HoldfastError as error:
            self._here.run.append(_PODS, {"looked_ns": began, "error": str(error)})
            return
        between = None
        if self._last and self._stream:
            heard = self._stream.until(version)
            between = looks(self._last, heard, pods, self._zones)
        seen = {"looked_ns": began, "pods": [restart.told(pod, pod.zone) for pod in pods]}
        written = self._here.run.append_all(_PODS, [*(between or []), seen])
        self._last = Listed(pods, version, began, Anchor(written["mono_ns"], written["wall_ns"]))
        if between is None or not (self._stream and self._stream.is_alive()):
            self._listen(cluster, version)

    def _listen(self, cluster: Cluster, version: int) -> None:
        """Hear of what comes after this list; once a second at most, since so often it is called.

        Without the right to watch pods there are looks alone, which is said once.
        """
        if self._stream:
            self._stream.stop()
        if self._may_watch is None:
            self._may_watch = self._asked(cluster)
        if self._may_watch and version:
            self._stream = Stream(self._here, version)
            self._stream.start()

    def _asked(self, cluster: Cluster) -> bool | None:
        namespace = self._here.environment.workload.namespace
        try:
            may = cluster.may("watch", "pods", namespace)
        except HoldfastError:
            return None  # it is asked again
        if not may:
            why = f"no right to watch pods in namespace {namespace}: seen once a second only"
            self._here.run.append("events.jsonl", {"event": "not_watched", "why": why})
        return may


class Sums(threading.Thread):
    """Reads the ledger's sums, where there are any, and writes them down.

    Every five seconds, or twice in the window of stability where that is shorter than ten, so that
    no fault passes between two looks.

    By itself, since a ledger that hangs must hold up no look at pods or fault.
    """

    def __init__(self, here: Context, interrupt: Callable[[str], None]) -> None:
        super().__init__(name="sums", daemon=True)
        self._here = here
        self._interrupt = interrupt
        self._end = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        books = self._here.environment.ledger
        if books and books.sums:
            try:
                self._look()
            except (OSError, HoldfastError) as error:
                self._interrupt(f"the run cannot be recorded: {error}")

    def _look(self) -> None:
        since = self._here.run.records("events.jsonl")[0]["wall_ns"] / SECOND
        every_s = min(_LOOK_SUMS_S, float(self._here.plan()["extension"]["stable"]) / 2)
        while not self._end.is_set():
            ledger.look_at_sums(self._here, since)
            self._end.wait(every_s)

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self.join(timeout=15)
