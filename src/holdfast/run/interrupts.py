"""Whatever ends a run early: a signal, or another thread that saw why it must not go on."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Signals:
    """The first SIGINT or SIGTERM interrupts, once; the others are only remembered."""

    def __init__(self) -> None:
        self._armed = True
        self._before: dict[int, Any] = {}
        self.caught = ""
        self._why = ""

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_over(self) -> None:
        """Chaos Toolkit has set its own handlers: replace them for as long as it runs."""
        for number in self._before:
            signal.signal(number, self._handle)

    def hold_off(self) -> None:
        """From here on nothing interrupts: healing has begun."""
        self._armed = False

    def rearm(self) -> None:
        """Healing is over: the next signal interrupts again; one that came meanwhile does now."""
        if self.caught:
            raise KeyboardInterrupt(self.caught)
        self._armed = True

    @property
    def why(self) -> str:
        """Why the run was interrupted."""
        return self._why or f"{self.caught or 'SIGINT'} was received"

    def interrupt(self, why: str) -> None:
        """What another thread does when the run must not go on."""
        self._why = self._why or why
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _handle(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.caught = self.caught or name
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt(name)
