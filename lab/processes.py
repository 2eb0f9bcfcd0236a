"""Processes of a lab: started, remembered, found again, and stopped without hitting a stranger.

A pid is reused sooner or later, so a process is its pid and its start time, and it is signalled
through a pidfd that was opened before both were compared.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.addresses import ID_VARIABLE, REPOSITORY

NICE = 5
_TAKES_S = 1.5  # until the kernel has taken it, with others in the queue
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_PDEATHSIG = 1
_KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")


@dataclass(frozen=True)
class Process:
    """A process of this boot; `started` is field 22 of /proc/PID/stat, in clock ticks."""

    pid: int
    started: int


@dataclass(frozen=True)
class Launch:
    """How to start one process. Its log is appended to; `user` is for root only."""

    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


def base_environment(lab_id: str) -> dict[str, str]:
    """What each process of a lab inherits: little, and no proxy settings."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        ID_VARIABLE: lab_id,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
    }


def start(launch: Launch) -> tuple[Process, subprocess.Popen[bytes]]:
    """Start it in a session of its own, so that it outlives the caller."""
    owner = pwd.getpwnam(launch.user) if launch.user else None
    with launch.log.open("ab") as log:
        popen = subprocess.Popen(
            ("nice", "-n", str(NICE), *launch.command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(launch.environment),
            cwd="/" if owner else REPOSITORY,
            start_new_session=True,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )
    yield_as_session(popen.pid, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    started = start_time(popen.pid)
    return Process(popen.pid, started or 0), popen


def yield_as_session(pid: int, nice: int) -> None:
    """Have its session be nice to others, too, where the kernel shares the processor by session.

    See "The autogroup feature" in sched(7). For an ordinary user the kernel takes one such change
    in 0.1 s, on the whole machine.
    """
    group = Path(f"/proc/{pid}/autogroup")

    def told() -> bool:
        try:
            group.write_text(str(min(19, nice)))
        except BlockingIOError:
            return False
        except OSError:  # it has no such groups, or the process ended
            return True
        return True

    until(told, seconds=_TAKES_S)


def start_time(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot; None when it is gone or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def alive(process: Process) -> bool:
    """Is it this very process that runs under that pid?"""
    return start_time(process.pid) == process.started


def memory(processes: Iterable[int]) -> int:
    """Bytes of memory that these processes hold; shared pages of a family are counted once each."""
    total = 0
    for pid in processes:
        with contextlib.suppress(OSError, ValueError):
            _, resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
            total += (int(resident) - int(shared)) * _PAGE
    return total


def family(process: Process) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        if fields := _stat(pid):
            children.setdefault(int(fields[1]), []).append(pid)
    found = [process.pid]
    for pid in found:
        found += children.get(pid, [])
    return found


def of_lab(lab_id: str) -> list[Process]:
    """Every process that carries the lab's id in its environment, ourselves apart."""
    mark = f"{ID_VARIABLE}={lab_id}".encode()
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                started = start_time(pid)
                if started is not None and pid != os.getpid():
                    found.append(Process(pid, started))
    return found


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone already."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(process):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def stop(processes: Iterable[Process], *, grace: float) -> None:
    """Ask them to end; after `grace` seconds, end those that did not."""
    left = [process for process in processes if send(process, signal.SIGTERM)]
    if not until(lambda: not any(map(alive, left)), seconds=grace):
        for process in left:
            send(process, signal.SIGKILL)
        until(lambda: not any(map(alive, left)), seconds=5)


def until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait for the condition; False when it did not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)  # between two looks at the condition
    return True


def die_with_parent(parent: int) -> Callable[[], None]:
    """For `preexec_fn`: the child is killed when `parent` dies, however it dies."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, …; [19] is the start time."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return content[content.rfind(")") + 2 :].split()


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208
