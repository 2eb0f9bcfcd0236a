"""The only module that reads the time or waits.

Instants are nanoseconds of CLOCK_MONOTONIC, which every process of this host shares. An `Anchor`
ties them to the wall clock, which is read at the start and at the end of a run only.
"""

import contextvars
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf, isfinite

SECOND = 1_000_000_000
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def now_ns() -> int:
    """This instant, in nanoseconds of the monotonic clock."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """This instant by the wall clock, in nanoseconds since 1970, UTC."""
    return time.time_ns()


def utc_now() -> datetime:
    """This instant, in UTC."""
    return datetime.now(UTC)


def seconds(text: object) -> float:
    """`500ms`, `60s`, `5m` or `1h` in seconds; a bare number has no unit and is refused.

    Raises:
        ValueError: it is no such duration.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text) if isinstance(text, str) else None
    found = float(match[1]) * _UNITS[match[2]] if match else inf
    if not isfinite(found):
        raise ValueError(f"{text!r} is not a duration such as 500ms, 60s or 5m")
    return found


@dataclass(frozen=True)
class Anchor:
    """One instant on both clocks."""

    mono_ns: int
    wall_ns: int

    @classmethod
    def take(cls) -> "Anchor":
        """Read both clocks, the wall clock between two readings of the other."""
        before = now_ns()
        wall = wall_ns()
        return cls((before + now_ns()) // 2, wall)

    def to_wall_ns(self, mono_ns: int) -> int:
        """Wall-clock nanoseconds of a monotonic instant."""
        return self.wall_ns + mono_ns - self.mono_ns

    def to_mono_ns(self, wall_ns: int) -> int:
        """Monotonic nanoseconds of a wall-clock instant."""
        return self.mono_ns + wall_ns - self.wall_ns

    def utc(self, mono_ns: int) -> datetime:
        """The instant as a UTC date and time."""
        return datetime.fromtimestamp(self.to_wall_ns(mono_ns) / SECOND, UTC)


def sleep(seconds: float) -> None:
    """Wait; a signal whose handler raises ends it early."""
    time.sleep(max(0.0, seconds))


def deadline(seconds: float) -> int:
    """The instant that lies so many seconds ahead."""
    return now_ns() + round(seconds * SECOND)


def ticks(seconds: float, *, every: float) -> Iterator[int]:
    """Yield now, then once every `every` seconds, and a last time when `seconds` have passed."""
    end = deadline(seconds)
    while (now := now_ns()) < end:
        yield now
        sleep(min(every, (end - now_ns()) / SECOND))
    yield now_ns()


def until(condition: Callable[[], bool], *, seconds: float, every: float = 0.05) -> bool:
    """Wait until the condition is true; False when it was not within `seconds`."""
    return any(condition() for _ in ticks(seconds, every=every))


def within[T](seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises, within so many seconds in all.

    A socket's own time limit starts again with every byte, and a name's lookup has none: only a
    thread of its own can be left behind. It goes on, so `work` asks `left_s` before it acts.

    Raises:
        TimeoutError: it was not done by then; its daemon thread is left to itself.
    """
    wait = _Wait(deadline(seconds))
    context = contextvars.copy_context()
    context.run(_waits.set, wait)
    answer = context.run(begun, work)
    try:
        return answer(seconds)
    except queue.Empty:
        raise TimeoutError(f"not done within {seconds:g} s") from None
    finally:
        wait.over = True  # a signal ends the wait, too


def begun[T](work: Callable[[], T]) -> Callable[[float | None], T]:
    """Begin `work` in a daemon thread: a signal ends the wait for it, and it keeps no process up.

    Call what this returns, with the seconds to wait or None, for what `work` returns or raises.

    Raises:
        queue.Empty: then, it was not done in that time.
    """
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
    context = contextvars.copy_context()

    def body() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:  # noqa: BLE001  # whatever it is, the caller raises it
            answers.put((None, error))

    def answer(seconds: float | None) -> T:
        found, error = answers.get(timeout=seconds)
        if error is not None:
            raise error
        return found  # type: ignore[return-value]  # None only where work returned it

    threading.Thread(target=context.run, args=(body,), name="begun", daemon=True).start()
    return answer


def left_s() -> float:
    """How long whoever waits for this work, in `within`, still does: seconds, 0 once they gave up.

    Infinite where nobody waits. What has not been sent by then must not be sent any more: it would
    arrive when its sender's caller has long undone it.
    """
    wait = _waits.get()
    if wait is None:
        return math.inf
    return 0.0 if wait.over else max(0.0, (wait.ends_ns - now_ns()) / SECOND)


@dataclass
class _Wait:
    """That somebody waits for what `within` does: until when at most, and whether no more."""

    ends_ns: int
    over: bool = False


_waits: contextvars.ContextVar[_Wait | None] = contextvars.ContextVar("waits", default=None)
