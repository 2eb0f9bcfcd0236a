"""Put everything back."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from holdfast import context, heal
from holdfast.errors import FaultRemains

__all__ = ["everything"]


def everything(configuration: dict[str, Any] | None = None) -> list[str]:
    """Undo whatever this run has left behind, newest first, and read it back.

    A signal that comes meanwhile changes nothing, and is handled afterwards.

    Raises:
        FaultRemains: names everything that could not be undone.
    """
    here = context.of(configuration)
    pending = heal.pending(here.run)
    with _signals_later():
        failures = heal.undo_all(here.run, here.environment)
    if failures:
        raise FaultRemains(
            f"{len(failures)} of {len(pending)} heals",
            "; ".join(str(one) for one in failures),
            f"Look at the targets now, then: holdfast undo {here.run.folder}",
        )
    return [one.operation for one in pending]


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """A signal is handled once this is over: at a second one Chaos Toolkit ends its rollbacks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.signal(one, lambda got, _: came.append(got)) for one in numbers}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in came[:1]:
            signal.raise_signal(number)
