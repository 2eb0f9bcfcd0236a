"""Start the watchdog, and notice within a second when it is gone.

It lives in a session of its own and holds a pipe from this process: when that closes, however this
process ends, it undoes what is left. Its answers are heartbeats; silence means that nobody watches.
"""

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from holdfast import lock
from holdfast.documents import Environment
from holdfast.errors import HoldfastError, Unreachable
from holdfast.store import Run, open_private

BEAT_S = 0.2
SILENT_S = 1.0  # without a heartbeat for so long the run aborts
LOG = "watchdog.log"

_START_S = 15.0
_END_S = 30.0


@dataclass
class Watchdog:
    """The watchdog's process.

    Both pipes are bare descriptors on purpose: no garbage collector closes them, so who starts a
    watchdog and keeps nothing (an action under plain `chaos run`) has it until the process ends.
    """

    run: Run
    process: subprocess.Popen[bytes]
    pipe: int
    beats: int

    def beat(self, seconds: float) -> bool:
        """Was a heartbeat seen within so many seconds?

        Who was itself stopped for longer than that looks once more: the beats are still there.
        """
        ready = any(select.select([self.beats], [], [], wait)[0] for wait in (seconds, 0))
        return ready and bool(os.read(self.beats, 1 << 16))

    def let_go(self, *, wait: bool) -> None:
        """Close the pipe: it undoes what is left, gives the lock back, and ends."""
        os.close(self.pipe)
        if wait:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on by itself
                self.process.wait(_END_S)

    def end(self, *, wait: bool) -> None:
        """Let it go, and hear no more."""
        self.let_go(wait=wait)
        os.close(self.beats)


class Guardian(threading.Thread):
    """Tells, once, when the watchdog is gone or silent."""

    def __init__(self, watchdog: Watchdog, lost: Callable[[str], None]) -> None:
        super().__init__(name="guardian", daemon=True)
        self._watchdog = watchdog
        self._lost = lost
        self._over = threading.Event()

    def run(self) -> None:
        """Wait for heartbeats until one is missing, or until told to stop."""
        while self._watchdog.beat(SILENT_S):
            if self._over.is_set():
                return
        if not self._over.is_set():
            self._lost("the watchdog is gone: nobody would undo the fault for us")

    def end(self, *, wait: bool) -> None:
        """Let the watchdog go, which then is no loss; with its end comes that of this thread."""
        self._over.set()
        self._watchdog.let_go(wait=wait)
        self.join()  # or it would read from a number that is another file's by then
        os.close(self._watchdog.beats)


def start(run: Run) -> Watchdog:
    """Start the watchdog of a run that has the lock; returns once it watches.

    Raises:
        Unreachable: it ended, or did not answer within 15 s.
    """
    folder = str(run.folder.resolve())
    command = [sys.executable, "-P", "-m", "holdfast.watchdog", folder, str(os.getpid())]
    theirs, pipe = os.pipe()
    beats, sends = os.pipe()
    with open_private(run.path(LOG)) as log:
        process = subprocess.Popen(
            command, stdin=theirs, stdout=sends, stderr=log, start_new_session=True
        )
    os.close(theirs)
    os.close(sends)
    started = Watchdog(run, process, pipe, beats)
    ready = False
    try:
        ready = started.beat(_START_S)
    finally:
        if (
            not ready
        ):  # also when a signal came meanwhile: it would miss the lock, and tell us again
            process.kill()
            started.end(wait=True)
    if not ready:
        why = run.path(LOG).read_text("utf-8", "replace").strip().splitlines() or [
            "it said nothing"
        ]
        raise Unreachable("the watchdog", why[-1], f"Read {run.path(LOG)}")
    return started


def begin(run: Run, environment: Environment) -> Watchdog:
    """Start the watchdog of a run that has the lock; when it cannot be, the lock is given back.

    Raises:
        Unreachable: nobody would watch.
    """
    try:
        return start(run)
    except BaseException:
        with contextlib.suppress(HoldfastError):
            lock.release(run, environment)
        run.path(lock.FILE).unlink()  # so that the next fault of this run tries it again
        raise


def ensure(run: Run, environment: Environment) -> bool:
    """Take the lock and start the watchdog, unless this run has them: for plain `chaos run`.

    True when they had to be: that may have taken a while, so what was seen before is to be seen
    again.

    Raises:
        Refused: somebody else has the lock.
        Unreachable: nobody would watch.
    """
    if lock.held(run) is not None:
        return False
    lock.acquire(run, environment)
    begin(run, environment)
    return True
