"""Wake at an exact instant: the event loop's own timers are up to 1 ms late, a timerfd is not."""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from typing import Protocol

from holdfast.clock import SECOND

CLOCK_MONOTONIC = 1
ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class Pacer(Protocol):
    """Calls back once, at the instant it was last armed for; at once if that has passed.

    What it calls has to arm it again, or to close it.
    """

    def arm(self, at_ns: int) -> None:
        """Call back at this instant of the monotonic clock."""

    def close(self) -> None:
        """Call back no more."""


def pacer(loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> Pacer:
    """The best pacer that this system has."""
    if sys.version_info >= (3, 13) and hasattr(os, "timerfd_create"):
        return _Timerfd(loop, due, os.timerfd_create(CLOCK_MONOTONIC), _set_by_os)
    if hasattr(ctypes.CDLL(None), "timerfd_create"):
        return by_ctypes(loop, due)
    return LoopTimer(loop, due)


def by_ctypes(loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> Pacer:
    """A timerfd on Python 3.12, whose `os` cannot make one."""
    libc = ctypes.CDLL(None, use_errno=True)

    def set_time(fd: int, at_ns: int) -> None:
        fields = (ctypes.c_long * 4)(0, 0, *divmod(at_ns, SECOND))  # interval, then the instant
        if libc.timerfd_settime(fd, ABSOLUTE, fields, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    fd = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    return _Timerfd(loop, due, fd, set_time)


def _set_by_os(fd: int, at_ns: int) -> None:
    if sys.version_info >= (3, 13):
        os.timerfd_settime_ns(fd, flags=ABSOLUTE, initial=at_ns)


class _Timerfd:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        due: Callable[[], None],
        fd: int,
        set_time: Callable[[int, int], None],
    ) -> None:
        self._loop, self._fd, self._set_time = loop, fd, set_time
        loop.add_reader(fd, due)  # to arm it again makes it unreadable: nothing needs to be read

    def arm(self, at_ns: int) -> None:
        self._set_time(self._fd, max(1, at_ns))  # zero would disarm it

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


class LoopTimer:
    """The event loop's own timer, where there is no timerfd: about 0.5 ms late."""

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> None:
        self._loop, self._due = loop, due
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, at_ns: int) -> None:
        """Call back at this instant of the monotonic clock."""
        self.close()
        self._handle = self._loop.call_at(at_ns / SECOND, self._due)

    def close(self) -> None:
        """Call back no more."""
        if self._handle:
            self._handle.cancel()
