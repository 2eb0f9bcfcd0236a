"""Whatever the systems answer, or fail to: rows 13 to 24 and 30 to 32 of the fault matrix."""

import os
import signal
import socket

import pytest

from holdfast import heal, lock, supervision
from holdfast.clock import SECOND, now_ns, until
from holdfast.cluster import Cluster
from holdfast.context import KEY, Context
from holdfast.documents import read_environment
from holdfast.heal.operations import NEVER, REMOVED, RESTORED
from holdfast.probes import landed
from holdfast.run import watch
from holdfast.store import Run
from tests.lab.faults_case import NODE, NODES, PROXY, Place

pytestmark = pytest.mark.lab

ADD = rf"POST /proxies/{PROXY}/toxics$"
REMOVE = rf"DELETE /proxies/{PROXY}/toxics/"
PATCH = rf"PATCH {NODES}/{NODE}"
MERGE = "application/merge-patch+json"
HTML = "<html><body>Bad Gateway</body></html>"


@pytest.mark.row(13)
@pytest.mark.parametrize(("code", "body"), [(500, "{}"), (503, HTML)])
@pytest.mark.parametrize(("fault", "call"), [("slow", ADD), ("zone", PATCH)])
def test_an_error_while_injecting_is_not_tried_again(
    place: Place, fault: str, call: str, code: int, body: str
) -> None:
    meddler = place.api if fault == "zone" else place.proxies
    meddler.answer(call, code, body)
    run = place.start(fault)
    assert f"it answered {code}" in run.told("error")
    assert run.told("healed") == ""
    assert run.ended() == 4
    assert meddler.count(call) == 1
    assert not place.left(fault)
    assert run.how() == [NEVER]


@pytest.mark.row(14)
@pytest.mark.parametrize(("fault", "call"), [("slow", REMOVE), ("zone", PATCH)])
def test_an_error_while_undoing_is_tried_again_until_it_is_read_back(
    place: Place, fault: str, call: str
) -> None:
    """Till then the record says that it is pending, and the lock is free for the reaper's help."""
    run = place.start(fault)
    run.told("active")
    meddler = place.api if fault == "zone" else place.proxies
    meddler.answer(call, 503, HTML, times=7)
    run.kill()
    assert until(lambda: "stuck" in run.states(), seconds=10)
    assert heal.pending(Run(run.folder))
    assert place.left(fault)
    assert place.gone_within(fault, 15) < 15
    assert until(lambda: run.states()[-1] == "undone", seconds=10)
    assert meddler.count(call) >= 3


@pytest.mark.row(15)
def test_a_busy_api_server_is_asked_again_after_five_seconds_at_most(place: Place) -> None:
    run = place.start("zone")
    run.told("active")
    place.api.answer(PATCH, 429, headers={"Retry-After": "3600"}, times=1)
    run.release()
    assert 4 < place.gone_within("zone", 15) < 10
    assert run.ended() == 0
    assert run.how() == [REMOVED]


@pytest.mark.row(16)
@pytest.mark.parametrize(("fault", "call"), [("slow", ADD), ("zone", PATCH)])
def test_a_call_that_is_never_answered_is_an_unknown_result(
    place: Place, fault: str, call: str
) -> None:
    """It ends by itself; what it does later is undone as well."""
    meddler = place.api if fault == "zone" else place.proxies
    held = meddler.hold_request(call)
    run = place.start(fault)
    held.wait()
    began = now_ns()
    assert until(lambda: "undoing" in run.states(), seconds=10)
    assert (now_ns() - began) / SECOND < 8
    held.release()
    assert "did not answer within" in run.told("error")
    assert run.told("healed") == ""
    assert run.ended() == 4
    assert not place.left(fault)


@pytest.mark.row(17)
@pytest.mark.parametrize(("fault", "call"), [("slow", ADD), ("zone", PATCH)])
def test_a_reset_in_the_middle_of_the_answer(place: Place, fault: str, call: str) -> None:
    """It was carried out, and nobody was told so."""
    meddler = place.api if fault == "zone" else place.proxies
    meddler.cut_answer(call)
    run = place.start(fault)
    run.told("error")
    assert run.told("healed") == ""
    assert run.ended() == 4
    assert run.how() == [REMOVED]
    assert not place.left(fault)


@pytest.mark.row(18)
def test_fifty_targets_behind_a_slow_api_server(place: Place) -> None:
    """Three seconds a call: within half a minute, and the heartbeat goes on meanwhile."""
    names = [f"matrix-many-{number}" for number in range(50)]
    environment = read_environment(place.folder / "environment.yaml")
    run = Run.create(place.folder / "runs", "many")
    run.write_json("plan.json", {"environment": environment.model_dump(mode="json")})
    here = Context(run, environment)
    try:
        for name in names:
            place.add_node(name, "matrix-many")
        token = lock.acquire(run, environment).token
        watchdog = supervision.start(run)
        lost: list[str] = []
        guardian = supervision.Guardian(watchdog, lost.append)
        guardian.start()
        direct = Cluster(str(read_environment(place.environment).kubernetes.kubeconfig))
        nodes = [node for node in direct.nodes() if node.name in names]
        heals = [
            heal.intend(run, "uncordon", {"node": one.name, "uid": one.uid, "run": run.id})
            for one in nodes
        ]
        with heal.injecting(run, environment, heals):
            for node in nodes:
                direct.cordon(node, heal.marks(run, "uncordon", token))
        place.api.delay(".*", 3.0)
        began = now_ns()
        assert heal.undo_all(here.run, environment) == []
        assert (now_ns() - began) / SECOND < 30
        assert len(nodes) == 50
        assert not any(place.marked(name) for name in names)
        assert lost == []
        place.api.clear()
        guardian.end(wait=True)
    finally:
        for name in names:
            place.remove_node(name)


@pytest.mark.row(19)
def test_a_conflict_is_read_again_and_never_forced(place: Place) -> None:
    run = place.start("zone")
    run.told("active")
    place.api.answer(PATCH, 409, times=2)
    run.release()
    assert run.ended() == 0
    assert place.api.count(PATCH) == 4  # the cordon, two conflicts, the undo
    assert not place.left("zone")


@pytest.mark.row(19)
def test_somebody_writes_between_our_read_and_our_write(place: Place) -> None:
    """The API server refuses a patch of an older version; theirs stays, and ours is made anew."""
    run = place.start("zone")
    run.told("active")
    held = place.api.hold_request(PATCH)
    run.release()
    held.wait()
    theirs = {"metadata": {"annotations": {"example.org/theirs": "1"}}}
    place.admin.call("PATCH", f"{NODES}/{NODE}", theirs, MERGE)
    held.release()
    assert run.ended() == 0
    assert not place.left("zone")
    assert place.node()["metadata"]["annotations"]["example.org/theirs"] == "1"


@pytest.mark.row(20)
def test_credentials_that_expire_in_mid_run(place: Place) -> None:
    """They are read once more; if that does not help, the reaper comes with its own."""
    run = place.start("zone")
    run.told("active")
    place.api.answer(".*", 401)
    run.kill()
    assert until(lambda: "stuck" in run.states(), seconds=10)
    (why, *_) = [o["why"] for o in run.records("heals.jsonl") if o["state"] == "stuck"]
    assert "it does not accept our credentials (401), which were just read once more" in why
    assert place.gone_within("zone", 35) < 30
    place.api.clear()
    assert until(lambda: run.states()[-1] == "undone", seconds=35)
    assert run.how() == [NEVER]


@pytest.mark.row(21)
def test_the_right_to_undo_is_taken_away_in_mid_run(place: Place) -> None:
    """It is stuck, with the right that is missing; the reaper has rights of its own."""
    run = place.start("zone")
    run.told("active")
    place.api.answer(PATCH, 403, '{"message": "nodes is forbidden"}')
    run.kill()
    assert until(lambda: "stuck" in run.states(), seconds=10)
    (why, *_) = [o["why"] for o in run.records("heals.jsonl") if o["state"] == "stuck"]
    assert "no right to patch nodes (403)" in why
    assert place.gone_within("zone", 20) < 15, "the lock was given back for the reaper"


@pytest.mark.row(22)
def test_a_target_that_was_made_anew_is_another_target(place: Place) -> None:
    run = place.start("zone")
    run.told("active")
    place.remove_node()
    place.add_node()
    cordon = {"spec": {"unschedulable": True}}
    place.admin.call("PATCH", f"{NODES}/{NODE}", cordon, MERGE)
    run.release()
    assert run.ended() == 0
    assert run.how() == [NEVER]
    assert place.node()["spec"]["unschedulable"], "somebody else's"


@pytest.mark.row(22)
def test_a_proxy_that_was_made_anew_has_no_fault(place: Place) -> None:
    run = place.start("slow")
    run.told("active")
    was = place.call("GET", f"/proxies/{PROXY}")
    place.call("DELETE", f"/proxies/{PROXY}")
    place.call("POST", "/proxies", {**was, "toxics": []})
    run.release()
    assert run.ended() == 0
    assert run.how() == [NEVER]


@pytest.mark.row(23)
def test_a_toxic_that_somebody_changed_is_left_alone(place: Place) -> None:
    run = place.start("slow")
    run.told("active")
    path = f"/proxies/{PROXY}/toxics/{place.toxics()[0]}"
    place.call("POST", path, {"attributes": {"latency": 777}})
    run.release()
    told = run.told("left")
    assert place.call("GET", path)["attributes"]["latency"] == 777
    assert "from {'latency': 300, 'jitter': 0} to {'latency': 777, 'jitter': 0}" in told
    assert run.ended() == 5
    assert "conflict" in run.states()


@pytest.mark.row(23)
def test_a_cordon_that_somebody_took_over_is_left_alone(place: Place) -> None:
    run = place.start("zone")
    run.told("active")
    theirs = {"metadata": {"annotations": {"holdfast.io/run": None}}}
    place.admin.call("PATCH", f"{NODES}/{NODE}", theirs, MERGE)
    run.release()
    assert "its mark names nobody instead of this run" in run.told("left")
    assert run.ended() == 5
    assert "conflict" in run.states()
    assert place.node()["spec"]["unschedulable"]
    os.kill(run.watchdog(), signal.SIGKILL)
    free = {"spec": {"unschedulable": None}}
    place.admin.call("PATCH", f"{NODES}/{NODE}", free, MERGE)


@pytest.mark.row(24)
@pytest.mark.parametrize("fault", ["slow", "zone"])
def test_somebody_takes_the_fault_back_early(place: Place, fault: str) -> None:
    """As a GitOps controller does: it is seen by the next look, and the undo finds nothing."""
    assert watch._LOOK_FAULT_S == 5.0
    run = place.start(fault)
    run.told("active")
    configuration = {KEY: str(run.folder)}
    assert landed.still_there(configuration)
    if fault == "slow":
        place.call("DELETE", f"/proxies/{PROXY}/toxics/{place.toxics()[0]}")
    else:
        marks = place.node()["metadata"]["annotations"]
        ours = {key: None for key in marks if key.startswith("holdfast.io/")}
        back = {"metadata": {"annotations": ours}, "spec": {"unschedulable": None}}
        place.admin.call("PATCH", f"{NODES}/{NODE}", back, MERGE)
    assert not landed.still_there(configuration)
    (missing,) = run.records("samples/readbacks.jsonl")[-1]["missing"]
    assert "the change is not there any more" in missing
    run.release()
    assert run.ended() == 0
    assert run.how() == [NEVER]


def accepts(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.row(30)
@pytest.mark.parametrize("fault", ["slow", "cut"])
def test_a_toxiproxy_that_comes_back_without_its_proxies(place: Place, fault: str) -> None:
    """The fault is gone, and so is the gateway's path: that is made again as it was."""
    was = place.call("GET", f"/proxies/{PROXY}")
    run = place.start(fault)
    run.told("active")
    place.call("DELETE", f"/proxies/{PROXY}")
    assert not landed.still_there({KEY: str(run.folder)}), "it ended early, and the run is unknown"
    run.release()
    assert run.ended() == 0
    assert run.how() == [RESTORED]
    now = place.call("GET", f"/proxies/{PROXY}")
    assert (now["listen"], now["upstream"]) == (was["listen"], was["upstream"])
    assert (now["enabled"], now["toxics"]) == (True, [])
    assert accepts(was["listen"])


@pytest.mark.row(31)
def test_a_removal_that_hangs_costs_the_proxy_and_not_the_undo(place: Place) -> None:
    was = place.call("GET", f"/proxies/{PROXY}")
    run = place.start("slow")
    run.told("active")
    place.proxies.hold_request(REMOVE)
    run.release()
    assert 1.5 < place.gone_within("slow", 8) < 5
    assert run.ended() == 0
    assert run.how() == [REMOVED]
    assert place.call("GET", f"/proxies/{PROXY}")["listen"] == was["listen"]
    assert accepts(was["listen"])


@pytest.mark.row(31)
def test_a_removal_that_fails_once_costs_nobody_a_connection(place: Place) -> None:
    run = place.start("slow")
    run.told("active")
    place.proxies.cut_request(REMOVE)
    run.release()
    assert run.ended() == 0
    assert place.toxics() == []
    assert place.proxies.count(rf"DELETE /proxies/{PROXY}$") == 0


@pytest.mark.row(32)
def test_a_toxic_of_others_is_never_touched(place: Place) -> None:
    theirs = {"name": "theirs", "type": "latency", "attributes": {"latency": 1, "jitter": 0}}
    run = place.start("slow")
    run.told("active")
    place.call("POST", f"/proxies/{PROXY}/toxics", theirs)
    place.proxies.hold_request(REMOVE)  # even then the proxy is not made anew
    run.release()
    assert run.ended() == 0
    assert place.toxics() == ["theirs"]
    assert place.proxies.count("/reset") == 0
    assert place.proxies.count(rf"DELETE /proxies/{PROXY}$") == 0


@pytest.mark.row(32)
def test_a_proxy_with_a_toxic_of_others_is_not_hit(place: Place) -> None:
    theirs = {"name": "theirs", "type": "latency", "attributes": {"latency": 1, "jitter": 0}}
    place.call("POST", f"/proxies/{PROXY}/toxics", theirs)
    run = place.start("slow")
    assert "theirs" in run.told("error")
    assert run.ended() == 4
    assert place.toxics() == ["theirs"]
    assert run.states() == []
