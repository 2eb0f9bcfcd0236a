"""What is looked at while a run is on: pods, fault, customers' process, disk, ledger's sums."""

import threading
from collections.abc import Callable
from typing import Any

from holdfast import customers
from holdfast.clock import SECOND, now_ns
from holdfast.context import Context
from holdfast.errors import HoldfastError
from holdfast.probes import landed, ledger, restart

_LOOK_PODS_S = 1.0
_LOOK_FAULT_S = 5.0
_LOOK_SUMS_S = 5.0


class Watch(threading.Thread):
    """Looks at the pods every second and at the fault every five, and writes down what it sees.

    What it sees that must not go on, it tells: customers that are gone, a disk that is full.
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

    def _undone(self) -> bool:
        events = self._here.run.records("events.jsonl")
        return any(one["event"] == "undo_began" for one in events)

    def _pods(self) -> None:
        began = now_ns()
        try:
            seen: dict[str, Any] = {"pods": restart.look(self._here, self._zones)}
        except HoldfastError as error:
            seen = {"error": str(error)}
        self._here.run.append("samples/pods.jsonl", {"looked_ns": began, **seen})


class Sums(threading.Thread):
    """Reads the ledger's sums every five seconds, where there are any, and writes them down.

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
        while not self._end.is_set():
            ledger.look_at_sums(self._here, since)
            self._end.wait(_LOOK_SUMS_S)

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self.join(timeout=15)
