"""A signal ends the main thread's wait, whichever thread the system gave it to."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from holdfast.clock import ticks, until
from holdfast.run.interrupts import Signals


def waits() -> bool:
    """Does the main thread wait, and not only for its turn with another?"""
    stat = Path(f"/proc/self/task/{os.getpid()}/stat")
    return all(stat.read_text().split(") ")[1][0] == "S" for _ in ticks(0.1, every=0.01))


@contextmanager
def receiver(number: int) -> Iterator[tuple[int, list[str]]]:
    """A pipe to wait at, and what another thread did that receives a signal meanwhile."""
    reads, writes = os.pipe()
    over, did = threading.Event(), list[str]()

    def receive() -> None:
        until(waits, seconds=5)
        signal.pthread_kill(threading.get_ident(), number)
        if not over.wait(2):
            did.append("ended the wait")
            os.write(writes, b".")

    thread = threading.Thread(target=receive)
    with closing(os.fdopen(reads)), closing(os.fdopen(writes, "w")):
        thread.start()
        try:
            yield reads, did
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_another_thread_receives_ends_the_wait(number: signal.Signals) -> None:
    with Signals() as signals:
        with pytest.raises(KeyboardInterrupt), receiver(number) as (reads, did):
            os.read(reads, 1)
        assert did == []
        assert signals.why == f"{number.name} was received"


def test_what_another_thread_receives_is_only_remembered_while_healing() -> None:
    with Signals() as signals:
        signals.hold_off()
        with receiver(signal.SIGTERM) as (reads, did):
            assert os.read(reads, 1) == b"."
            assert did == ["ended the wait"]
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            signals.rearm()


def test_handlers_and_threads_are_as_before_afterwards() -> None:
    before, threads = signal.getsignal(signal.SIGTERM), threading.active_count()
    with Signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1
