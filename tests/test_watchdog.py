"""The watchdog as a real process: what it undoes, when it ends a run, and that it is noticed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import heal, lock, supervision, watchdog
from holdfast.clock import SECOND, now_ns, until
from holdfast.context import Context
from holdfast.errors import HoldfastError
from holdfast.supervision import Guardian, Watchdog
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy
from tests.fakes import FakeKubernetes
from tests.test_lock import ManualClock

PROXY = "pix-primary"


def poison(here: Context, url: str) -> None:
    """A toxic, as an action makes it."""
    name = heal.toxic_name(here.run, "slow")
    undo = heal.intend(here.run, "remove_toxic", {"url": url, "proxy": PROXY, "toxic": name})
    with heal.injecting(here.run, here.environment, [undo]):
        Toxiproxy(url).add_toxic(PROXY, Toxic(name, "latency", {"latency": 500, "jitter": 0}))


def events(here: Context, name: str) -> list[dict[str, Any]]:
    return [one for one in here.run.records("events.jsonl") if one["event"] == name]


RUNNER = """
import os, signal, sys, threading
from pathlib import Path
from holdfast import context, supervision
here = context.of({context.KEY: sys.argv[1]})
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append(1))
watchdog = supervision.start(here.run)
print(watchdog.process.pid, flush=True)
while True:
    signal.pause()
    print("SIGTERM", len(got), flush=True)
"""


@contextlib.contextmanager
def runner(here: Context) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that has a watchdog and does nothing but count its SIGTERMs."""
    command = [sys.executable, "-c", RUNNER, str(here.run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def gone(pid: int) -> bool:
    """Has the process ended? Its new parent reaps it in its own time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_runner_that_was_killed_leaves_nothing(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here) as (process, watchdog):
        poison(here, toxiproxy.url)
        process.kill()
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=2)
        assert until(lambda: gone(watchdog), seconds=10)
    assert [one["by"] for one in events(here, "undo_verified")] == ["watchdog"]
    assert kubernetes.leases["holdfast"]["spec"]["holderIdentity"] is None


@pytest.mark.row(14)
def test_it_goes_on_until_the_system_is_back(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """A Toxiproxy that hangs while the runner dies: nobody gives up."""
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here) as (process, watchdog):
        poison(here, toxiproxy.url)
        os.kill(toxiproxy.process.pid, signal.SIGSTOP)
        process.kill()
        assert until(lambda: bool(events(here, "undo_began")), seconds=5)
        os.kill(toxiproxy.process.pid, signal.SIGCONT)
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=10)
        assert until(lambda: gone(watchdog), seconds=10)


@pytest.mark.row(36)
@pytest.mark.row(39)
def test_losing_the_lock_ends_the_run_with_one_signal_and_an_undo(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """The runner here does not react, so the watchdog undoes by itself two seconds later."""
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here) as (process, _):
        poison(here, toxiproxy.url)
        kubernetes.leases["holdfast"]["spec"]["holderIdentity"] = "somebody else"
        began = now_ns()
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=10)
        assert now_ns() - began > 2 * SECOND, "the runner has two seconds to begin"
        (abort,) = events(here, "abort")
        assert "held by somebody else now" in abort["why"]
        assert process.stdout
        assert process.stdout.readline() == "SIGTERM 1\n"
        process.terminate()
        assert process.stdout.readline() == "SIGTERM 2\n", "ours is the second: it sent one"


def test_the_lever_ends_the_run(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here):
        poison(here, toxiproxy.url)
        lock.stop(here.environment, "incident 4711")
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=10)
    assert "incident 4711" in events(here, "abort")[0]["why"]


def test_a_hold_that_lasts_too_long_is_ended(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url], max_hold=0.5)
    with runner(here):
        poison(here, toxiproxy.url)
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=30)
    assert "longer than the policy allows" in events(here, "abort")[0]["why"]


def test_a_guard_that_breaks_down_ends_the_run(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """Without its lock file the watchdog can renew nothing, and must not merely go quiet."""
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here):
        poison(here, toxiproxy.url)
        here.run.path(lock.FILE).write_text("[]")
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=10)
    assert "renew broke down" in events(here, "abort")[0]["why"]


def test_signals_to_its_group_do_not_end_it(make_here: Callable[..., Context]) -> None:
    """A CI system that cancels sends them to everybody."""
    here = make_here()
    watchdog = supervision.start(here.run)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(watchdog.process.pid, number)
    assert all(watchdog.beat(1.0) for _ in range(3))
    assert os.getsid(watchdog.process.pid) != os.getsid(0)
    watchdog.end(wait=True)
    assert watchdog.process.returncode == 0


@pytest.mark.row(11)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_watchdog_that_is_gone_or_hangs_is_noticed_within_seconds(
    make_here: Callable[..., Context], number: signal.Signals
) -> None:
    here = make_here()
    watchdog = supervision.start(here.run)
    told: list[str] = []
    guardian = Guardian(watchdog, told.append)
    guardian.start()
    assert not until(lambda: bool(told), seconds=1.5)
    began = now_ns()
    os.kill(watchdog.process.pid, number)
    assert until(lambda: bool(told), seconds=3)
    assert now_ns() - began < 2 * SECOND
    assert "nobody would undo" in told[0]
    _end(watchdog)


def test_a_watchdog_that_is_let_go_is_no_loss(make_here: Callable[..., Context]) -> None:
    watchdog = supervision.start(make_here().run)
    told: list[str] = []
    guardian = Guardian(watchdog, told.append)
    guardian.start()
    guardian.end(wait=True)
    assert (watchdog.process.returncode, guardian.is_alive(), told) == (0, False, [])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(watchdog.beats)


def _end(watchdog: Watchdog) -> None:
    watchdog.process.kill()
    watchdog.end(wait=True)


def test_without_a_watchdog_the_lock_is_given_back_and_asked_for_again(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """Otherwise the next fault of the same run would find the lock, and nobody watching."""
    from holdfast.errors import Unreachable

    here = make_here()
    here.run.path("lock.json").unlink()
    kubernetes.leases.clear()
    here.run.path("plan.json").write_text("{")
    for _ in range(2):
        with pytest.raises(Unreachable, match="the watchdog"):
            supervision.ensure(here.run, here.environment)
        assert lock.held(here.run) is None
        assert kubernetes.leases["holdfast"]["spec"]["holderIdentity"] is None


@pytest.mark.parametrize("amiss", ["no process", "no answer to the release"])
def test_without_a_watchdog_no_next_fault_of_the_run_finds_the_lock(
    toxiproxy: RealToxiproxy,
    make_here: Callable[..., Context],
    kubernetes: FakeKubernetes,
    amiss: str,
) -> None:
    """However it failed: a fault that nobody watches would stay."""
    here = make_here(toxiproxies=[toxiproxy.url])
    here.run.path("lock.json").unlink()
    kubernetes.leases.clear()
    here.run.path("watchdog.log").mkdir()
    if amiss != "no process":
        here.run.path("watchdog.log").rmdir()
        here.run.path("plan.json").write_text("{")

        def before(method: str, path: str) -> None:
            if "leases" in path and method == "GET" and here.run.path("lock.json").exists():
                kubernetes.forbidden.add("get leases")

        kubernetes.before = before
    with pytest.raises((OSError, HoldfastError)):
        supervision.ensure(here.run, here.environment)
    assert lock.held(here.run) is None


def test_a_watchdog_that_cannot_start_is_said(make_here: Callable[..., Context]) -> None:
    from holdfast.errors import Unreachable

    here = make_here()
    here.run.path("plan.json").write_text("{")
    with pytest.raises(Unreachable, match="the watchdog"):
        supervision.start(here.run)


def test_a_signal_while_it_starts_leaves_no_watchdog_and_no_lock(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """One without a lock would send this process another signal, into its rollbacks."""
    here = make_here()
    here.run.path("lock.json").unlink()
    kubernetes.leases.clear()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    folder = bytes(here.run.folder.resolve())

    def soon(method: str, _path: str) -> None:
        if method in ("POST", "PUT"):
            signal.setitimer(signal.ITIMER_REAL, 0.1)

    try:
        kubernetes.before = soon
        with pytest.raises(KeyboardInterrupt):
            supervision.ensure(here.run, here.environment)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    living = [one.read_bytes() for one in Path("/proc").glob("[0-9]*/cmdline") if one.exists()]
    assert not [one for one in living if b"holdfast.watchdog" in one and folder in one]
    assert lock.held(here.run) is None


def test_a_lock_that_is_renewed_too_slowly_is_lost(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """Each answer comes in the end, and meanwhile others may take it."""
    clock = ManualClock()
    here = make_here()
    dog = watchdog.Watchdog(here, clock)

    def before(_method: str, path: str) -> None:
        if "leases" in path:
            clock.forward(5.5)
            dog.keep_lock()

    kubernetes.before = before
    dog.renew()
    assert "could not be renewed for 10 s" in dog.breach


def test_an_undo_of_an_earlier_fault_is_not_taken_for_this_one(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """Or customers would wait for 40 s instead of two."""
    here = make_here(toxiproxies=[toxiproxy.url])
    here.run.append("events.jsonl", {"event": "undo_began", "by": "runner"})
    with runner(here):
        poison(here, toxiproxy.url)
        lock.stop(here.environment, "incident 4711")
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=15)


def test_it_goes_on_whatever_became_of_the_lock_file(
    start_toxiproxy: Callable[[], RealToxiproxy], make_here: Callable[..., Context]
) -> None:
    toxiproxy = start_toxiproxy()
    toxiproxy.create(PROXY)
    here = make_here(toxiproxies=[toxiproxy.url])
    with runner(here) as (process, _):
        poison(here, toxiproxy.url)
        os.kill(toxiproxy.process.pid, signal.SIGSTOP)
        process.kill()
        assert until(lambda: bool(events(here, "undo_failed")), seconds=30)
        here.run.path(lock.FILE).write_text("[]")
        failed = len(events(here, "undo_failed"))
        assert until(lambda: len(events(here, "undo_failed")) > failed, seconds=30)
        os.kill(toxiproxy.process.pid, signal.SIGCONT)
        assert until(lambda: not toxiproxy.toxics(PROXY), seconds=60)
