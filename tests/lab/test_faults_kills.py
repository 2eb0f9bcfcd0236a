"""Whoever is killed, at whatever instant: the fault goes. Rows 1 to 11 of the fault matrix."""

import os
import signal

import pytest

from holdfast import lock
from holdfast.clock import SECOND, now_ns, until
from holdfast.errors import Refused
from holdfast.heal.operations import NEVER, REMOVED
from tests.fakes import swept
from tests.lab.faults_case import LEASE, MERGE, PROXY, Place, ShortRun

pytestmark = pytest.mark.lab

ADD = rf"POST /proxies/{PROXY}/toxics$"
CLOSE = rf"POST /proxies/{PROXY}$"
REMOVE = rf"DELETE /proxies/{PROXY}/toxics/"
PATCH = r"PATCH /api/v1/nodes/"
LEASES = r"(POST|PUT) /apis/coordination.k8s.io/.*/leases"


def acquired(place: Place) -> bool:
    other = place.another()
    try:
        lock.acquire(other.run, other.environment)
    except Refused:
        return False
    return True


def has_watchdog(run: ShortRun) -> bool:
    try:
        return run.watchdog() > 0
    except AssertionError:
        return False


@pytest.mark.row(1)
def test_killed_while_it_asks_for_the_lock(place: Place) -> None:
    """The request arrives after its sender died: the lock is nobody's 15 s later."""
    held = place.api.hold_request(LEASES)
    run = place.start("slow")
    held.wait()
    run.kill()
    held.release()
    assert until(lambda: bool(place.lease()["spec"].get("holderIdentity")), seconds=5)
    other = place.another()
    with pytest.raises(Refused, match=r"run [0-9a-f]{12} .*@.* has it"):
        lock.acquire(other.run, other.environment)
    old = {"spec": {"renewTime": "2026-01-02T03:04:05.000000Z"}}
    place.admin.call(
        "PATCH", LEASE, old, MERGE
    )  # whoever asks later watches, and believes no stamp
    began = now_ns()
    assert acquired(place)
    assert lock.LASTS_S - 1 < (now_ns() - began) / SECOND < lock.LASTS_S + 2
    assert place.toxics() == []
    assert (run.folder / "plan.json").is_file()
    assert run.states() == []


@pytest.mark.row(1)
def test_killed_with_the_lock_and_nothing_else(place: Place) -> None:
    """The watchdog that is just starting gives the lock back at once."""
    run = place.start("slow")
    assert until(lambda: has_watchdog(run), seconds=30, every=0.005)
    run.kill()
    assert until(lambda: acquired(place), seconds=5, every=0.1)
    assert place.toxics() == []
    assert {one["event"] for one in run.records("events.jsonl")} <= {"anchor", "undo_verified"}


@pytest.mark.row(2)
@pytest.mark.parametrize("fault", ["slow", "zone"])
def test_killed_between_the_intent_and_the_request(place: Place, fault: str) -> None:
    run = place.start(fault)
    run.told("watched")
    place.api.hold_request(LEASES, times=None)
    assert until(lambda: "intent" in run.states(), seconds=30, every=0.01)
    run.kill()
    place.api.clear()
    assert until(lambda: "undone" in run.states(), seconds=10)
    assert run.how() == [NEVER]
    assert run.by() == ["watchdog"]
    assert not place.left(fault)


@pytest.mark.row(3)
@pytest.mark.parametrize("side", ["request", "answer"])
@pytest.mark.parametrize(("fault", "call"), [("slow", ADD), ("cut", CLOSE), ("zone", PATCH)])
def test_killed_with_the_answer_unknown(place: Place, fault: str, call: str, side: str) -> None:
    """Also a request that arrives after its sender died, and after somebody looked."""
    meddler = place.api if fault == "zone" else place.proxies
    held = getattr(meddler, f"hold_{side}")(call)
    run = place.start(fault)
    held.wait()
    assert place.left(fault) == (side == "answer" or fault == "cut")
    run.kill()
    if side == "request":
        look = "GET /api/v1/nodes/" if fault == "zone" else "GET /proxies$"
        seen = meddler.count(look)
        assert until(lambda: meddler.count(look) > seen, seconds=5, every=0.01)
        held.release()
        assert until(lambda: place.left(fault), seconds=2, every=0.01)
    assert until(lambda: "undone" in run.states(), seconds=10)
    assert run.how() == [REMOVED]
    assert run.by() == ["watchdog"]
    assert not place.left(fault)


@pytest.mark.row(4)
@pytest.mark.parametrize("fault", ["slow", "cut", "zone"])
def test_killed_while_the_fault_is_held(place: Place, fault: str) -> None:
    run = place.start(fault)
    run.told("active")
    assert place.left(fault)
    run.kill()
    assert place.gone_within(fault, 5) < 2
    assert until(lambda: "undone" in run.states(), seconds=5)
    assert run.states() == (
        ["intent", "injecting", "irreversible", "active", "undoing", "undone"]
        if fault == "zone"
        else ["intent", "injecting", "active", "undoing", "undone"]
    )
    assert run.by() == ["watchdog"]


@pytest.mark.row(5)
@pytest.mark.parametrize(
    ("call", "side", "found"),
    [
        (REMOVE, "request", REMOVED),
        (REMOVE, "answer", NEVER),
        ("GET /proxies$", "answer", NEVER),
    ],
)
def test_killed_during_the_undo(place: Place, call: str, side: str, found: str) -> None:
    """It is done again by the watchdog; what was done already is found to be so."""
    run = place.start("slow")
    run.told("active")
    if call == REMOVE:
        held = getattr(place.proxies, f"hold_{side}")(call)
        run.release()
        held.wait()
    else:
        before = place.proxies.hold_answer(REMOVE)
        run.release()
        before.wait()
        held = place.proxies.hold_answer(call)
        before.release()
        held.wait()
    run.kill()
    assert place.gone_within("slow", 5) < 3
    assert until(lambda: "undone" in run.states(), seconds=10)
    held.release()
    assert run.how() == [found]
    assert run.by() == ["runner", "watchdog"]
    assert run.states().count("undone") == 1


@pytest.mark.row(7)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_undoes_and_is_told(place: Place, number: signal.Signals) -> None:
    run = place.start("slow")
    run.told("active")
    run.process.send_signal(number)
    assert place.gone_within("slow", 5) < 5
    assert run.told("interrupted") == f"{number.name} was received"
    assert run.ended() == 4
    assert run.by() == ["runner"]


@pytest.mark.row(8)
def test_a_second_signal_during_the_undo_changes_nothing(place: Place) -> None:
    run = place.start("slow")
    run.told("active")
    held = place.proxies.hold_request(REMOVE)
    run.process.send_signal(signal.SIGINT)
    held.wait()
    run.process.send_signal(signal.SIGTERM)
    run.process.send_signal(signal.SIGINT)
    assert run.process.poll() is None
    held.release()
    assert run.told("healed") == ""
    assert run.ended() == 4
    assert place.toxics() == []
    assert (run.states()[-1], run.by()) == ("undone", ["runner"])


@pytest.mark.parametrize(
    ("fault", "disk"),
    [
        pytest.param("zone", "there", marks=pytest.mark.row(9)),
        pytest.param("slow", "gone", marks=pytest.mark.row(10)),
    ],
)
def test_a_host_that_is_lost_is_undone_by_the_reaper(place: Place, fault: str, disk: str) -> None:
    """Runner and watchdog die at once, and with the disk gone only the target knows."""
    run = place.start(fault)
    run.told("active")
    watchdog = run.watchdog()
    os.kill(watchdog, signal.SIGSTOP)
    run.kill()
    os.kill(watchdog, signal.SIGKILL)
    if disk == "gone":
        swept(run.folder)
    assert place.left(fault)
    assert place.gone_within(fault, 35) < 30
    if disk == "there":
        assert run.states()[-1] == "active", "no record of the undo is invented"


@pytest.mark.row(11)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_watchdog_that_dies_or_hangs_ends_the_run(place: Place, number: signal.Signals) -> None:
    run = place.start("slow")
    run.told("active")
    os.kill(run.watchdog(), number)
    assert place.gone_within("slow", 5) < 3
    assert run.told("interrupted") == "the watchdog is gone: nobody would undo the fault for us"
    assert run.by() == ["runner"]
    assert run.told("healed") == ""


@pytest.mark.row(36)
def test_a_runner_that_is_frozen_is_undone_by_others(place: Place) -> None:
    """`holdfast stop` while it sleeps; it wakes up to a signal, and to nothing left to undo."""
    run = place.start("slow")
    run.told("active")
    os.kill(run.process.pid, signal.SIGSTOP)
    other = place.another()
    lock.stop(other.environment, "a test")
    try:
        assert place.gone_within("slow", 10) < 8
        assert set(run.by()) <= {"watchdog"}, "or the reaper, which sees the lever, too"
        os.kill(run.process.pid, signal.SIGCONT)
        assert "SIGTERM" in run.told("interrupted")
        assert run.ended() == 4
    finally:
        lock.lift(other.environment)


@pytest.mark.row(10)
def test_a_run_folder_that_is_deleted_in_mid_run(place: Place) -> None:
    """Without its log the marks on the targets tell what is to be undone."""
    run = place.start("slow")
    run.told("active")
    swept(run.folder)
    assert place.gone_within("slow", 12) < 10
