"""The actions: what they hit, what they refuse, what they write down, and how it is put back."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from holdfast import heal, lock
from holdfast.actions import gateway, pods, undo, zones
from holdfast.clock import SECOND, now_ns, until
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.errors import (
    FaultNotApplied,
    FaultRemains,
    InvalidInput,
    Refused,
    Unreachable,
)
from holdfast.guard import Answers
from holdfast.heal import pending
from holdfast.store import Run
from holdfast.store.chain import Disk
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy, configured
from tests.fakes import FakeKubernetes, absent, serving

WALLET: dict[str, Any] = {"selector": "app=wallet-api", "namespace": "wallet"}
ZONE: dict[str, Any] = {"zone": "sa-east-1b", "namespaces": ["wallet"]}


def names(kubernetes: FakeKubernetes) -> list[str]:
    return sorted(name for _, name in kubernetes.pods)


def cordons(kubernetes: FakeKubernetes) -> list[str]:
    return [name for name, one in kubernetes.nodes.items() if one["spec"].get("unschedulable")]


def heals(here: Context) -> list[tuple[str, str]]:
    return [(one["operation"], one["state"]) for one in here.run.records("heals.jsonl")]


KILL = """
import sys
from holdfast import context
from holdfast.actions import pods
from holdfast.errors import Refused
try:
    pods.kill("app=wallet-api", "wallet", count=1, configuration={context.KEY: sys.argv[1]})
except Refused as error:
    print(error)
"""


def holder(kubernetes: FakeKubernetes) -> str | None:
    """Who has the lock."""
    held: str | None = kubernetes.leases["holdfast"]["spec"]["holderIdentity"]
    return held


def test_who_waited_for_the_lock_looks_again(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """Plain `chaos run`: the other replicas died after the guards had looked."""
    here = wallet()
    here.run.path("lock.json").unlink()
    kubernetes.leases.clear()

    def crash(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/leases"):
            del kubernetes.pods["wallet", "wallet-b"], kubernetes.pods["wallet", "wallet-c"]

    kubernetes.before = crash
    command = [sys.executable, "-c", KILL, str(here.run.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "1 of 1" in done.stdout or "none would be left" in done.stdout
    assert names(kubernetes) == ["wallet-a"]
    assert until(lambda: holder(kubernetes) is None, seconds=30), "its watchdog is done"


# --- pods ---------------------------------------------------------------------------------------


def test_a_pod_is_killed_and_it_is_written_down(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    uid = kubernetes.pods["wallet", "wallet-a"]["metadata"]["uid"]
    answer = pods.kill(**WALLET, count=1, configuration=configured(here))
    assert names(kubernetes) == ["wallet-b", "wallet-c"]
    (told,) = kubernetes.events
    assert (told["involvedObject"]["uid"], told["reason"]) == (uid, "FaultInjected")
    assert here.run.id in told["message"]
    (fault,) = here.faults()
    assert fault["kind"] == "pods.kill"
    assert fault["reversible"] is False
    assert fault["targets"] == [
        {
            "pod": "wallet-a",
            "namespace": "wallet",
            "uid": uid,
            "node": "node-a",
            "zone": "sa-east-1a",
        }
    ]
    assert fault["began_ns"] <= fault["returned_ns"]
    assert fault["asked"]["count"] == 1
    assert answer["targets"] == fault["targets"]
    assert heals(here) == [("none", "irreversible")]
    assert undo.everything(configured(here)) == []


def test_a_pod_of_a_zone_or_a_share_of_all(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    pods.kill(**WALLET, count=1, zone="sa-east-1c", configuration=configured(here))
    assert names(kubernetes) == ["wallet-a", "wallet-b"]
    pods.kill(**WALLET, share=0.5, grace_seconds=30, configuration=configured(here))
    assert "deletionTimestamp" in kubernetes.pods["wallet", "wallet-a"]["metadata"]


@pytest.mark.parametrize(
    ("change", "policy", "words"),
    [
        ({"namespace": "kube-system"}, {"namespaces": ["kube-system"]}, "never hit"),
        ({"namespace": "other"}, {}, "policy allows wallet"),
        ({"selector": ""}, {}, "every pod"),
        ({"selector": "app=nobody"}, {}, "nothing matches"),
        ({"zone": "sa-east-1x"}, {}, "nothing matches"),
        ({"count": 2}, {}, "2 would go, the policy allows 1"),
        ({"count": 2}, {"max_pods": 2, "max_share": 0.5}, "allowed is one or 50%"),
        ({"count": 3}, {"max_pods": 3}, "none would be left"),
        ({}, {"protected": ["app=wallet-api"]}, "pod wallet/wallet-a: it is protected: app="),
    ],
)
def test_a_kill_that_the_policy_refuses_touches_nothing(
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    change: dict[str, Any],
    policy: dict[str, Any],
    words: str,
) -> None:
    here = wallet(**policy)
    with pytest.raises(Refused, match=words):
        pods.kill(**{**WALLET, "count": 1, **change}, configuration=configured(here))
    assert len(kubernetes.pods) == 3
    assert heals(here) == []
    assert here.faults() == []


def test_another_cluster_is_refused(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    kubernetes.uid = "cluster-2"
    with pytest.raises(Refused, match="names cluster-1"):
        pods.kill(**WALLET, count=1, configuration=configured(here))
    with pytest.raises(Refused, match="names cluster-1"):
        zones.drop("sa-east-1b", ["wallet"], configuration=configured(here))
    assert len(kubernetes.pods) == 3
    assert cordons(kubernetes) == []


def test_the_state_is_looked_at_again_when_it_acts(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    cluster = Cluster(here.environment.kubernetes.kubeconfig)
    assert len(pods.targets(cluster, here.environment, Answers(), **WALLET, count=1)) == 1
    for name in ("wallet-b", "wallet-c"):
        kubernetes.pods["wallet", name]["status"]["conditions"][0]["status"] = "False"
    with pytest.raises(Refused, match="none would be left"):
        pods.kill(**WALLET, count=1, configuration=configured(here))


@pytest.mark.parametrize("how", [{}, {"count": 1, "share": 0.5}, {"count": 1, "grace_seconds": -1}])
def test_a_kill_that_does_not_say_how_much(
    wallet: Callable[..., Context], how: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        pods.kill(**WALLET, **how, configuration=configured(wallet()))


def test_a_kill_that_does_not_take_effect_is_no_fault(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    kubernetes.deaf.add("DELETE")
    with pytest.raises(FaultNotApplied, match="still there"):
        pods.kill(**WALLET, count=1, configuration=configured(here))
    assert here.faults() == []


# --- zones --------------------------------------------------------------------------------------


def test_a_zone_is_dropped_and_comes_back(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    kubernetes.add_pod("dns", "node-b", namespace="kube-system")
    zones.drop("sa-east-1b", ["wallet"], configuration=configured(here))
    assert names(kubernetes) == ["dns", "wallet-a", "wallet-c"]
    assert cordons(kubernetes) == ["node-b"]
    marks = kubernetes.nodes["node-b"]["metadata"]["annotations"]
    assert marks["holdfast.io/run"] == here.run.id
    changes = [method for method, _ in kubernetes.calls if method in ("PATCH", "DELETE")]
    assert changes == ["PATCH", "DELETE"], "the node is closed before its pods go"
    (fault,) = here.faults()
    assert fault["kind"] == "zones.drop"
    assert fault["reversible"] is True
    assert [one.get("node") for one in fault["targets"]] == ["node-b", "node-b"]
    assert [one.get("pod") for one in fault["targets"]] == [None, "wallet-b"]
    assert undo.everything(configured(here)) == ["uncordon"]
    assert cordons(kubernetes) == []
    assert kubernetes.nodes["node-b"]["metadata"]["annotations"] == {}


@pytest.mark.parametrize(
    ("toleration", "goes"),
    [
        ({"operator": "Exists"}, False),
        ({"operator": "Exists", "tolerationSeconds": 5}, True),
        ({"key": "holdfast.io/dropped", "operator": "Equal", "value": ""}, True),
        ({"key": "holdfast.io/dropped", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_whom_a_taint_drives_off(
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    toleration: dict[str, Any],
    goes: bool,
) -> None:
    """Who bears it for some seconds goes, too; and its value is a run's id, which nobody names."""
    for number in (1, 2, 3):
        kubernetes.add_pod(f"dns-{number}", f"node-{'abc'[number - 1]}", "logging", "rs-2")
    kubernetes.pods["logging", "dns-2"]["spec"]["tolerations"] = [toleration]
    here = wallet(allow_taint=True)
    cluster = Cluster(here.environment.kubernetes.kubeconfig)
    planned = zones.targets(cluster, here.environment, Answers(), **ZONE, taint=True)
    assert ("dns-2" in [one.get("pod") for one in planned]) is goes


def test_a_zone_with_a_taint_needs_its_own_policy_line_and_names_everybody(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    for number in (1, 2, 3):
        kubernetes.add_pod(f"dns-{number}", f"node-{'abc'[number - 1]}", "logging", "rs-2")
    refusing = wallet()
    with pytest.raises(Refused, match="the policy does not allow it"):
        zones.drop("sa-east-1b", ["wallet"], taint=True, configuration=configured(refusing))
    here = wallet(allow_taint=True)
    cluster = Cluster(here.environment.kubernetes.kubeconfig)
    planned = zones.targets(cluster, here.environment, Answers(), **ZONE, taint=True)
    assert [one.get("pod") for one in planned] == [None, "dns-2", "wallet-b"]
    zones.drop("sa-east-1b", ["wallet"], taint=True, configuration=configured(here))
    assert here.faults()[0]["targets"] == planned
    taint = {"key": "holdfast.io/dropped", "value": here.run.id, "effect": "NoExecute"}
    assert kubernetes.nodes["node-b"]["spec"]["taints"] == [taint]
    assert undo.everything(configured(here)) == ["uncordon", "untaint"]
    assert kubernetes.nodes["node-b"]["spec"] == {"taints": []}


@pytest.mark.parametrize(
    ("change", "policy", "words"),
    [
        ({"zone": "sa-east-1x"}, {}, "no node is in it"),
        ({"namespaces": ["kube-system"]}, {"namespaces": ["kube-system"]}, "never hit"),
        ({"namespaces": ["other"]}, {}, "policy allows wallet"),
        ({"namespaces": []}, {}, "none is named"),
        ({}, {"max_zones": 0}, "the policy allows 0"),
        ({}, {"protected": ["topology.kubernetes.io/zone=sa-east-1b"]}, "node node-b: it is prot"),
        ({}, {"protected": ["app"]}, "pod wallet/wallet-b: it is protected: app"),
    ],
)
def test_a_drop_that_the_policy_refuses_touches_nothing(
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    change: dict[str, Any],
    policy: dict[str, Any],
    words: str,
) -> None:
    here = wallet(**policy)
    with pytest.raises(Refused, match=words):
        zones.drop(**{**ZONE, **change}, configuration=configured(here))
    assert cordons(kubernetes) == []
    assert len(kubernetes.pods) == 3
    assert heals(here) == []


def test_all_replicas_in_the_zone_are_an_outage(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    for name in ("wallet-a", "wallet-c"):
        kubernetes.pods["wallet", name]["spec"]["nodeName"] = "node-b"
    with pytest.raises(Refused, match="3 of its 3 ready replicas would go, and none would be left"):
        zones.drop(**ZONE, configuration=configured(wallet()))
    assert len(names(kubernetes)) == 3


def test_a_zone_of_a_second_run_is_refused(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    first = wallet()
    zones.drop(**ZONE, configuration=configured(first))
    with pytest.raises(Refused, match=f"run {first.run.id} has cordoned it"):
        zones.drop(**ZONE, configuration=configured(wallet()))
    with pytest.raises(Refused, match="would be down"):
        zones.drop("sa-east-1c", ["wallet"], configuration=configured(wallet()))


def test_a_drop_that_fails_half_way_is_taken_back(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    kubernetes.forbidden.add("delete pods")
    with pytest.raises(FaultNotApplied, match="no right to delete pods"):
        zones.drop(**ZONE, configuration=configured(here))
    assert cordons(kubernetes) == []
    assert pending(here.run) == []
    assert here.faults() == []


# --- gateway ------------------------------------------------------------------------------------


class Echo:
    """A bank that answers every line with the same line."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.10.0.12", 0))
        self.address = "{}:{}".format(*self.listener.getsockname()[:2])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while line := connection.recv(65536):
                    connection.sendall(line)
            except OSError:
                return


@pytest.fixture
def echo(toxiproxy: RealToxiproxy) -> Any:
    """A bank behind the proxy `pix-primary`; yields how long one answer takes, in seconds."""
    bank = Echo()
    toxiproxy.call("DELETE", "/proxies/pix-primary")
    host, port = toxiproxy.create("pix-primary", bank.address).split(":")

    def ask(size: int = 1) -> float:
        began, wanted = now_ns(), b"x" * size
        with closing(socket.create_connection((host, int(port)), timeout=5)) as connection:
            connection.sendall(wanted)
            while wanted:
                received = connection.recv(65536)
                if not received:
                    raise ConnectionResetError
                wanted = wanted[len(received) :]
        return (now_ns() - began) / SECOND

    yield ask
    bank.listener.close()


def test_a_slow_gateway_is_slow_until_it_is_undone(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], echo: Callable[..., float]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    gateway.slow("pix-primary", 400, configuration=configured(here))
    assert 0.4 <= echo() < 2
    (fault,) = here.faults()
    assert fault["kind"] == "gateway.slow"
    assert fault["reversible"] is True
    assert fault["asked"] == {"proxy": "pix-primary", "latency_ms": 400, "jitter_ms": 0}
    (target,) = fault["targets"]
    assert target["proxy"] == "pix-primary"
    assert target["toxiproxy"] == toxiproxy.url
    assert target["toxic"].startswith(f"holdfast-{here.run.id}-slow-until-2")
    assert undo.everything(configured(here)) == ["remove_toxic"]
    assert echo() < 0.4


def test_a_cut_gateway_refuses_and_says_whose_work_it_is(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], echo: Callable[..., float]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    gateway.cut("pix-primary", configuration=configured(here))
    with pytest.raises(ConnectionRefusedError):
        echo()
    (marker,) = toxiproxy.toxics("pix-primary")
    assert marker["name"].startswith(f"holdfast-{here.run.id}-cut-until-")
    assert marker["toxicity"] == 0
    assert here.faults()[0]["targets"][0]["toxic"] == marker["name"]
    assert undo.everything(configured(here)) == ["enable_proxy"]
    assert echo() < 2
    assert toxiproxy.toxics("pix-primary") == []


def test_a_gateway_that_resets(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], echo: Callable[..., float]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    gateway.reset("pix-primary", configuration=configured(here))
    with pytest.raises(ConnectionError):
        echo()
    undo.everything(configured(here))
    assert echo() < 2


def test_a_gateway_that_is_throttled(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], echo: Callable[..., float]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    gateway.throttle("pix-primary", rate_kbps=100, configuration=configured(here))
    assert echo(50_000) >= 0.4, "50 kB at 100 kB/s"
    undo.everything(configured(here))
    assert echo(50_000) < 0.4


def test_every_toxiproxy_is_hit(
    start_toxiproxy: Callable[[], RealToxiproxy], make_here: Callable[..., Context]
) -> None:
    instances = [start_toxiproxy(), start_toxiproxy()]
    for one in instances:
        one.create("pix-primary")
    here = make_here(toxiproxies=[one.url for one in instances])
    gateway.slow("pix-primary", 100, configuration=configured(here))
    assert [len(one.toxics("pix-primary")) for one in instances] == [1, 1]
    assert [one["toxiproxy"] for one in here.faults()[0]["targets"]] == [
        one.url for one in instances
    ]
    assert undo.everything(configured(here)) == ["remove_toxic", "remove_toxic"]
    assert [one.toxics("pix-primary") for one in instances] == [[], []]


def test_everywhere_or_nowhere(
    start_toxiproxy: Callable[[], RealToxiproxy], make_here: Callable[..., Context]
) -> None:
    first, second = start_toxiproxy(), start_toxiproxy()
    for one in (first, second):
        one.create("pix-primary")
    here = make_here(toxiproxies=[first.url, second.url])
    second.call("DELETE", "/proxies/pix-primary")
    with pytest.raises(Refused, match="does not exist"):
        gateway.slow("pix-primary", 100, configuration=configured(here))
    assert first.toxics("pix-primary") == []
    assert heals(here) == []


@pytest.mark.row(44)
@pytest.mark.parametrize("kind", ["slow", "cut"])
def test_a_fault_that_one_instance_refuses_is_taken_back_from_the_others(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], kind: str
) -> None:
    proxy = {"name": "pix-primary", "listen": "x", "upstream": "y", "enabled": True, "toxics": []}

    def refusing(method: str, _path: str, _body: object) -> tuple[int, dict[str, Any]]:
        return (200, {"pix-primary": proxy}) if method == "GET" else (404, {"error": "no"})

    calls: dict[str, Callable[..., object]] = {
        "slow": lambda it: gateway.slow("pix-primary", 100, configuration=it),
        "cut": lambda it: gateway.cut("pix-primary", configuration=it),
    }
    with serving("127.10.0.11", refusing) as second:
        here = make_here(toxiproxies=[toxiproxy.url, second])
        with pytest.raises(FaultNotApplied, match="404"):
            calls[kind](configured(here))
    assert toxiproxy.toxics("pix-primary") == []
    assert toxiproxy.enabled("pix-primary")
    assert pending(here.run) == []
    assert here.faults() == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda it: gateway.slow("ted", 100, configuration=it), "the policy allows pix-primary"),
        (lambda it: gateway.cut("ted", configuration=it), "the policy allows pix-primary"),
    ],
)
def test_a_proxy_that_the_policy_does_not_allow(
    toxiproxy: RealToxiproxy,
    make_here: Callable[..., Context],
    call: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    with pytest.raises(Refused, match=words):
        call(configured(here))
    assert toxiproxy.enabled("ted")
    assert toxiproxy.toxics("ted") == []


def test_a_gateway_of_another_cluster_is_left_alone(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    kubernetes.uid = "cluster-2"
    with pytest.raises(Refused, match="the environment file names cluster-1"):
        gateway.slow("pix-primary", 300, configuration=configured(here))
    assert toxiproxy.toxics("pix-primary") == []


def test_a_proxy_that_is_poisoned_already_is_left_alone(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    first = make_here(toxiproxies=[toxiproxy.url])
    gateway.slow("pix-primary", 100, configuration=configured(first))
    second = make_here(toxiproxies=[toxiproxy.url])
    with pytest.raises(Refused, match=f"toxics are there already: holdfast-{first.run.id}-slow"):
        gateway.cut("pix-primary", configuration=configured(second))
    assert toxiproxy.enabled("pix-primary")


@pytest.mark.parametrize(
    "call",
    [
        lambda it: gateway.slow("pix-primary", 0, configuration=it),
        lambda it: gateway.slow("pix-primary", -5, configuration=it),
        lambda it: gateway.slow("pix-primary", 100, 200, configuration=it),
        lambda it: gateway.slow("pix-primary", 100, -1, configuration=it),
        lambda it: gateway.throttle("pix-primary", 0, configuration=it),
        lambda it: gateway.reset("pix-primary", -1, configuration=it),
    ],
)
def test_a_fault_that_would_change_nothing_is_refused(
    toxiproxy: RealToxiproxy,
    make_here: Callable[..., Context],
    call: Callable[[dict[str, Any]], object],
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    with pytest.raises(InvalidInput):
        call(configured(here))
    assert toxiproxy.toxics("pix-primary") == []
    assert heals(here) == []


def test_a_toxiproxy_that_is_absent_or_not_named(make_here: Callable[..., Context]) -> None:
    with pytest.raises(Unreachable, match="could not be reached"):
        gateway.slow(
            "pix-primary",
            100,
            configuration=configured(make_here(toxiproxies=[absent("127.10.0.11")])),
        )
    with pytest.raises(Refused, match="the environment names none"):
        gateway.slow("pix-primary", 100, configuration=configured(make_here()))


def test_targets_of_a_gateway_touch_nothing(
    toxiproxy: RealToxiproxy, wallet: Callable[..., Context]
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    cluster = Cluster(here.environment.kubernetes.kubeconfig)
    (target,) = gateway.targets(
        cluster, here.environment, Answers(), proxy="pix-primary", latency_ms=100
    )
    assert target["upstream"] == "127.10.0.12:9"
    assert toxiproxy.toxics("pix-primary") == []


def test_an_undo_that_fails_is_raised_and_names_the_next_step(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url])
    name = gateway.slow("pix-primary", 100, configuration=configured(here))["targets"][0]["toxic"]
    edit = {"attributes": {"latency": 7}}
    toxiproxy.call("POST", f"/proxies/pix-primary/toxics/{name}", edit)
    with pytest.raises(FaultRemains, match=f"holdfast undo {here.run.folder}"):
        undo.everything(configured(here))


def test_a_signal_during_the_undo_changes_nothing_and_is_handled_afterwards(
    start_toxiproxy: Callable[[], RealToxiproxy], make_here: Callable[..., Context]
) -> None:
    """Chaos Toolkit ends its rollbacks at a second signal, in the midst of ours."""
    toxiproxy = start_toxiproxy()
    toxiproxy.create("pix-primary")
    here = make_here(toxiproxies=[toxiproxy.url])
    added = heal.toxic_name(here.run, "slow")
    was = {"url": toxiproxy.url, "proxy": "pix-primary", "toxic": added}
    heal.intend(here.run, "remove_toxic", was)
    Toxiproxy(toxiproxy.url).add_toxic(
        "pix-primary", Toxic(added, "latency", {"latency": 9, "jitter": 0})
    )
    os.kill(toxiproxy.process.pid, signal.SIGSTOP)
    left: list[list[Any]] = []
    before = signal.signal(signal.SIGTERM, lambda *_: left.append(toxiproxy.toxics("pix-primary")))
    timers = [
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]),
        threading.Timer(0.5, os.kill, [toxiproxy.process.pid, signal.SIGCONT]),
    ]
    try:
        for one in timers:
            one.start()
        assert undo.everything(configured(here)) == ["remove_toxic"]
        assert left == [[]], "handled once, when nothing was left"
    finally:
        signal.signal(signal.SIGTERM, before)
        for one in timers:
            one.join()


def test_the_lock_is_asked_for_after_the_last_record_before_the_call(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """A disk may take long, and another run may have the lock when it is done."""

    class Slow(Disk):
        def write(self, file: io.FileIO, line: bytes) -> None:
            if b'"state": "injecting"' in line:
                kubernetes.leases["holdfast"]["spec"]["holderIdentity"] = "another"
            super().write(file, line)

    here = make_here(toxiproxies=[toxiproxy.url])
    slow = Context(Run(here.run.folder, Slow()), here.environment)
    client = Toxiproxy(toxiproxy.url)
    toxic = Toxic(heal.toxic_name(slow.run, "slow"), "latency", {"latency": 9, "jitter": 0})
    was = {"url": toxiproxy.url, "proxy": "pix-primary", "toxic": toxic.name}
    undo = heal.intend(slow.run, "remove_toxic", was)
    with pytest.raises(lock.Lost, match="held by another now"):
        gateway._inject(slow, [undo], [client], lambda one: one.add_toxic("pix-primary", toxic))
    assert [one["state"] for one in slow.run.records("heals.jsonl")].count("injecting") == 2
    assert toxiproxy.toxics("pix-primary") == []
