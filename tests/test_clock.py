"""Time limits that hold whatever happens inside them; waits; two clocks tied together."""

import math
import signal
import threading
from contextvars import ContextVar
from datetime import UTC, datetime

import pytest

from holdfast.clock import (
    SECOND,
    Anchor,
    deadline,
    left_s,
    now_ns,
    sleep,
    ticks,
    until,
    utc_now,
    within,
)


def test_what_is_done_in_time_is_returned_or_raised() -> None:
    assert within(5, lambda: 7) == 7
    assert within(5, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)


def test_what_takes_longer_is_left_behind() -> None:
    never = threading.Event()
    began = now_ns()
    with pytest.raises(TimeoutError, match=r"not done within 0\.05 s"):
        within(0.05, never.wait)
    assert now_ns() - began < SECOND
    never.set()


def test_what_is_left_behind_learns_that_nobody_waits() -> None:
    """Its time being over, or because a signal has ended the wait."""
    assert left_s() == math.inf
    assert 4 < within(5, left_s) <= 5
    assert within(5, lambda: within(1, left_s)) <= 1
    left: list[float] = []

    def work() -> None:
        sleep(0.3)
        left.append(left_s())

    with pytest.raises(TimeoutError):
        within(0.1, work)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            within(60, work)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert until(lambda: len(left) == 2, seconds=10)
    assert left == [0, 0]


def test_context_variables_go_along() -> None:
    name: ContextVar[str] = ContextVar("name")
    name.set("wallet")
    assert within(5, name.get) == "wallet"


# ── waits ─────────────────────────────────────────────────────────────────────────────────────────


def elapsed(began: int) -> float:
    return (now_ns() - began) / SECOND


def test_ticks_come_now_then_regularly_then_at_the_end() -> None:
    began = now_ns()
    seen = [(now - began) / SECOND for now in ticks(0.25, every=0.1)]
    assert 2 <= len(seen) <= 4  # a busy machine may miss one
    assert seen == sorted(set(seen))
    assert seen[-1] >= 0.25


def test_ticks_of_no_time_come_once() -> None:
    assert len(list(ticks(0, every=1))) == 1
    assert len(list(ticks(-5, every=1))) == 1


def test_ticks_do_not_outlast_their_time() -> None:
    """A step longer than what is left is cut."""
    began = now_ns()
    assert len(list(ticks(0.1, every=60))) == 2
    assert 0.1 <= elapsed(began) < 5


def test_until_ends_as_soon_as_it_is_true() -> None:
    began, asked = now_ns(), [False, False, True]
    assert until(lambda: asked.pop(0), seconds=60, every=0.01)
    assert elapsed(began) < 5
    assert asked == []


def test_until_gives_up() -> None:
    began = now_ns()
    assert not until(lambda: False, seconds=0.1, every=0.02)
    assert 0.1 <= elapsed(began) < 5


def test_until_asks_a_last_time_when_the_time_has_passed() -> None:
    came = threading.Event()
    threading.Timer(0.1, came.set).start()
    assert until(came.is_set, seconds=0.2, every=60)


def test_until_asks_at_least_once() -> None:
    assert until(lambda: True, seconds=0)
    assert not until(lambda: False, seconds=0)


def test_a_sleep_of_less_than_nothing_is_none() -> None:
    began = now_ns()
    sleep(-5)
    assert elapsed(began) < 5


def test_a_deadline_lies_ahead() -> None:
    before = now_ns()
    assert before + 2 * SECOND <= deadline(2) <= now_ns() + 2 * SECOND


# ── two clocks ────────────────────────────────────────────────────────────────────────────────────


def test_an_anchor_ties_both_clocks_to_the_nanosecond() -> None:
    anchor = Anchor(5_000, 1_700_000_000 * SECOND + 1)
    assert anchor.to_wall_ns(5_002) == 1_700_000_000 * SECOND + 3
    assert anchor.to_mono_ns(1_700_000_000 * SECOND + 3) == 5_002
    assert anchor.utc(5_000 + SECOND) == datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)


def test_an_anchor_is_of_this_instant() -> None:
    before, taken, after = now_ns(), Anchor.take(), now_ns()
    assert before <= taken.mono_ns <= after
    assert abs(taken.utc(now_ns()) - utc_now()).total_seconds() < 5
