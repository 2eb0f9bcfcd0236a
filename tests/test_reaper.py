"""The reaper: it undoes what belongs to nobody alive, from the marks alone, and nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast import heal, lock, marks
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.heal.found import TAINT
from holdfast.reaper import Reaper
from holdfast.store import Run
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy, written
from tests.fakes import FakeKubernetes
from tests.meddler import Meddler
from tests.test_lock import ManualClock

PROXY = "pix-primary"


class Watched:
    """A reaper whose clock a test moves, and what it told."""

    def __init__(self, here: Context) -> None:
        self.clock = ManualClock()
        self.told: list[dict[str, Any]] = []
        self.reaper = Reaper(here.environment, self.told.append, self.clock)

    def look(self, after: float = 0.0) -> list[str]:
        """One look, so many seconds later; answers with what it told of."""
        self.clock.forward(after)
        self.told.clear()
        self.reaper.look()
        return [str(one["event"]) for one in self.told]


def faults(here: Context, toxiproxy: RealToxiproxy, kubernetes: FakeKubernetes) -> None:
    """A toxic, a cut, a cordon and a taint, as the actions of this run make them."""
    client = Toxiproxy(toxiproxy.url)
    slow, cut = (heal.toxic_name(here.run, kind) for kind in ("slow", "cut"))
    client.add_toxic(PROXY, Toxic(slow, "latency", {"latency": 9, "jitter": 0}))
    client.add_toxic("ted", Toxic(cut, "latency", {"latency": 0, "jitter": 0}, toxicity=0.0))
    client.set_enabled("ted", False)
    cluster = Cluster(here.environment.kubernetes.kubeconfig)
    node = cluster.nodes()[1]
    cluster.cordon(node, heal.marks(here.run, "uncordon, untaint", "lease/1"))
    cluster.taint(node, TAINT, here.run.id)
    assert kubernetes.nodes["node-b"]["spec"]["unschedulable"] is True


def clean(toxiproxy: RealToxiproxy, kubernetes: FakeKubernetes) -> bool:
    """Is nothing of the four faults left?"""
    node = kubernetes.nodes["node-b"]
    return (
        not toxiproxy.toxics(PROXY)
        and not toxiproxy.toxics("ted")
        and toxiproxy.enabled("ted")
        and not node["spec"].get("unschedulable")
        and not node["spec"].get("taints")
        and not set(node["metadata"].get("annotations", {})) & set(marks.ON_NODES)
    )


def test_a_run_that_renews_its_lease_is_left_alone(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """For hours, if it wants to: no timestamp is believed."""
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    watched = Watched(here)
    for _ in range(6):
        lock.check(here.run, here.environment)
        assert watched.look(after=14) == []
    assert not clean(toxiproxy, kubernetes)


@pytest.mark.row(9)
@pytest.mark.row(37)
def test_a_run_whose_host_is_lost_is_undone_after_fifteen_seconds(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    watched = Watched(here)
    assert watched.look() == []
    assert watched.look(after=14.9) == []
    assert watched.look(after=0.2) == ["lock_freed", *["undone"] * 4]
    assert clean(toxiproxy, kubernetes)
    assert watched.look(after=10) == []


def test_the_lock_of_a_lost_host_can_be_taken_at_once_and_is_lost_to_it(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """A holder that was only paused finds that out before its next write."""
    here = wallet()
    watched = Watched(here)
    watched.look()
    assert watched.look(after=15.1) == ["lock_freed"]
    with pytest.raises(lock.Lost, match="held by nobody"):
        lock.check(here.run, here.environment)
    other = Run.create(here.run.folder.parent.parent, "another")
    assert lock.acquire(other, here.environment).holder.startswith(other.id)
    assert watched.look(after=2) == []
    assert lock.check(other, here.environment)


def test_a_run_that_took_the_lock_since_the_scan_is_left_alone(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """The reaper, too, may be paused between what it saw and what it does."""
    here = wallet(toxiproxies=[toxiproxy.url])
    other = Run.create(here.run.folder.parent.parent, "another")
    lock.release(here.run, here.environment)
    client, names = Toxiproxy(toxiproxy.url), {}
    for proxy, run in ((PROXY, other), ("ted", here.run)):
        names[proxy] = marks.toxic(run.id, "slow", heal.expires())
        client.add_toxic(proxy, Toxic(names[proxy], "latency", {"latency": 9, "jitter": 0}))
    told: list[dict[str, Any]] = []

    def tell(event: dict[str, Any]) -> None:
        told.append(event)
        if len(told) == 1:
            lock.acquire(here.run if event["run"] == other.id else other, here.environment)

    Reaper(here.environment, tell, ManualClock()).look()
    (undone,) = told
    left = here.run.id if undone["run"] == other.id else other.id
    assert [one["name"] for proxy in names for one in toxiproxy.toxics(proxy)] == [
        name for name in names.values() if left in name
    ]


def test_a_run_that_gave_the_lock_back_with_faults_left_is_undone_at_once(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    assert Watched(here).look() == ["undone"] * 4
    assert clean(toxiproxy, kubernetes)


def test_what_an_earlier_run_left_is_undone_while_another_is_alive(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    other = Run.create(here.run.folder.parent.parent, "another")
    lock.acquire(other, here.environment)
    mine = marks.toxic(other.id, "slow", heal.expires())
    toxic = Toxic(mine, "latency", {"latency": 9, "jitter": 0})
    Toxiproxy(toxiproxy.url).add_toxic(PROXY, toxic)
    assert Watched(here).look() == ["undone"] * 4
    assert [one["name"] for one in toxiproxy.toxics(PROXY)] == [mine]


@pytest.mark.parametrize("reason", ["incident 4711", ""])
def test_the_lever_undoes_a_run_that_is_alive(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    reason: str,
) -> None:
    """Pulled with kubectl, it may have no reason."""
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    kubernetes.leases["holdfast"]["metadata"]["annotations"] = {marks.STOP: reason}
    assert Watched(here).look() == ["undone"] * 4


def test_what_others_did_stays(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic(PROXY, Toxic("theirs", "bandwidth", {"rate": 9}))
    client.set_enabled("ted", False)
    kubernetes.nodes["node-a"]["spec"]["unschedulable"] = True
    lock.release(here.run, here.environment)
    assert Watched(here).look() == []
    assert [one["name"] for one in toxiproxy.toxics(PROXY)] == ["theirs"]
    assert not toxiproxy.enabled("ted")
    assert kubernetes.nodes["node-a"]["spec"]["unschedulable"] is True


@pytest.mark.row(14)
def test_what_cannot_be_undone_is_tried_again_and_called_stuck_after_a_minute(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    kubernetes.forbidden.add("patch nodes")
    watched = Watched(here)
    assert sorted(watched.look()) == ["not_undone", "not_undone", "undone", "undone"]
    assert watched.look(after=55) == ["not_undone"] * 2
    assert watched.look(after=6) == ["stuck"] * 2
    assert any("kubectl uncordon node-b" in str(one["by_hand"]) for one in watched.told)
    kubernetes.forbidden.clear()
    assert watched.look(after=6) == ["undone"] * 2
    assert clean(toxiproxy, kubernetes)


def test_a_system_that_does_not_answer_is_told_and_asked_again(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    watched = Watched(here)
    kubernetes.forbidden.add("list nodes")
    assert watched.look() == ["unreachable"]
    kubernetes.forbidden.clear()
    assert watched.look(after=6) == []


def test_a_system_that_is_gone_does_not_keep_the_others_from_being_undone(
    start_toxiproxy: Callable[[], RealToxiproxy],
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
) -> None:
    """It was lost together with the host of the run, say."""
    gone, living = start_toxiproxy(), start_toxiproxy()
    for name in (PROXY, "ted"):
        living.create(name)
    here = wallet(toxiproxies=[gone.url, living.url])
    faults(here, living, kubernetes)
    lock.release(here.run, here.environment)
    gone.stop()
    watched = Watched(here)
    assert watched.look() == [*["undone"] * 4, "unreachable"]
    assert gone.url in watched.told[-1]["why"]
    assert clean(living, kubernetes)


def test_a_surprise_neither_ends_it_nor_stops_the_other_undos(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """A node, and then the lease, of a form that nobody has thought of."""
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    node, lease = kubernetes.nodes["node-b"], kubernetes.leases["holdfast"]
    spec, known = node["spec"], lease["spec"]

    def strange(method: str, path: str) -> None:
        if (method, path) == ("GET", "/api/v1/nodes/node-b"):
            node.pop("spec", None)

    kubernetes.before = strange
    watched = Watched(here)
    assert sorted(watched.look()) == ["not_undone", "not_undone", "undone", "undone"]
    assert "KeyError: 'spec'" in next(one["why"] for one in watched.told if "why" in one)
    kubernetes.before = lambda _method, _path: None
    node["spec"], lease["spec"] = spec, {**known, "holderIdentity": 5}
    assert watched.look(after=6) == ["unreachable"]
    assert "AttributeError" in watched.told[0]["why"]
    lease["spec"] = known
    assert watched.look(after=6) == ["undone"] * 2
    assert clean(toxiproxy, kubernetes)


def test_a_mark_that_cannot_be_read_hides_no_other(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    kubernetes.nodes["node-b"]["metadata"]["annotations"][marks.EXPIRES] = 5
    watched = Watched(here)
    assert watched.look() == ["undone", "undone", "unreachable"]
    assert "TypeError" in watched.told[-1]["why"]
    assert not toxiproxy.toxics(PROXY)


@pytest.mark.row(31)
def test_a_proxy_that_could_not_be_made_anew_is_made_though_its_mark_is_gone(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    with Meddler(toxiproxy.url) as meddler:
        here = wallet(toxiproxies=[meddler.url])
        faults(here, toxiproxy, kubernetes)
        lock.release(here.run, here.environment)
        before = toxiproxy.call("GET", f"/proxies/{PROXY}")
        meddler.hold_request(f"DELETE /proxies/{PROXY}/toxics/", times=None)
        meddler.answer("POST /proxies$", 500, '{"error": "address already in use"}', times=1)
        watched = Watched(here)
        assert sorted(watched.look()) == ["not_undone", *["undone"] * 3]
        assert PROXY not in toxiproxy.call("GET", "/proxies")
        assert watched.look(after=6) == ["undone"]
        assert toxiproxy.call("GET", f"/proxies/{PROXY}") == {**before, "toxics": []}
        assert watched.look(after=6) == []
    assert clean(toxiproxy, kubernetes)


def test_what_became_anothers_is_told_and_then_left_alone(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """A node whose mark somebody took away between the look and the undo."""
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)

    def theirs(method: str, path: str) -> None:
        if (method, path) == ("GET", "/api/v1/nodes/node-b"):
            kubernetes.nodes["node-b"]["metadata"]["annotations"].pop(marks.RUN, None)

    kubernetes.before = theirs
    watched = Watched(here)
    assert sorted(watched.look()) == ["not_undone", *["undone"] * 3]
    assert watched.look(after=6) == []


def test_it_says_that_it_is_there(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    watched = Watched(here)
    watched.look()
    first = kubernetes.leases["holdfast-reaper"]["metadata"]["resourceVersion"]
    watched.look(after=2)
    assert kubernetes.leases["holdfast-reaper"]["metadata"]["resourceVersion"] != first


@pytest.mark.parametrize(
    "name",
    [
        "holdfast-0123456789ab-slow",
        "holdfast-0123456789ab-slow-until-20261332T000000Z",
        "theirs",
        "holdfast-",
    ],
)
def test_names_of_toxics(name: str) -> None:
    """Those of the first format had no end; one whose end is no date is ours all the same."""
    mark = marks.of_toxic(name)
    assert (mark is not None) == name.startswith("holdfast-0123456789ab-slow")
    assert mark is None or (mark.run, mark.kind, mark.expires) == ("0123456789ab", "slow", None)


def test_its_process_looks_once(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    path = str(written(here, tmp_path))
    command = [sys.executable, "-m", "holdfast.reaper", "--environment", path, "--once"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line)["event"] for line in ended.stdout.splitlines()]
    assert told == ["began", *["undone"] * 4]
    assert clean(toxiproxy, kubernetes)
