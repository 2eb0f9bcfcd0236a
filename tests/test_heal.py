"""The undo: from every state that a crash can leave, twice, and never of what others did."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast import heal
from holdfast.clock import SECOND, now_ns, until
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.documents import Environment
from holdfast.errors import FaultNotApplied, InvalidInput, Unreachable
from holdfast.marks import RUN
from holdfast.model import Heal
from holdfast.redact import keep_secret
from holdfast.store import Run
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy
from tests.fakes import Broken, FakeKubernetes, absent
from tests.meddler import Meddler

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


def test_an_undo_that_cannot_be_read_again_is_no_undo(make_here: Callable[..., Context]) -> None:
    """A proxy is called like a secret: in the log stands `[redacted]`, which nobody could undo."""
    here = make_here()
    keep_secret("a-proxy-that-is-called-like-a-secret")
    undo = {"url": "u", "proxy": "a-proxy-that-is-called-like-a-secret", "toxic": "t"}
    with pytest.raises(FaultNotApplied, match="names what is kept out of records as a secret"):
        heal.intend(here.run, "remove_toxic", undo)
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


def closing(here: Context, toxiproxy: RealToxiproxy, state: str) -> Heal:
    """A cut whose mark is there, and which was written down up to that state."""
    marker = cut(here, toxiproxy.url)
    (known,) = heal.pending(here.run)
    record = {"heal": known.id, "operation": known.operation, "arguments": dict(known.arguments)}
    for one in ("injecting", state):
        here.run.append("heals.jsonl", {**record, "state": one})
    Toxiproxy(toxiproxy.url).add_toxic(PROXY, marker)
    return known


def later(toxiproxy: RealToxiproxy, seconds: float) -> threading.Timer:
    """The proxy is closed so much later, by a call that was on its way."""
    body = {"enabled": False}
    it = threading.Timer(seconds, lambda: toxiproxy.call("POST", f"/proxies/{PROXY}", body))
    it.start()
    return it


@pytest.mark.row(3)
@pytest.mark.parametrize("log", ["whole", "damaged"])
def test_a_closing_that_arrives_after_its_sender_died_finds_its_mark(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], log: str
) -> None:
    """For as long as it may be on its way: a proxy that is closed without a mark stays closed."""
    here = make_here(toxiproxies=[toxiproxy.url])
    closing(here, toxiproxy, "injecting")
    if log == "damaged":  # then nobody knows what was sent
        path = here.run.path("heals.jsonl")
        first, *_ = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + b"{}\n{}\n")
    late = later(toxiproxy, 4.0)
    assert heal.undo_all(here.run, here.environment, by="watchdog") == []
    late.join()
    assert toxiproxy.enabled(PROXY)
    assert toxiproxy.toxics(PROXY) == []


@pytest.mark.parametrize("closed", [True, False])
def test_a_cut_that_was_answered_is_undone_at_once(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], closed: bool
) -> None:
    """Nothing of it can be on its way: to wait would cost the customers seconds."""
    here = make_here(toxiproxies=[toxiproxy.url])
    closing(here, toxiproxy, "active")
    if closed:
        later(toxiproxy, 0).join()
    began = now_ns()
    assert heal.undo_all(here.run, here.environment) == []
    assert now_ns() - began < 3 * SECOND
    assert toxiproxy.enabled(PROXY)
    assert toxiproxy.toxics(PROXY) == []


def test_a_proxy_that_is_closed_while_the_mark_is_taken_away_is_no_success(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    with Meddler(toxiproxy.url) as meddler:
        here = make_here(toxiproxies=[meddler.url])
        marker = cut(here, meddler.url)
        Toxiproxy(toxiproxy.url).add_toxic(PROXY, marker)
        removal = meddler.hold_request(f"DELETE .*/toxics/{marker.name}")
        found: list[heal.Failure] = []
        undo = threading.Thread(
            target=lambda: found.extend(heal.undo_all(here.run, here.environment))
        )
        undo.start()
        removal.wait()
        later(toxiproxy, 0).join()
        removal.release()
        undo.join()
    assert "it was disabled again while this run's mark was taken away" in str(found[0])


def test_a_toxic_that_a_later_version_lists_with_more_is_still_ours(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    with Meddler(toxiproxy.url) as meddler:
        here = make_here(toxiproxies=[meddler.url])
        attributes = {"latency": 500, "jitter": 0}
        toxic = Toxic(heal.toxic_name(here.run, "slow"), "latency", attributes)
        undo = {"url": meddler.url, "proxy": PROXY, "toxic": toxic.name, "attributes": attributes}
        heal.intend(here.run, "remove_toxic", undo)
        Toxiproxy(toxiproxy.url).add_toxic(PROXY, toxic)
        listed = toxiproxy.call("GET", "/proxies")
        listed[PROXY]["toxics"][0]["attributes"]["correlation"] = 0
        meddler.answer("GET /proxies$", 200, json.dumps(listed), times=1)
        assert heal.undo_all(here.run, here.environment) == []
    assert toxiproxy.toxics(PROXY) == []


# ── a removal that hangs, as before Toxiproxy 2.13 ────────────────────────────────────────────────


@pytest.mark.row(31)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_removal_that_hangs_makes_the_proxy_anew_as_it_is(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], enabled: bool
) -> None:
    """Also when somebody else has disabled it meanwhile."""
    with Meddler(toxiproxy.url) as meddler:
        here = make_here(toxiproxies=[meddler.url])
        Toxiproxy(toxiproxy.url).add_toxic(PROXY, slow(here, meddler.url))
        toxiproxy.call("POST", f"/proxies/{PROXY}", {"enabled": enabled})
        before = toxiproxy.call("GET", f"/proxies/{PROXY}")
        meddler.hold_request("DELETE .*/toxics/", times=None)
        assert heal.undo_all(here.run, here.environment) == []
        assert meddler.count(f"DELETE /proxies/{PROXY}$") == 1
        assert toxiproxy.call("GET", f"/proxies/{PROXY}") == {**before, "toxics": []}


@pytest.mark.row(32)
def test_a_removal_that_hangs_takes_nothing_of_others(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """What they added while it hung is looked for right before the proxy is deleted."""
    with Meddler(toxiproxy.url) as meddler:
        here = make_here(toxiproxies=[meddler.url])
        client, toxic = Toxiproxy(toxiproxy.url), slow(here, meddler.url)
        client.add_toxic(PROXY, toxic)
        removal = meddler.hold_request("DELETE .*/toxics/", times=None)
        found: list[heal.Failure] = []
        undo = threading.Thread(
            target=lambda: found.extend(heal.undo_all(here.run, here.environment, retry_s=0))
        )
        undo.start()
        removal.wait()
        client.add_toxic(PROXY, Toxic("theirs", "bandwidth", {"rate": 9}))
        undo.join()
        assert "the proxy also has toxics of others: theirs" in str(found[0])
        assert {one["name"] for one in toxiproxy.toxics(PROXY)} == {"theirs", toxic.name}


@pytest.mark.row(31)
def test_a_proxy_that_cannot_be_made_anew_at_once_is_made_later(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """Who only knows the mark is told how it was: with the proxy its mark is gone."""
    with Meddler(toxiproxy.url) as meddler:
        here = make_here(toxiproxies=[meddler.url])
        Toxiproxy(toxiproxy.url).add_toxic(PROXY, slow(here, meddler.url))
        before = toxiproxy.call("GET", f"/proxies/{PROXY}")
        meddler.hold_request("DELETE .*/toxics/", times=None)
        meddler.answer("POST /proxies$", 500, '{"error": "address already in use"}', times=1)
        systems = heal.open_systems(here.environment)
        ((one,), _) = heal.found.everything(systems)
        how = f"Create it: listen {before['listen']}, upstream {before['upstream']}"
        with pytest.raises(Unreachable, match=re.escape(how)):
            heal.undo(one.heal, systems)
        assert PROXY not in toxiproxy.call("GET", "/proxies")
        assert "was made again" in heal.undo(one.heal, systems)
        assert toxiproxy.call("GET", f"/proxies/{PROXY}") == {**before, "toxics": []}


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


@pytest.mark.parametrize("proxy", ["pix-primary", "pix-of-a-stranger"])
def test_a_proxy_is_made_again_only_where_the_policy_names_it(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], proxy: str
) -> None:
    """A log of heals may come from anywhere: it must not open a way through our Toxiproxy."""
    here = make_here(toxiproxies=[toxiproxy.url])
    toxiproxy.call("DELETE", "/proxies/pix-primary")
    was = {"listen": absent("127.10.0.11").removeprefix("http://"), "upstream": "127.10.0.12:9"}
    toxic = heal.toxic_name(here.run, "slow")
    heal.intend(
        here.run, "remove_toxic", {"url": toxiproxy.url, "proxy": proxy, "toxic": toxic, **was}
    )
    failures = heal.undo_all(here.run, here.environment)
    assert (proxy in toxiproxy.call("GET", "/proxies")) == (proxy == "pix-primary")
    told = "it does not exist any more, and policy.proxies does not name it"
    assert [told in str(one) for one in failures] == ([] if proxy == "pix-primary" else [True])


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
    wakes = (
        "import os, signal, time\n"
        "time.sleep(0.5)  # it stays frozen while the undo asks it\n"
        f"os.kill({toxiproxy.process.pid}, signal.SIGCONT)\n"
    )
    waker = subprocess.Popen([sys.executable, "-c", wakes])
    assert heal.undo_all(here.run, here.environment) == []
    assert waker.wait(5) == 0
    assert toxiproxy.toxics(PROXY) == []


@pytest.mark.parametrize("why", ["could not be reached", "HOLDFAST_NO_SUCH_TOKEN: it is not set"])
def test_a_system_that_cannot_be_asked_for_marks_does_not_stop_the_others(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], why: str
) -> None:
    """A run's log is damaged, and one of its Toxiproxies is gone with its host or has no token."""
    here = make_here(toxiproxies=[absent("127.10.0.11"), toxiproxy.url])
    environment = without_token(here.environment) if "TOKEN" in why else here.environment
    name = heal.toxic_name(here.run, "slow")
    Toxiproxy(toxiproxy.url).add_toxic(PROXY, Toxic(name, "latency", {"latency": 9, "jitter": 0}))
    here.run.path("heals.jsonl").write_bytes(b"{}\n{}\n")
    (failure,) = heal.undo_all(here.run, environment, by="watchdog")
    assert why in str(failure)
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


def without_token(environment: Environment) -> Environment:
    """The first Toxiproxy asks for a token that nobody has set."""
    data = environment.model_dump()
    data["toxiproxy"][0]["token_env"] = "HOLDFAST_NO_SUCH_TOKEN"
    return Environment.model_validate(data, context={"recorded": True}, strict=False)


def test_a_token_that_is_not_there(make_here: Callable[..., Context]) -> None:
    here = make_here(toxiproxies=["http://127.10.0.11:1"])
    slow(here, "http://127.10.0.11:1")
    (failure,) = heal.undo_all(here.run, without_token(here.environment))
    assert "HOLDFAST_NO_SUCH_TOKEN: it is not set" in str(failure)


# ── slow instead of gone, forged instead of ours ─────────────────────────────────────────────────


def test_a_removal_that_was_only_slow_cuts_no_connection(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    with Meddler(toxiproxy.url) as meddler:
        here = make_here(toxiproxies=[meddler.url])
        Toxiproxy(toxiproxy.url).add_toxic(PROXY, slow(here, meddler.url))
        meddler.hold_answer("DELETE .*/toxics/", times=None)
        assert heal.undo_all(here.run, here.environment) == []
        assert meddler.count(f"DELETE /proxies/{PROXY}$") == 0
    assert toxiproxy.toxics(PROXY) == []


def test_a_proxy_that_is_deleted_late_is_made_anew(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    """Its API wakes up after all: then the toxic is gone, and a moment later the proxy."""
    with Meddler(toxiproxy.url) as meddler:
        here = make_here(toxiproxies=[meddler.url])
        Toxiproxy(toxiproxy.url).add_toxic(PROXY, slow(here, meddler.url))
        meddler.hold_request("DELETE .*/toxics/")
        meddler.hold_request(f"DELETE /proxies/{PROXY}$")
        wakes = threading.Timer(6.0, meddler.clear)
        wakes.start()
        assert heal.undo_all(here.run, here.environment) == []
        wakes.join()
        assert until(lambda: meddler.count(f"DELETE /proxies/{PROXY}$") == 1, seconds=5)
    assert PROXY in toxiproxy.call("GET", "/proxies")


@pytest.mark.parametrize("kind", ["remove_toxic", "enable_proxy", "uncordon"])
def test_what_does_not_carry_the_run_s_own_mark_stays(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    kind: str,
) -> None:
    """A log from elsewhere may name whatever is there: it is another's."""
    here = wallet(toxiproxies=[toxiproxy.url])
    client, theirs = Toxiproxy(toxiproxy.url), Toxic("theirs", "bandwidth", {"rate": 9})
    client.add_toxic(PROXY, theirs)
    client.set_enabled(PROXY, False)
    kubernetes.nodes["node-b"]["spec"]["unschedulable"] = True
    kubernetes.nodes["node-b"]["metadata"]["annotations"] = {RUN: "another"}
    uid = kubernetes.nodes["node-b"]["metadata"]["uid"]
    proxy = {"url": toxiproxy.url, "proxy": PROXY}
    arguments = {
        "remove_toxic": {**proxy, "toxic": "theirs"},
        "enable_proxy": {**proxy, "marker": "theirs"},
        "uncordon": {"node": "node-b", "uid": uid, "run": "another"},
    }[kind]
    heal.intend(here.run, kind, arguments)
    (failure,) = heal.undo_all(here.run, here.environment)
    assert "does not carry its mark" in str(failure)
    assert states(here.run) == ["intent", "undoing", "conflict"]
    assert [one["name"] for one in toxiproxy.toxics(PROXY)] == ["theirs"]
    assert not toxiproxy.enabled(PROXY)
    assert kubernetes.nodes["node-b"]["spec"]["unschedulable"] is True


def test_a_404_of_something_in_between_is_no_word_about_a_node(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    """The node is listed: what we did to it did not go with it."""
    with Meddler(kubernetes.url) as meddler:
        here = wallet()
        cordoned(here, kubernetes)
        cluster = Cluster(here.environment.kubernetes.kubeconfig)
        cluster.cordon(cluster.nodes()[1], heal.marks(here.run, "uncordon", "lease-1/7"))
        path = tmp_path / "kubeconfig"
        path.write_text(path.read_text().replace(kubernetes.url, meddler.url))
        meddler.answer("GET .*/nodes/node-b$", 404, "<html>no such page</html>", times=1)
        (failure,) = heal.undo_all(here.run, here.environment, retry_s=0)
        assert "it lists node node-b, and says that it is not there" in str(failure)
        assert heal.undo_all(here.run, here.environment) == []
    assert "unschedulable" not in kubernetes.nodes["node-b"]["spec"]
