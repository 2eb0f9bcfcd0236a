"""Whatever ends a run early: a signal, or another thread that saw why it must not go on."""

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

from holdfast.clock import sleep

_AGAIN_S = (
    0.05  # also a signal that comes right before the main thread begins to wait is lost on it
)


class Signals:
    """The first SIGINT or SIGTERM interrupts, once; the others are only remembered.

    Only the main thread is interrupted by what it receives itself. The system may give a signal to
    any other, as it does to a process that was stopped and goes on, and the main thread would sleep
    to the end of its wait. So a thread passes each on, until the main thread has seen it.
    """

    def __init__(self) -> None:
        self._armed = True
        self._before: dict[int, Any] = {}
        self.caught = ""
        self._why = ""

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handle)
        received, self._told = os.pipe()
        os.set_blocking(self._told, False)
        self._told_before = signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        self._passing = threading.Thread(
            target=self._pass_on, args=(received,), name="signals", daemon=True
        )
        self._passing.start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._told_before)
        os.close(self._told)
        self._passing.join()  # before the handlers go, or what it passes on would end the process
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

    def _pass_on(self, received: int) -> None:
        while numbers := os.read(received, 64):
            for number in self._before.keys() & set(numbers):
                while not self.caught and signal.getsignal(number) == self._handle:
                    signal.pthread_kill(threading.main_thread().ident or 0, number)
                    sleep(_AGAIN_S)
        os.close(received)

    def _handle(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.caught = self.caught or name
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt(name)
