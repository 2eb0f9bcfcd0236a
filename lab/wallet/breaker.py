"""A circuit breaker over the last calls of one gateway: pure, its clock is handed in.

Closed lets every call through. Once enough of the last calls failed or were slow it opens: no call
is made. After a wait it is half open: a few trial calls decide between closed and open.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What the breaker does with the next call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Limits:
    """When it opens and for how long; shares are of the calls in the window, times in seconds.

    `call_limit` is kept by whoever makes the call.
    """

    window: int = 20
    minimum: int = 10
    failure_share: float = 0.5
    slow_share: float = 0.5
    slow_seconds: float = 1.0
    call_limit: float = 2.0
    open_seconds: float = 10.0
    trials: int = 3


@dataclass(frozen=True)
class Permit:
    """Leave to make one call; its result counts only while the state it was given in lasts."""

    period: int
    trial: bool


@dataclass(frozen=True)
class Call:
    """How one call went."""

    failed: bool
    slow: bool


class Breaker:
    """One gateway's breaker. `changed` is told of every change of state: from, to."""

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        changed: Callable[[State, State], None],
        *,
        stuck: bool = False,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._changed = changed
        self._stuck = stuck
        self._state = State.CLOSED
        self._period = 0
        self._entered = clock()
        self._permits_out = 0
        self._calls: deque[Call] = deque(maxlen=limits.window)

    @property
    def state(self) -> State:
        """The state as of the last call: an open breaker looks at its wait when asked to admit."""
        return self._state

    def admit(self) -> Permit | None:
        """Leave to call, or None: do not call."""
        if self._state is State.OPEN and self._waited():
            self._enter(State.HALF_OPEN)
        if self._state is State.CLOSED:
            return Permit(self._period, trial=False)
        if self._state is State.OPEN or self._trials_used() >= self._limits.trials:
            return None
        self._permits_out += 1
        return Permit(self._period, trial=True)

    def record(self, permit: Permit, seconds: float, *, failed: bool) -> None:
        """Count how the permitted call went and how long it took."""
        if permit.period != self._period:
            return
        self._permits_out -= permit.trial
        self._calls.append(Call(failed, seconds >= self._limits.slow_seconds))
        if permit.trial:
            self._judge_trials()
        elif len(self._calls) >= self._limits.minimum and self._bad() and not self._stuck:
            self._enter(State.OPEN)

    def release(self, permit: Permit) -> None:
        """Give a permit back: the call was not made, or its result will never be known."""
        if permit.period == self._period:
            self._permits_out -= permit.trial

    def _judge_trials(self) -> None:
        if len(self._calls) >= self._limits.trials:
            self._enter(State.OPEN if self._bad() else State.CLOSED)

    def _trials_used(self) -> int:
        return self._permits_out + len(self._calls)

    def _waited(self) -> bool:
        return self._clock() - self._entered >= self._limits.open_seconds

    def _bad(self) -> bool:
        count = len(self._calls)
        failed = sum(call.failed for call in self._calls)
        slow = sum(call.slow for call in self._calls)
        return (
            failed >= self._limits.failure_share * count or slow >= self._limits.slow_share * count
        )

    def _enter(self, state: State) -> None:
        before, self._state = self._state, state
        self._period += 1
        self._entered = self._clock()
        self._permits_out = 0
        self._calls.clear()
        self._changed(before, state)
