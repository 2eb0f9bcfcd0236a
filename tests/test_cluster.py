"""The Kubernetes API: what is read, what is changed only if nobody else was faster, what fails."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import cluster as module
from holdfast.clock import SECOND, now_ns, sleep
from holdfast.cluster import Cluster, Node
from holdfast.errors import FaultNotApplied, FaultRemains, InvalidInput, Refused, Unreachable
from holdfast.marks import EXPIRES, RUN, UNDO
from tests.fakes import Broken, FakeKubernetes, absent, kubeconfig, slow_name

pytestmark = pytest.mark.integration

MARKS = {RUN: "run1", UNDO: "uncordon", EXPIRES: "2026-01-02T03:04:05Z"}


@pytest.fixture
def cluster(kubernetes: FakeKubernetes, tmp_path: Path) -> Cluster:
    return Cluster(str(kubernetes.kubeconfig(tmp_path)))


def node(cluster: Cluster, name: str = "node-b") -> Node:
    return next(one for one in cluster.nodes() if one.name == name)


def test_what_a_cluster_is(cluster: Cluster) -> None:
    assert cluster.uid() == "cluster-1"
    assert cluster.version() == "v1.36.3"


def test_pods_know_their_zone_their_owner_and_whether_they_serve(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    kubernetes.pods["wallet", "wallet-b"]["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    kubernetes.pods["wallet", "wallet-c"]["status"]["conditions"][0]["status"] = "False"
    kubernetes.add_pod("other", "node-a", app="other")
    pods = cluster.pods("wallet", "app=wallet-api")
    assert [(one.name, one.zone, one.serving) for one in pods] == [
        ("wallet-a", "sa-east-1a", True),
        ("wallet-b", "sa-east-1b", False),
        ("wallet-c", "sa-east-1c", False),
    ]
    assert pods[0].owner_uid == "rs-1"
    assert pods[1].ready
    assert pods[1].deleting


def test_who_looks_again_asks_for_nodes_only_when_a_pod_is_on_a_new_one(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    def look() -> tuple[dict[str, str], int]:
        kubernetes.calls.clear()
        found = {one.name: one.zone for one in cluster.pods("wallet", zones=zones)}
        return found, kubernetes.calls.count(("GET", "/api/v1/nodes"))

    zones: dict[str, str] = {}
    three = {"wallet-a": "sa-east-1a", "wallet-b": "sa-east-1b", "wallet-c": "sa-east-1c"}
    assert [look() for _ in range(2)] == [(three, 1), (three, 0)]
    kubernetes.add_node("node-d", "sa-east-1d")
    kubernetes.add_pod("wallet-d", "node-d")
    four = {**three, "wallet-d": "sa-east-1d"}
    assert [look() for _ in range(2)] == [(four, 1), (four, 0)]
    kubernetes.add_pod("wallet-e", "")
    assert look() == ({**four, "wallet-e": ""}, 0)


def test_pods_of_every_namespace(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    kubernetes.add_pod("dns", "node-a", namespace="kube-system")
    assert [one.namespace for one in cluster.pods()] == ["kube-system"] + ["wallet"] * 3


def test_a_pod_is_deleted_once(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    pod = cluster.pods("wallet")[0]
    assert cluster.delete_pod(pod, 0)
    assert not cluster.delete_pod(pod, 0), "it is gone already"
    assert ("wallet", "wallet-a") not in kubernetes.pods


def test_a_pod_of_the_same_name_and_another_uid_stays(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    pod = cluster.pods("wallet")[0]
    kubernetes.add_pod("wallet-a", "node-a")
    assert not cluster.delete_pod(pod, 0)
    cluster.delete_pods([pod], 0)
    assert ("wallet", "wallet-a") in kubernetes.pods


def test_a_pod_with_grace_is_on_its_way_out(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    cluster.delete_pods(cluster.pods("wallet")[:1], 30)
    assert "deletionTimestamp" in kubernetes.pods["wallet", "wallet-a"]["metadata"]


def test_a_deletion_that_did_nothing_is_named(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    kubernetes.deaf.add("DELETE")
    with pytest.raises(
        FaultNotApplied, match=r"3 of 3 pods.*wallet-a: it was deleted and is still"
    ):
        cluster.delete_pods(cluster.pods("wallet"), 0)


def test_a_cordon_carries_its_mark_in_the_same_write(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    kubernetes.nodes["node-b"]["metadata"]["annotations"] = {"theirs": "stays"}
    cluster.cordon(node(cluster), MARKS)
    assert [call for call in kubernetes.calls if call[0] == "PATCH"] == [
        ("PATCH", "/api/v1/nodes/node-b")
    ]
    assert node(cluster).unschedulable
    assert node(cluster).annotations == {"theirs": "stays", **MARKS}


def test_only_what_we_set_is_taken_back(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    kubernetes.nodes["node-b"]["metadata"]["annotations"] = {"theirs": "stays"}
    cluster.cordon(node(cluster), MARKS)
    cluster.uncordon("node-b", node(cluster).uid, "run1")
    assert "unschedulable" not in kubernetes.nodes["node-b"]["spec"]
    assert kubernetes.nodes["node-b"]["metadata"]["annotations"] == {"theirs": "stays"}
    cluster.uncordon("node-b", node(cluster).uid, "run1")


def test_a_cordon_of_somebody_else_is_neither_taken_nor_lifted(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    kubernetes.nodes["node-b"]["spec"]["unschedulable"] = True
    with pytest.raises(FaultNotApplied, match="somebody else cordoned it"):
        cluster.cordon(node(cluster), MARKS)
    with pytest.raises(FaultRemains, match="names nobody instead of this run"):
        cluster.uncordon("node-b", node(cluster).uid, "run1")
    kubernetes.nodes["node-b"]["metadata"]["annotations"] = {RUN: "run2"}
    with pytest.raises(FaultRemains, match="names run2 instead of this run"):
        cluster.uncordon("node-b", node(cluster).uid, "run1")
    assert node(cluster).unschedulable
    assert node(cluster).annotations == {RUN: "run2"}


def test_a_node_that_somebody_else_uncordoned_loses_our_marks_only(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    cluster.cordon(node(cluster), MARKS)
    del kubernetes.nodes["node-b"]["spec"]["unschedulable"]
    cluster.uncordon("node-b", node(cluster).uid, "run1")
    assert kubernetes.nodes["node-b"]["metadata"]["annotations"] == {}


def test_a_cordon_that_was_never_made_is_undone_already(cluster: Cluster) -> None:
    cluster.uncordon("node-b", node(cluster).uid, "run1")
    cluster.uncordon("node-gone", "uid-of-old", "run1")


def test_another_node_of_the_same_name_is_not_touched(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    old = node(cluster)
    cluster.cordon(old, MARKS)
    kubernetes.nodes["node-b"]["metadata"]["uid"] = "uid-of-new"
    cluster.uncordon("node-b", old.uid, "run1")
    assert node(cluster).unschedulable
    with pytest.raises(FaultNotApplied):
        cluster.cordon(old, MARKS)


def test_a_write_in_between_is_seen(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    """The kubelet writes to its node all the time; somebody else may cordon it at that moment."""
    before = node(cluster)
    writes = iter(["touch", "cordon"])

    def somebody_is_faster(method: str, _path: str) -> None:
        if method == "PATCH":
            kubernetes.touch("node-b")
            if next(writes) == "cordon":
                kubernetes.nodes["node-b"]["spec"]["unschedulable"] = True

    kubernetes.before = somebody_is_faster
    with pytest.raises(FaultNotApplied, match="somebody else cordoned it"):
        cluster.cordon(before, MARKS)
    assert node(cluster).annotations == {}


@pytest.mark.parametrize("change", ["cordon", "uncordon", "taint", "untaint"])
def test_a_change_that_does_not_read_back_is_an_error(
    cluster: Cluster, kubernetes: FakeKubernetes, change: str
) -> None:
    before = node(cluster)
    if change in ("uncordon", "untaint"):
        cluster.cordon(before, MARKS)
        cluster.taint(before, "holdfast.io/dropped", "run1")
    kubernetes.deaf.add("PATCH")
    calls: dict[str, Callable[[], object]] = {
        "cordon": lambda: cluster.cordon(before, MARKS),
        "uncordon": lambda: cluster.uncordon("node-b", before.uid, "run1"),
        "taint": lambda: cluster.taint(before, "holdfast.io/dropped", "run1"),
        "untaint": lambda: cluster.untaint("node-b", "holdfast.io/dropped", "run1"),
    }
    expected = FaultRemains if change.startswith("un") else FaultNotApplied
    with pytest.raises(expected, match="does not read back"):
        calls[change]()


def test_a_taint_is_added_to_those_of_others_and_taken_back_alone(
    cluster: Cluster, kubernetes: FakeKubernetes
) -> None:
    theirs = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    kubernetes.nodes["node-b"]["spec"]["taints"] = [theirs]
    cluster.taint(node(cluster), "holdfast.io/dropped", "run1")
    assert node(cluster).taints == (
        ("gpu", "yes", "NoSchedule"),
        ("holdfast.io/dropped", "run1", "NoExecute"),
    )
    cluster.untaint("node-b", "holdfast.io/dropped", "run1")
    cluster.untaint("node-b", "holdfast.io/dropped", "run1")
    assert kubernetes.nodes["node-b"]["spec"]["taints"] == [theirs]


def test_a_taint_of_another_run_stays(cluster: Cluster) -> None:
    cluster.taint(node(cluster), "holdfast.io/dropped", "run2")
    with pytest.raises(FaultNotApplied, match="somebody else set the taint"):
        cluster.taint(node(cluster), "holdfast.io/dropped", "run1")
    with pytest.raises(FaultRemains, match="does not carry this run's mark"):
        cluster.untaint("node-b", "holdfast.io/dropped", "run1")
    assert node(cluster).taints == (("holdfast.io/dropped", "run2", "NoExecute"),)


def test_rights_are_asked_for(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    kubernetes.forbidden.add("patch nodes")
    assert cluster.may("delete", "pods", "wallet")
    assert not cluster.may("patch", "nodes")


def test_a_missing_right_is_named(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    pod, before = cluster.pods("wallet")[0], node(cluster)
    kubernetes.forbidden |= {"delete pods", "patch nodes", "list pods", "get namespaces"}
    with pytest.raises(Unreachable, match="no right to delete pods in namespace wallet"):
        cluster.delete_pod(pod, 0)
    with pytest.raises(Unreachable, match="no right to patch nodes"):
        cluster.cordon(before, MARKS)
    with pytest.raises(Unreachable, match=r"no right to list pods \(403\)"):
        cluster.pods()
    with pytest.raises(Unreachable, match="no right to get namespaces"):
        cluster.uid()


CALLS: dict[str, Callable[[Cluster], object]] = {
    "uid": lambda one: one.uid(),
    "pods": lambda one: one.pods("wallet"),
    "delete": lambda one: one.delete_pod(module.Pod("p", "n", "u", "", "", True), 0),
    "uncordon": lambda one: one.uncordon("node-b", "u", "run1"),
    "may": lambda one: one.may("get", "pods"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("500", "it answered 500"),
        ("html", "Welcome to the proxy"),
        ("redirect", "it answered 302"),
        ("busy", "it answered 429"),
        ("other", "it answered 200: [1, 2, 34]"),
        ("empty", "could not be reached (ProtocolError)"),
        ("silent", "did not answer within 0.3 s"),
        ("drip", "did not answer within 0.3 s"),
    ],
)
def test_a_broken_server_is_an_error_within_the_deadline(
    tmp_path: Path, call: str, kind: str, words: str
) -> None:
    with Broken(kind, "127.10.0.2") as server:
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(server.url)))
        began = now_ns()
        with pytest.raises(Unreachable) as caught:
            CALLS[call](Cluster(str(path), call_s=0.3))
        assert now_ns() - began < 4 * SECOND, "the first call also imports the client"
        assert words in str(caught.value)
        assert server.url in str(caught.value)
        asked = 2 if kind == "busy" else 1
        assert len(server.seen) == asked, "not followed; repeated only where it asks for that"


def test_an_absent_server(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig(absent("127.10.0.2"))))
    with pytest.raises(Unreachable, match="could not be reached"):
        Cluster(str(path)).uid()


def test_a_call_takes_at_most_five_seconds() -> None:
    assert module.CALL_S == 5.0


@pytest.mark.parametrize(
    "written",
    [
        kubeconfig("https://127.10.0.2:6443", **{"insecure-skip-tls-verify": True}),
        kubeconfig("http://10.1.2.3:6443"),
    ],
)
def test_a_kubeconfig_without_verified_tls_is_refused(tmp_path: Path, written: object) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(written))
    with pytest.raises(Refused, match="verification of TLS off"):
        Cluster(str(path)).uid()


def test_a_server_that_cannot_prove_who_it_is(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig(kubernetes.url.replace("http://", "https://"))))
    with pytest.raises(Unreachable, match="could not be trusted"):
        Cluster(str(path)).uid()


@pytest.mark.parametrize("text", ["", "a: [", "{}", "kind: Config", "\x00"])
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="no usable kubeconfig"):
        Cluster(str(path)).uid()


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        Cluster(f"{tmp_path}/a:{tmp_path}/b").uid()


def test_connections_are_reused(cluster: Cluster, kubernetes: FakeKubernetes) -> None:
    for _ in range(5):
        cluster.uid()
    assert len(kubernetes.accepted) == 1


def test_a_deletion_that_was_given_up_while_a_name_was_looked_up_is_never_sent(
    kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    """The server has closed the connection, say: the name has to be looked up again."""
    path = tmp_path / "kubeconfig"
    host = "127.10.0.2"
    path.write_text(json.dumps(kubeconfig(kubernetes.url.replace(host, "localhost"))))
    with slow_name("localhost", host, 0.8) as answered:
        with pytest.raises(Unreachable, match=r"did not answer within 0\.4 s"):
            Cluster(str(path), call_s=0.4).delete_pod(pod_of(kubernetes, "wallet-a"), 0)
        assert answered.wait(5)
        sleep(1.0)
    assert kubernetes.calls == []
    assert ("wallet", "wallet-a") in kubernetes.pods


def pod_of(kubernetes: FakeKubernetes, name: str) -> module.Pod:
    uid = kubernetes.pods["wallet", name]["metadata"]["uid"]
    return module.Pod(name, "wallet", uid, "", "", ready=True)
