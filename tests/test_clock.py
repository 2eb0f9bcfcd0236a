"""Time limits that hold whatever happens inside them."""

import threading
from contextvars import ContextVar

import pytest

from holdfast.clock import SECOND, now_ns, within


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


def test_context_variables_go_along() -> None:
    name: ContextVar[str] = ContextVar("name")
    name.set("wallet")
    assert within(5, name.get) == "wallet"
