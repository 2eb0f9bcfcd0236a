"""Runs the commands that build or download programs, several at a time, into the cache."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.cache import Cache, Workplace, discard
from lab.errors import LabError
from lab.progress import Progress
from lab.versions import UnfitError

_EVERY = 0.1  # seconds between two looks at the commands
_GRACE = 5.0  # seconds for a command to end after SIGTERM
_TAIL = 15  # lines of a failed command's log that are shown


@dataclass(frozen=True)
class Job:
    """A command that fills the folder it is given, which then becomes the cache's entry `key`."""

    what: str
    key: str
    command: Callable[[Path], Sequence[str]]
    check: Callable[[Path], object]  # raises UnfitError if what lies in the folder is not good
    next_step: str
    remark: str = ""
    workdir: Path = Path("/")
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    job: Job
    place: Workplace
    log: Path
    popen: subprocess.Popen[bytes]


def bring(jobs: Sequence[Job], cache: Cache, slots: int, progress: Progress) -> None:
    """Do the jobs, at most `slots` at a time; the caller holds the cache's lock.

    SIGINT and SIGTERM end it as they would have, after the commands were stopped.

    Raises:
        LabError: one failed. The others are stopped, and nothing of any of them is left.
    """
    waiting = list(jobs)
    running: list[_Running] = []
    with _signals() as received:
        try:
            while waiting or running:
                while waiting and len(running) < slots:
                    running.append(_start(waiting.pop(0), cache, progress))
                time.sleep(_EVERY)  # between two looks at builds that go on
                _leave_if(received)
                for each in [each for each in running if each.popen.poll() is not None]:
                    _finish(each, cache, progress)
                    running.remove(each)
                for each in running:
                    progress.goes_on(each.job.what)
        finally:
            for each in running:
                _stop(each)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM: acted on at one place, so that no command is lost sight of."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda got, _: received.append(got)) for each in numbers}
    try:
        yield received
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _leave_if(received: list[int]) -> None:
    if signal.SIGINT in received:
        raise KeyboardInterrupt
    if received:
        raise SystemExit(128 + received[0])


def _start(job: Job, cache: Cache, progress: Progress) -> _Running:
    place = cache.new()
    log = cache.path(f"{job.key}.log")
    environment = {**os.environ, **job.variables, "TMPDIR": str(place.scratch)}
    try:
        with log.open("wb") as file:
            popen = subprocess.Popen(
                job.command(place.entry),
                cwd=job.workdir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own children can be ended with it
            )
    except BaseException:
        discard(place.folder)
        raise
    progress.began(job.what, job.remark)
    return _Running(job, place, log, popen)


def _finish(each: _Running, cache: Cache, progress: Progress) -> None:
    job = each.job
    try:
        if each.popen.returncode != 0:
            raise UnfitError(f"the command ended with {each.popen.returncode}")
        job.check(each.place.entry)
    except UnfitError as fault:
        progress.ended(job.what, "failed")
        lines = each.log.read_text(errors="replace").splitlines()[-_TAIL:]
        shown = "".join(f"\n  {line}" for line in lines)
        reason = f"{fault}{shown}\n  (the whole log: {each.log})"
        raise LabError(job.what, reason, job.next_step) from None
    cache.keep(each.place, job.key)
    each.log.unlink()
    progress.ended(job.what, "done")


def _stop(each: _Running) -> None:
    """End the command with its children and remove what it made so far."""
    if each.popen.poll() is None:
        os.killpg(each.popen.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            each.popen.wait(_GRACE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.popen.pid, signal.SIGKILL)
        each.popen.wait()
    discard(each.place.folder)
