"""The undo: from every state that a crash can leave, twice, and never of what others did."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast import heal
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.errors import InvalidInput
from holdfast.marks import RUN
from holdfast.model import Heal
from holdfast.store import Run
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy
from tests.fakes import Broken, FakeKubernetes, absent

PROXY = "pix-primary"


def slow(here: Context, url: str) -> Toxic:
    """Write down the undo of a toxic; the toxic itself is for the test to add."""
    toxic = Toxic(heal.toxic_name(here.run, "slow"), "latency", {"latency": 500, "jitter": 0})
    heal.intend(here.run, "remove_toxic", {"url": url, "proxy": PROXY, "toxic": toxic.name})
    return toxic


def cut(here: Context, url: str) -> Toxic:
    """Write down the undo of a cut."""
    name = heal.toxic_name(here.run, "cut")
    heal.intend(here.run, "enable_proxy", {"url": url, "proxy": PROXY, "marker": name})
    return Toxic(name, "latency", {"latency": 0, "jitter": 0}, toxicity=0.0)


def cordoned(here: Context, kubernetes: FakeKubernetes, name: str = "node-b") -> None:
    """Write down the undo of a cordon."""
    uid = kubernetes.nodes[name]["metadata"]["uid"]
    heal.intend(here.run, "uncordon", {"node": name, "uid": uid, "run": here.run.id})


def states(run: Run) -> list[str]:
    return [one["state"] for one in run.records("heals.jsonl")]


def events(run: Run) -> list[str]:
    return [one["event"] for one in run.records("events.jsonl")]


def test_the_undo_is_on_disk_before_the_harm(make_here: Callable[..., Context]) -> None:
    here = make_here()
    toxic = slow(here, "http://127.10.0.11:1")
    assert here.run.records("heals.jsonl")[0]["operation"] == "remove_toxic"
    assert [one.arguments["toxic"] for one in heal.pending(here.run)] == [toxic.name]
    assert here.run.id in toxic.name


def test_marks_name_the_run_its_undo_and_its_end(make_here: Callable[..., Context]) -> None:
    run = make_here().run
    marks = heal.marks(run, "uncordon", "lease-1/7")
    assert marks["holdfast.io/run"] == run.id
    assert marks["holdfast.io/undo"] == "uncordon"
    assert marks["holdfast.io/expires-at"].endswith("Z")
    assert marks["holdfast.io/token"] == "lease-1/7"
    assert "@" in marks["holdfast.io/owner"]
    assert heal.toxic_name(run, "cut").startswith(f"holdfast-{run.id}-cut-until-2")


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("run_shell", {"command": "true"}),
        ("remove_toxic", {"url": "u", "proxy": "p"}),
        ("remove_toxic", {"url": "u", "proxy": "p", "toxic": "t", "more": 1}),
    ],
)
def test_the_list_of_operations_is_closed(
    make_here: Callable[..., Context], operation: str, arguments: dict[str, Any]
) -> None:
    here = make_here()
    with pytest.raises(InvalidInput, match="closed list"):
        heal.intend(here.run, operation, arguments)
    assert not here.run.records("heals.jsonl")


def test_what_cannot_be_undone_is_written_down_and_not_pending(
    make_here: Callable[..., Context],
) -> None:
    here = make_here()
    heal.intend(here.run, "none", {"kind": "pods.kill", "targets": []})
    assert states(here.run) == ["irreversible"]
    assert heal.pending(here.run) == []
    assert heal.undo_all(here.run, here.environment) == []
    assert events(here.run) == []


def test_undone_and_undone_again(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    Toxiproxy(toxiproxy.url).add_toxic(PROXY, slow(here, toxiproxy.url))
    assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []
    assert heal.undo_all(here.run, here.environment) == []
    assert states(here.run) == ["intent", "undoing", "undone"]
    assert events(here.run) == ["undo_began", "undo_verified"]


def test_a_toxic_that_was_never_added(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    slow(here, toxiproxy.url)
    assert heal.undo_all(here.run, here.environment) == []
    assert states(here.run) == ["intent", "undoing", "undone"]


@pytest.mark.row(3)
@pytest.mark.parametrize("state", ["injecting", "active"])
def test_a_call_that_arrives_after_its_sender_died(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], state: str
) -> None:
    """That it is not there yet is no proof that it will not come: it may be on its way."""
    here = make_here(toxiproxies=[toxiproxy.url])
    toxic = slow(here, toxiproxy.url)
    (known,) = heal.pending(here.run)
    for one in ("injecting", state):
        record = {"heal": known.id, "operation": known.operation, "arguments": known.arguments}
        here.run.append("heals.jsonl", {**record, "state": one})
    late = threading.Timer(0.7, lambda: Toxiproxy(toxiproxy.url).add_toxic(PROXY, toxic))
    late.start()
    assert heal.undo_all(here.run, here.environment) == []
    late.join()
    left = [one["name"] for one in toxiproxy.toxics(PROXY)]
    assert left == ([] if state == "injecting" else [toxic.name])


def test_a_run_that_broke_off_before_it_injected_is_known_to_have_left_nothing(
    make_here: Callable[..., Context],
) -> None:
    """Otherwise its verdict would say for ever that a fault may remain."""
    here = make_here()
    here.run.append("events.jsonl", {"event": "phase", "name": "fault"})
    for _ in range(2):
        assert heal.undo_all(here.run, here.environment, by="watchdog") == []
    assert events(here.run) == ["phase", "undo_verified"]


def test_a_run_that_ended_well_is_not_written_to(make_here: Callable[..., Context]) -> None:
    here = make_here()
    here.run.append("events.jsonl", {"event": "phase", "name": "end"})
    assert heal.undo_all(here.run, here.environment, by="person") == []
    assert events(here.run) == ["phase"]


CRASH = """
import os, signal, sys
from pathlib import Path
from holdfast import heal
from holdfast.store import Run
from holdfast.toxiproxy import Toxic, Toxiproxy

folder, url, when = sys.argv[1:]
run = Run(Path(folder))
toxic = Toxic(heal.toxic_name(run, "slow"), "latency", {"latency": 500, "jitter": 0})
heal.intend(run, "remove_toxic", {"url": url, "proxy": "pix-primary", "toxic": toxic.name})
if when == "after the act":
    Toxiproxy(url).add_toxic("pix-primary", toxic)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["before the act", "after the act"])
def test_a_killed_run_is_undone_by_another_process(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], when: str
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    command = [sys.executable, "-c", CRASH, str(here.run.folder), toxiproxy.url, when]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(toxiproxy.toxics(PROXY)) == (when == "after the act")
    assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []
    assert states(here.run) == ["intent", "undoing", "undone"]


@pytest.mark.parametrize("came", ["intent", "marker", "disabled", "enabled by somebody"])
def test_a_cut_is_undone_however_far_it_came(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], came: str
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    client, marker = Toxiproxy(toxiproxy.url), cut(here, toxiproxy.url)
    if came != "intent":
        client.add_toxic(PROXY, marker)
    if came in ("disabled", "enabled by somebody"):
        client.set_enabled(PROXY, False)
    if came == "enabled by somebody":
        toxiproxy.call("POST", f"/proxies/{PROXY}", {"enabled": True})
    assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.enabled(PROXY)
    assert toxiproxy.toxics(PROXY) == []


def test_a_proxy_that_somebody_else_disabled_stays_disabled(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    cut(here, toxiproxy.url)
    toxiproxy.call("POST", f"/proxies/{PROXY}", {"enabled": False})
    (failure,) = heal.undo_all(here.run, here.environment)
    assert "this run's mark is not there" in str(failure)
    assert not toxiproxy.enabled(PROXY)
    assert states(here.run) == ["intent", "undoing", "conflict"]


def test_a_proxy_that_is_gone_is_no_success(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """A Toxiproxy that was restarted without its proxies carries nobody's traffic."""
    here = make_here(toxiproxies=[toxiproxy.url])
    slow(here, toxiproxy.url)
    toxiproxy.call("DELETE", f"/proxies/{PROXY}")
    (failure,) = heal.undo_all(here.run, here.environment)
    assert "does not exist any more" in str(failure)


def test_toxics_of_others_stay(toxiproxy: RealToxiproxy, make_here: Callable[..., Context]) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic(PROXY, slow(here, toxiproxy.url))
    client.add_toxic(PROXY, Toxic("theirs", "bandwidth", {"rate": 9}))
    client.add_toxic("ted", Toxic("theirs", "bandwidth", {"rate": 9}))
    assert heal.undo_all(here.run, here.environment) == []
    assert [one["name"] for one in toxiproxy.toxics(PROXY)] == ["theirs"]
    assert [one["name"] for one in toxiproxy.toxics("ted")] == ["theirs"]


def test_newest_first_and_on_after_a_failure(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic(PROXY, slow(here, toxiproxy.url))
    cordoned(here, kubernetes)
    kubernetes.nodes["node-b"]["spec"]["unschedulable"] = True  # by somebody else
    cordoned(here, kubernetes, "node-c")
    (failure,) = heal.undo_all(here.run, here.environment)
    assert failure.heal.arguments["node"] == "node-b"
    assert "its mark names nobody" in str(failure)
    assert toxiproxy.toxics(PROXY) == []
    assert [one.arguments["node"] for one in heal.pending(here.run)] == ["node-b"]
    done = [one for one in here.run.records("heals.jsonl") if one["state"] == "undone"]
    assert {one["operation"] for one in done} == {"uncordon", "remove_toxic"}
    failed = here.run.records("events.jsonl")[-1]
    assert failed["event"] == "undo_failed"
    assert failed["heals"] == [failure.heal.id]
    assert "node-b" in failed["why"]


def test_a_cordon_and_a_taint_are_undone(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    here, cluster = wallet(), Cluster(str(kubernetes.kubeconfig(tmp_path)))
    node = cluster.nodes()[1]
    cordoned(here, kubernetes)
    cluster.cordon(node, heal.marks(here.run, "uncordon", "lease-1/7"))
    heal.intend(here.run, "untaint", {"node": node.name, "key": "k", "run": here.run.id})
    cluster.taint(node, "k", here.run.id)
    assert heal.undo_all(here.run, here.environment) == []
    assert cluster.nodes()[1] == node
    assert [(one["involvedObject"]["name"], one["reason"]) for one in kubernetes.events] == [
        ("node-b", "FaultUndone")
    ]


def test_a_mark_of_another_run_stays(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    cordoned(here, kubernetes)
    kubernetes.nodes["node-b"]["spec"]["unschedulable"] = True
    kubernetes.nodes["node-b"]["metadata"]["annotations"] = {RUN: "another"}
    (failure,) = heal.undo_all(here.run, here.environment)
    assert "its mark names another instead of this run" in str(failure)
    assert kubernetes.nodes["node-b"]["metadata"]["annotations"] == {RUN: "another"}


def test_another_cluster_is_not_taken_for_healed(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    cordoned(here, kubernetes)
    kubernetes.uid = "cluster-2"
    (failure,) = heal.undo_all(here.run, here.environment)
    assert "the kubeconfig leads to cluster-2 now, where nothing was undone" in str(failure)


def test_a_toxiproxy_that_the_environment_no_longer_names(
    make_here: Callable[..., Context],
) -> None:
    here = make_here(toxiproxies=[])
    slow(here, "http://127.10.0.11:1")
    (failure,) = heal.undo_all(here.run, here.environment)
    assert "does not name this Toxiproxy any more" in str(failure)


@pytest.mark.parametrize("kind", ["absent", "500"])
def test_a_system_that_does_not_answer_is_a_failure_in_time(
    make_here: Callable[..., Context], kind: str
) -> None:
    with Broken(kind, "127.10.0.11") as broken:
        url = absent("127.10.0.11") if kind == "absent" else broken.url
        here = make_here(toxiproxies=[url])
        slow(here, url)
        (failure,) = heal.undo_all(here.run, here.environment, retry_s=0.6)
    assert url in str(failure)
    assert len(broken.seen) == (0 if kind == "absent" else 2), "tried again within the time"
    assert events(here.run) == ["undo_began", "undo_failed"]


def test_a_system_that_comes_back_is_healed(
    start_toxiproxy: Callable[[], RealToxiproxy], make_here: Callable[..., Context]
) -> None:
    toxiproxy = start_toxiproxy()
    toxiproxy.create(PROXY)
    here = make_here(toxiproxies=[toxiproxy.url])
    Toxiproxy(toxiproxy.url).add_toxic(PROXY, slow(here, toxiproxy.url))
    os.kill(toxiproxy.process.pid, signal.SIGSTOP)
    waker = subprocess.Popen(
        [sys.executable, "-c", f"import os,time;time.sleep(.5);os.kill({toxiproxy.process.pid},18)"]
    )
    assert heal.undo_all(here.run, here.environment) == []
    assert waker.wait(5) == 0
    assert toxiproxy.toxics(PROXY) == []


@pytest.mark.row(34)
def test_a_run_folder_that_cannot_be_written_does_not_stop_the_undo(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    Toxiproxy(toxiproxy.url).add_toxic(PROXY, slow(here, toxiproxy.url))
    here.run.path("events.jsonl").mkdir()
    assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []


def test_a_record_that_is_not_on_the_list_is_said_and_left(
    make_here: Callable[..., Context],
) -> None:
    here = make_here()
    odd = {"heal": "h", "state": "intent", "operation": "run_shell", "arguments": {"it": "rm"}}
    here.run.append("heals.jsonl", odd)
    (failure,) = heal.undo_all(here.run, here.environment)
    assert failure.heal == Heal("h", "run_shell", {"it": "rm"})
    assert "not on the closed list" in str(failure)


def test_a_token_that_is_not_there(make_here: Callable[..., Context]) -> None:
    here = make_here(toxiproxies=["http://127.10.0.11:1"])
    data = here.environment.model_dump()
    data["toxiproxy"][0]["token_env"] = "HOLDFAST_NO_SUCH_TOKEN"
    environment = type(here.environment).model_validate(
        data, context={"recorded": True}, strict=False
    )
    slow(here, "http://127.10.0.11:1")
    (failure,) = heal.undo_all(here.run, environment)
    assert "HOLDFAST_NO_SUCH_TOKEN: it is not set" in str(failure)
