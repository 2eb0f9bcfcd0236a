"""Rows of the fault matrix that need no lab: disks, clocks, races, many targets, old logs."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast import heal, lock
from holdfast.actions import gateway, zones
from holdfast.clock import SECOND, now_ns, until, utc_now
from holdfast.cluster.leases import Lease
from holdfast.context import Context
from holdfast.customers import Customers
from holdfast.errors import FaultNotApplied, InvalidInput, Refused
from holdfast.heal.operations import NEVER
from holdfast.run.watch import Watch
from holdfast.store import Run
from holdfast.store.chain import Disk
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy, configured
from tests.fakes import FakeKubernetes, serving
from tests.judge_stories import laid, told
from tests.test_lock import ManualClock
from tests.test_store import FullDisk

PROXY = "pix-primary"


def slow(here: Context, url: str) -> Toxic:
    """Write down the undo of a toxic, and add it."""
    toxic = Toxic(heal.toxic_name(here.run, "slow"), "latency", {"latency": 500, "jitter": 0})
    undo = {"url": url, "proxy": PROXY, "toxic": toxic.name}
    heals = [heal.intend(here.run, "remove_toxic", undo)]
    with heal.injecting(here.run, here.environment, heals):
        Toxiproxy(url).add_toxic(PROXY, toxic)
    return toxic


# ── a report that was cut off ─────────────────────────────────────────────────────────────────────


@pytest.mark.integration
@pytest.mark.row(6)
def test_a_report_that_was_killed_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    run = laid(told(), tmp_path)
    command = [str(Path(sys.executable).parent / "holdfast"), "report", str(run.folder)]
    assert subprocess.run(
        [command[0], "judge", command[2]], capture_output=True, check=False
    ).returncode in (0, 1, 3)
    names = ["summary.md", "junit.xml", "report.html"]
    whole = {name: run.path(name).read_bytes() for name in names}
    for name in names:
        run.path(name).unlink()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as killed:
        there = [run.path(name) for name in names]
        assert until(lambda: any(one.exists() for one in there), seconds=30, every=0.002)
        killed.send_signal(signal.SIGKILL)
    for one in filter(Path.exists, there):
        assert one.read_bytes() == whole[one.name], "whole, or not there"
    subprocess.run(command, capture_output=True, check=False)
    assert {name: run.path(name).read_bytes() for name in names} == whole


# ── disks ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.row(33)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("room", [0, 1], ids=["intent", "injecting"])
def test_nothing_is_broken_that_cannot_be_written_down(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], code: int, room: int
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    here.run.reserve()
    run = Run(here.run.folder, FullDisk(here.run.folder, room, code))
    if code == errno.ENOSPC:  # with the reserve gone, too
        run = Run(here.run.folder, Failing(room))
    undo = {"url": toxiproxy.url, "proxy": PROXY, "toxic": "holdfast-x"}
    made = []

    def make() -> None:
        heals = [heal.intend(run, "remove_toxic", undo)]
        with heal.injecting(run, here.environment, heals):
            made.append(heals)

    with pytest.raises(FaultNotApplied, match="cannot be recorded"):
        make()
    assert made == []
    assert toxiproxy.toxics(PROXY) == []


class Failing(Disk):
    """Takes so many lines, and then none, whatever is given up."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, file: Any, line: bytes) -> None:
        if self.room <= 0:
            file.write(line[:9])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= 1
        super().write(file, line)


class Alive(Customers):
    """Customers who go on."""

    def __init__(self) -> None:
        pass

    def alive(self) -> bool:
        return True


@pytest.mark.row(34)
def test_a_disk_that_fills_up_during_the_hold_ends_the_run_and_the_undo_is_made(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """What the samples lack is said by the reason; the fault goes, recorded or not."""
    here = make_here(toxiproxies=[toxiproxy.url])
    slow(here, toxiproxy.url)
    full = Context(Run(here.run.folder, Failing(0)), here.environment)
    told: list[str] = []
    looking = Watch(full, Alive(), told.append)
    looking.start()
    assert until(lambda: bool(told), seconds=5)
    looking.stop()
    assert "the run cannot be recorded" in told[0]
    assert "No space left" in told[0]
    assert heal.undo_all(full.run, full.environment) == []
    assert toxiproxy.toxics(PROXY) == []
    assert len(heal.pending(here.run)) == 1, "not recorded: who looks again finds nothing"
    assert heal.undo_all(here.run, here.environment) == []
    assert here.run.records("heals.jsonl")[-1]["how"] == NEVER


@pytest.mark.row(35)
@pytest.mark.parametrize("damage", ["torn", "a bit", "everything"])
def test_a_damaged_log_is_completed_from_the_marks(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], damage: str
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    slow(here, toxiproxy.url)
    path = here.run.path("heals.jsonl")
    content = path.read_bytes()
    if damage == "torn":
        path.write_bytes(content[:-20])
    if damage == "a bit":
        path.write_bytes(bytes([content[0], content[1], content[2] ^ 1]) + content[3:])
    if damage == "everything":
        shutil.rmtree(here.run.folder)
    assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []
    assert here.run.folder.exists() == (damage != "everything"), "nothing is made up"


# ── clocks ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.row(36)
def test_after_ten_minutes_asleep_the_lock_is_anybodys() -> None:
    """Whoever watches saw no renewal; whoever slept finds that it is another's before it writes."""
    clock = ManualClock()
    watched, mine = lock.Watched(clock), Lease("run-1 me", 1, 15, version="1")
    assert watched.alive(mine)
    clock.forward(600)
    assert not watched.alive(mine)
    held = lock.Held("run-1 me", "uid", 1)
    assert not held.has(Lease("run-2 you", 2, uid="uid"))


@pytest.mark.row(36)
@pytest.mark.row(37)
@pytest.mark.parametrize("skew_s", [-3600, -300, 300, 3600])
def test_stamps_of_another_clock_neither_end_nor_prolong_a_lease(skew_s: int) -> None:
    """A lease that is renewed is alive, one that is not is over after 15 s, by our own clock."""
    clock = ManualClock()
    stamp = f"{utc_now() + timedelta(seconds=skew_s):%Y-%m-%dT%H:%M:%S.%fZ}"
    watched, lease = lock.Watched(clock), Lease("run-1 me", 1, 15, stamp, version="0")
    for version in range(1, 40):
        clock.forward(5)
        lease = replace(lease, version=str(version))
        assert watched.alive(lease)
    clock.forward(14.9)
    assert watched.alive(lease)
    clock.forward(0.2)
    assert not watched.alive(lease)


# ── races ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.row(38)
def test_of_two_that_start_together_one_wins_each_time(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """Ten races of two here; the thousand are `benchmarks/crash.py`."""
    here = make_here()
    root = here.run.folder.parent.parent
    runs = [Run.create(root, name) for name in ("one", "other")]

    def start(run: Run) -> str:
        try:
            return lock.acquire(run, here.environment).holder
        except Refused as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        for number in range(10):
            if number % 2:
                kubernetes.leases.clear()
            else:
                kubernetes.leases["holdfast"]["spec"]["holderIdentity"] = None
            answers = [*pool.map(start, runs)]
            (winner,) = [one for one in answers if "has it" not in one]
            (loser,) = [one for one in answers if "has it" in one]
            assert f"run {winner} has it" in loser


# ── many, in part, and of old ─────────────────────────────────────────────────────────────────────


class NoSync(Disk):
    """A disk that is as fast as memory: twenty thousand lines are not waited for."""

    def write(self, file: Any, line: bytes) -> None:
        file.write(line)


@pytest.fixture
def watching_threads() -> Iterator[list[int]]:
    """How many threads there were, looked at all the time."""
    seen, over = [threading.active_count()], threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            seen.append(threading.active_count())

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    over.set()
    thread.join(5)


@pytest.mark.row(43)
def test_ten_thousand_targets_are_undone_by_so_many_threads_and_no_more(
    make_here: Callable[..., Context],
    start_toxiproxy: Callable[[], RealToxiproxy],
    watching_threads: list[int],
) -> None:
    """Those of a system that cannot be asked hold nobody up; the log is read once."""
    toxiproxy = start_toxiproxy()
    toxiproxy.create(PROXY)
    here = make_here(toxiproxies=[toxiproxy.url])
    run = Run(here.run.folder, NoSync())
    for number in range(10_000):
        nowhere = "http://127.10.0.11:1"  # it is named nowhere
        undo = {
            "url": nowhere if number % 100 else toxiproxy.url,
            "proxy": PROXY,
            "toxic": f"holdfast-{run.id}-slow-until-{number:08}T000000Z",
        }
        heal.intend(run, "remove_toxic", undo)
    assert len(heal.pending(run)) == 10_000
    began = now_ns()
    failures = heal.undo_all(run, here.environment)
    assert (now_ns() - began) / SECOND < 120
    unnamed = "does not name this Toxiproxy any more"
    assert [one for one in map(str, failures) if unnamed not in one] == []
    assert len(failures) == 9_900
    assert until(
        lambda: len(heal.pending(run)) == 9_900, seconds=20
    )  # the last records may be late
    assert max(watching_threads) < 400


@pytest.mark.row(44)
def test_three_of_five_applied_and_the_fourth_refused(
    make_here: Callable[..., Context], start_toxiproxy: Callable[[], RealToxiproxy]
) -> None:
    instances = [start_toxiproxy() for _ in range(5)]
    for one in instances:
        one.create(PROXY)
    fourth = {"name": PROXY, "listen": "x", "upstream": "y", "enabled": True, "toxics": []}
    applied: list[int] = []

    def refusing(method: str, _path: str, _body: object) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            applied.extend(len(one.toxics(PROXY)) for one in instances)
        return (200, {PROXY: fourth}) if method == "GET" else (400, {"error": "no"})

    with serving("127.10.0.11", refusing) as url:
        urls = [one.url for one in instances]
        here = make_here(toxiproxies=[*urls[:3], url, urls[3]])
        with pytest.raises(FaultNotApplied, match="400"):
            gateway.slow(PROXY, 100, configuration=configured(here))
    assert applied == [1, 1, 1, 0, 0]
    assert [one.toxics(PROXY) for one in instances] == [[]] * 5
    assert heal.pending(here.run) == []
    assert here.faults() == [], "so the run gives no verdict"


@pytest.mark.row(44)
def test_a_zone_whose_second_node_is_refused_is_left_whole(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    kubernetes.add_node("node-b2", "sa-east-1b")
    kubernetes.add_node("node-c2", "sa-east-1c")
    cordons = 0

    def somebody_else(method: str, path: str) -> None:
        nonlocal cordons
        if method == "PATCH" and path.endswith(("node-b", "node-b2")):
            cordons += 1
            kubernetes.nodes["node-b2"]["spec"]["unschedulable"] = True

    kubernetes.before = somebody_else
    with pytest.raises(FaultNotApplied, match="somebody else cordoned it"):
        zones.drop("sa-east-1b", ["wallet"], configuration=configured(here))
    assert cordons == 2, "node-b was cordoned, and given back"
    assert not kubernetes.nodes["node-b"]["spec"].get("unschedulable")
    assert kubernetes.nodes["node-b2"]["spec"]["unschedulable"], "somebody else's"
    assert ("wallet", "wallet-b") in kubernetes.pods


@pytest.mark.row(45)
def test_a_log_of_the_format_before_is_undone(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """It had no number, no state `injecting`, and knew less of the proxy."""
    here = make_here(toxiproxies=[toxiproxy.url])
    name = f"holdfast-{here.run.id}-slow"
    undo = {"url": toxiproxy.url, "proxy": PROXY, "toxic": name}
    old = {"heal": "h1", "state": "intent", "operation": "remove_toxic", "arguments": undo}
    here.run.append("heals.jsonl", old)
    Toxiproxy(toxiproxy.url).add_toxic(PROXY, Toxic(name, "bandwidth", {"rate": 9}))
    assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []


@pytest.mark.row(45)
def test_a_log_of_a_later_format_is_not_touched(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    slow(here, toxiproxy.url)
    later = {"format": 3, "heal": "h1", "state": "intent", "operation": "new", "arguments": {}}
    here.run.append("heals.jsonl", later)
    with pytest.raises(InvalidInput, match="its format is 3, and this version knows up to 2"):
        heal.pending(here.run)
    (failure,) = heal.undo_all(here.run, here.environment)
    assert "Undo it with the version that wrote it, or by hand" in str(failure)
    assert len(toxiproxy.toxics(PROXY)) == 1
    ((found,), _) = heal.found.everything(heal.open_systems(here.environment))
    (line,) = heal.by_hand(found.heal, {})
    assert line.startswith("curl -X DELETE"), "what a person can do without us"
