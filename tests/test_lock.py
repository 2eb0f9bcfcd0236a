"""One run at a time: who wins, who is told, who has lost it, and who may take it over."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from holdfast import lock
from holdfast.clock import SECOND
from holdfast.cluster.leases import Lease
from holdfast.context import Context
from holdfast.errors import InvalidInput, Refused, Unreachable
from holdfast.store import Run
from tests.fakes import FakeKubernetes

OLD = "2026-01-02T03:04:05.000000Z"


def lease(kubernetes: FakeKubernetes, name: str = "holdfast") -> dict[str, Any]:
    """The lease as the API has it."""
    found: dict[str, Any] = kubernetes.leases[name]
    return found


def another(here: Context, name: str = "another") -> Run:
    """A run that is not this one."""
    return Run.create(here.run.folder.parent.parent, name)


def test_the_holder_is_named_with_a_token_that_rises(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here()
    spec = lease(kubernetes)["spec"]
    assert spec["holderIdentity"].startswith(f"{here.run.id} ")
    assert (spec["leaseTransitions"], spec["leaseDurationSeconds"]) == (1, 15)
    first = lock.check(here.run, here.environment)
    assert first.token == f"{lease(kubernetes)['metadata']['uid']}/1"
    lock.release(here.run, here.environment)
    assert lease(kubernetes)["spec"]["holderIdentity"] is None
    assert lock.acquire(another(here), here.environment).token.endswith("/2")


@pytest.mark.row(38)
def test_the_loser_is_told_who_has_it(make_here: Callable[..., Context]) -> None:
    here = make_here()
    with pytest.raises(Refused, match=f"run {here.run.id} .*@.* has it, and one run at a time"):
        lock.acquire(another(here), here.environment)
    with pytest.raises(Refused, match=f"run {here.run.id} "):
        lock.look(here.environment)


@pytest.mark.row(38)
def test_of_many_who_start_at_once_one_wins(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here()
    kubernetes.leases.clear()
    runs = [another(here, f"race-{number}") for number in range(12)]

    def start(run: Run) -> str:
        try:
            return lock.acquire(run, here.environment).holder
        except Refused as error:
            return str(error)

    with ThreadPoolExecutor(len(runs)) as pool:
        answers = list(pool.map(start, runs))
    (winner,) = [one for one in answers if "has it" not in one]
    assert all(winner in one for one in answers if one != winner)
    assert lease(kubernetes)["spec"]["holderIdentity"] == winner


@pytest.mark.row(39)
def test_a_lease_that_was_made_anew_is_lost(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """Its transitions start again, so only its uid tells."""
    here = make_here()
    lock.check(here.run, here.environment)
    known = lease(kubernetes)
    known["metadata"]["uid"] = "made-anew"
    with pytest.raises(lock.Lost, match="it is held by"):
        lock.check(here.run, here.environment)


@pytest.mark.row(39)
@pytest.mark.parametrize("change", ["another holder", "gone", "stopped", "never taken"])
def test_who_has_lost_it_may_not_inject(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes, change: str
) -> None:
    here = make_here()
    words = {
        "another holder": "held by somebody now",
        "gone": "the lease is gone",
        "stopped": "somebody stopped all work: incident 4711",
        "never taken": "this run never took it",
    }
    if change == "another holder":
        lease(kubernetes)["spec"]["holderIdentity"] = "somebody"
    if change == "gone":
        kubernetes.leases.clear()
    if change == "stopped":
        lock.stop(here.environment, "incident 4711")
    if change == "never taken":
        here.run.path(lock.FILE).unlink()
    with pytest.raises(lock.Lost, match=words[change]):
        lock.check(here.run, here.environment)


def test_what_others_wrote_on_the_lease_stays(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here()
    theirs = {"labels": {"app": "x"}, "finalizers": ["example.org/keep"]}
    lease(kubernetes)["metadata"].update(theirs)
    lock.check(here.run, here.environment)
    lock.release(here.run, here.environment)
    assert {key: lease(kubernetes)["metadata"].get(key) for key in theirs} == theirs


def test_when_nobody_can_tell_it_is_no_yes(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here()
    kubernetes.forbidden.add("update leases")
    with pytest.raises(Unreachable, match="no right to update leases"):
        lock.check(here.run, here.environment)


def test_a_check_renews(make_here: Callable[..., Context], kubernetes: FakeKubernetes) -> None:
    """Only a holder can, so this is what shows it."""
    here = make_here()
    lease(kubernetes)["spec"]["renewTime"] = OLD
    before = lease(kubernetes)["metadata"]["resourceVersion"]
    lock.check(here.run, here.environment)
    assert lease(kubernetes)["spec"]["renewTime"] != OLD
    assert lease(kubernetes)["metadata"]["resourceVersion"] != before


def test_only_the_holder_gives_it_back(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here()
    lease(kubernetes)["spec"]["holderIdentity"] = "somebody"
    lock.release(here.run, here.environment)
    assert lease(kubernetes)["spec"]["holderIdentity"] == "somebody"


def test_the_lever_refuses_new_work_until_it_is_lifted(make_here: Callable[..., Context]) -> None:
    here = make_here()
    assert lock.stop(here.environment, "incident 4711").startswith(here.run.id)
    lock.release(here.run, here.environment)
    for refused in (
        lambda: lock.acquire(another(here), here.environment),
        lambda: lock.look(here.environment),
    ):
        with pytest.raises(Refused, match="stopped all work: incident 4711"):
            refused()
    assert lock.lift(here.environment) == ""
    assert lock.look(here.environment) == "nobody has it"
    lock.acquire(another(here), here.environment)


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_blank_reason_neither_pulls_nor_lifts_the_lever(
    make_here: Callable[..., Context], reason: str
) -> None:
    here = make_here()
    lock.stop(here.environment, "incident 4711")
    with pytest.raises(InvalidInput, match="it is blank, and everybody is shown it"):
        lock.stop(here.environment, reason)
    with pytest.raises(lock.Lost, match="incident 4711"):
        lock.check(here.run, here.environment)


def test_a_lever_that_was_pulled_without_a_reason_counts(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """`kubectl annotate lease holdfast holdfast.io/stop=`, as the admission policy sees it, too."""
    here = make_here()
    lease(kubernetes)["metadata"]["annotations"] = {"holdfast.io/stop": ""}
    words = "somebody stopped all work: for no reason that was written down"
    with pytest.raises(lock.Lost, match=words):
        lock.check(here.run, here.environment)
    with pytest.raises(Refused, match=words):
        lock.acquire(another(here), here.environment)


def test_the_lever_works_where_no_run_ever_was(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here()
    kubernetes.leases.clear()
    assert lock.stop(here.environment, "change freeze") == ""
    with pytest.raises(Refused, match="change freeze"):
        lock.look(here.environment)


@dataclass
class ManualClock:
    """A clock that a test moves."""

    ns: int = 0

    def __call__(self) -> int:
        return self.ns

    def forward(self, seconds: float) -> None:
        self.ns += round(seconds * SECOND)


@pytest.mark.row(37)
def test_a_holder_is_alive_while_it_is_seen_to_renew() -> None:
    """Whatever its timestamps say: the two clocks may differ by minutes."""
    clock = ManualClock()
    watched, held = lock.Watched(clock), Lease("run-1 me", 1, 15, OLD, version="1")
    assert watched.alive(held)
    clock.forward(14.9)
    assert watched.alive(held)
    held = replace(held, version="2")
    assert watched.alive(held)
    clock.forward(14.9)
    assert watched.alive(held)
    clock.forward(0.2)
    assert not watched.alive(held)
    assert not watched.alive(replace(held, holder=""))
    assert not watched.alive(None)


@pytest.mark.row(12)
def test_a_reaper_that_nobody_sees_renewing_is_not_there(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = make_here()
    with pytest.raises(Refused, match="no reaper renews it"):
        lock.look_for_reaper(here.environment)
    kubernetes.leases["holdfast-reaper"] = {
        "metadata": {"uid": "r", "resourceVersion": "0"},
        "spec": {"holderIdentity": "reaper"},
    }
    reads = 0

    def renew(method: str, path: str) -> None:
        nonlocal reads
        if path.endswith("holdfast-reaper"):
            reads += 1
            kubernetes.leases["holdfast-reaper"]["metadata"]["resourceVersion"] = str(reads)

    kubernetes.before = renew
    assert lock.look_for_reaper(here.environment) == "seen to be alive"
