"""The undo when its own log cannot be written or read, or is gone: the fault goes all the same."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast import heal, lock
from holdfast.actions import gateway, null
from holdfast.clock import ticks, until
from holdfast.context import Context
from holdfast.heal import log as heal_log
from holdfast.store import Run
from holdfast.store.chain import Disk, free
from holdfast.toxiproxy import Toxic, Toxiproxy
from holdfast.watchdog import Watchdog
from tests.conftest import RealToxiproxy, configured
from tests.fakes import FakeKubernetes, absent, swept
from tests.test_lock import ManualClock
from tests.test_watchdog import PROXY, gone, poison, runner

HOLD = """
import fcntl, sys, time
files = [open(name, "a") for name in sys.argv[1:]]
for file in files:
    fcntl.flock(file, fcntl.LOCK_EX)
print("has them", flush=True)
time.sleep(600)  # until it is killed
"""


@contextlib.contextmanager
def stopped_while_it_writes(run: Run) -> Iterator[None]:
    """A process that was stopped just where it has both files of the run's undo."""
    names = [str(run.path(one)) for one in ("events.jsonl", "heals.jsonl")]
    command = [sys.executable, "-c", HOLD, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.kill()


class Hanging(Disk):
    """A disk on which no write ends before it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def write(self, file: io.FileIO, line: bytes) -> None:
        """Not before that."""
        assert self.go.wait(60)
        super().write(file, line)


def began(work: Callable[[], object]) -> list[object]:
    """Do it in a thread; the list has its result once there is one."""
    done: list[object] = []
    threading.Thread(target=lambda: done.append(work()), daemon=True).start()
    return done


# ── the log cannot be written ─────────────────────────────────────────────────────────────────────


def test_a_process_that_is_stopped_while_it_writes_holds_no_undo_up(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    poison(here, toxiproxy.url)
    with stopped_while_it_writes(here.run):
        done = began(lambda: heal.undo_all(here.run, here.environment))
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=20)
        assert until(lambda: done == [[]], seconds=20)
    assert [one["state"] for one in here.run.records("heals.jsonl")] == [
        "intent",
        "injecting",
        "active",
    ], "what came too late is not written at all"
    assert heal.undo_all(here.run, here.environment) == []
    assert heal.pending(here.run) == []


def test_a_log_that_others_write_to_all_the_time_is_waited_for(
    make_here: Callable[..., Context],
) -> None:
    """Ten thousand undos at once are no writer that hangs: no record of theirs may be missing."""
    run = make_here().run
    run.append("events.jsonl", {"event": "first"})
    with run.path("events.jsonl").open("ab", buffering=0) as theirs:
        assert free(theirs.fileno())
        done = began(lambda: run.append("events.jsonl", {"event": "ours"}, 0.4))
        for _ in ticks(2.0, every=0.05):
            theirs.write(b" ")  # of a line that is torn in the end
    assert until(lambda: bool(done), seconds=20)
    assert [one["event"] for one in run.records("events.jsonl")] == ["first", "ours"]


def test_what_an_undo_says_of_itself_too_late_makes_nothing_pending(
    make_here: Callable[..., Context],
) -> None:
    here = make_here()
    arguments = {"url": "http://127.10.0.11:1", "proxy": PROXY, "toxic": "t"}
    one = heal.intend(here.run, "remove_toxic", arguments)
    for state, left in (("undone", []), ("undoing", []), ("stuck", []), ("active", [one])):
        heal_log.write(here.run, one, state)
        assert heal.pending(here.run) == left, state


def test_a_disk_that_hangs_holds_no_undo_up(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here, disk = make_here(toxiproxies=[toxiproxy.url]), Hanging()
    poison(here, toxiproxy.url)
    try:
        done = began(lambda: heal.undo_all(Run(here.run.folder, disk), here.environment))
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=20)
        assert until(lambda: done == [[]], seconds=20)
    finally:
        disk.go.set()


def test_what_has_to_be_on_disk_before_a_fault_is_waited_for(
    make_here: Callable[..., Context],
) -> None:
    """No record, no fault."""
    here, disk = make_here(), Hanging()
    arguments = {"url": "http://127.10.0.11:1", "proxy": PROXY, "toxic": "t"}
    done = began(lambda: heal.intend(Run(here.run.folder, disk), "remove_toxic", arguments))
    assert not until(lambda: bool(done), seconds=3)
    disk.go.set()
    assert until(lambda: bool(done), seconds=20)
    assert heal.pending(here.run) == done


def test_the_watchdog_ends_a_run_of_which_a_writer_is_stopped(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here):
        poison(here, toxiproxy.url)
        with stopped_while_it_writes(here.run):
            lock.stop(here.environment, "incident 4711")
            assert until(lambda: not toxiproxy.toxics(PROXY), seconds=30)


def test_a_lock_whose_run_does_not_get_its_faults_undone_is_not_renewed(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """The reaper comes only to a run whose lock nobody renews; an undo has 45 s before."""
    here, clock = make_here(), ManualClock()
    arguments = {"url": "http://127.10.0.11:1", "proxy": PROXY, "toxic": "t"}
    left = heal.intend(here.run, "remove_toxic", arguments)
    dog = Watchdog(here, clock)

    def renews(after: float) -> bool:
        clock.forward(after)
        before = kubernetes.leases["holdfast"]["metadata"]["resourceVersion"]
        dog.renew()
        return bool(kubernetes.leases["holdfast"]["metadata"]["resourceVersion"] != before)

    assert renews(after=100)
    dog.end("a guard said so")
    assert renews(after=44)
    assert not renews(after=2)
    here.run.append(
        "heals.jsonl",
        {"heal": left.id, "state": "undone", "operation": "remove_toxic", "arguments": arguments},
    )
    assert renews(after=1)


# ── the log cannot be read, or is not there ───────────────────────────────────────────────────────


@pytest.mark.parametrize("log", ["missing", "unreadable"])
def test_without_its_log_a_run_is_undone_by_its_marks(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], log: str
) -> None:
    """A folder in the place of the file is read like a disk that fails: with an error."""
    here = make_here(toxiproxies=[toxiproxy.url])
    gateway.slow(PROXY, 100, configuration=configured(here))
    here.run.path("heals.jsonl").unlink()
    if log == "unreadable":
        here.run.path("heals.jsonl").mkdir()
    assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []


def test_a_run_without_a_fault_needs_no_log(make_here: Callable[..., Context]) -> None:
    """Otherwise each control run would ask every system."""
    here = make_here(toxiproxies=[absent("127.10.0.11")])
    null.no_fault(configuration=configured(here))
    assert heal.undo_all(here.run, here.environment) == []
    assert [one["event"] for one in here.run.records("events.jsonl")] == ["fault"]


def test_a_run_that_was_moved_knows_its_marks(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], tmp_path: Path
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    gateway.slow(PROXY, 100, configuration=configured(here))
    path = here.run.path("heals.jsonl")
    path.write_bytes(path.read_bytes().replace(b"intent", b"INTENT"))
    moved = Run.open(here.run.folder.rename(tmp_path / "collected"))
    assert moved.id == here.run.id
    assert heal.undo_all(moved, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []


def test_the_watchdog_of_a_run_whose_folder_is_gone_goes_on_by_the_marks(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """Somebody cleans up, a system is down, and the runner is killed: all at once."""
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here) as (process, watchdog):
        poison(here, toxiproxy.url)
        os.kill(toxiproxy.process.pid, signal.SIGSTOP)
        try:
            process.kill()
            swept(here.run.folder)
            assert not until(lambda: gone(watchdog), seconds=10), "it gave up"
        finally:
            os.kill(toxiproxy.process.pid, signal.SIGCONT)
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=40)
        assert until(lambda: gone(watchdog), seconds=20)


def test_a_folder_that_was_emptied_is_no_clean_run(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """Both logs are gone with everything else, again and again: the marks tell what to undo."""
    here = make_here(toxiproxies=[toxiproxy.url])
    here.run.append("events.jsonl", {"event": "anchor"})
    name = heal.toxic_name(here.run, "slow")
    client = Toxiproxy(toxiproxy.url)
    for path in here.run.folder.iterdir():
        if path.is_file():
            path.unlink()
    for _ in range(2):
        client.add_toxic("pix-primary", Toxic(name, "latency", {"latency": 9, "jitter": 0}))
        assert heal.undo_all(here.run, here.environment, by="watchdog") == []
        assert toxiproxy.toxics("pix-primary") == []


def test_a_log_that_only_an_undo_began_is_not_whole(
    start_toxiproxy: Callable[[], RealToxiproxy], make_here: Callable[..., Context]
) -> None:
    """One Toxiproxy did not answer when the run went by its marks: it is asked again."""
    both = [start_toxiproxy(), start_toxiproxy()]
    for one in both:
        one.create(PROXY)
    here = make_here(toxiproxies=[one.url for one in both])
    gateway.slow(PROXY, 100, configuration=configured(here))
    here.run.path("heals.jsonl").unlink()
    os.kill(both[1].process.pid, signal.SIGSTOP)
    assert len(heal.undo_all(here.run, here.environment, by="watchdog")) == 1
    os.kill(both[1].process.pid, signal.SIGCONT)
    assert heal.undo_all(here.run, here.environment, by="watchdog") == []
    assert [one.toxics(PROXY) for one in both] == [[], []]
