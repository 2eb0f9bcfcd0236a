"""Where the replicas of a lost zone come back, by a pure model of the scheduler."""

from dataclasses import replace
from typing import Any

import pytest

from holdfast.cluster import Budget, Node, Pod
from holdfast.cluster.objects import read_node, read_pod
from holdfast.cluster.scheduling import Spread, asks, matches, quantity, spreads, tolerated
from holdfast.guard import Going, Prediction, predict

ZONE = "topology.kubernetes.io/zone"
LABELS = {"app": "wallet-api"}


def node(zone: str, cpu: float = 1.0, **more: Any) -> Node:
    room = {"cpu": cpu, "memory": 1e9, "pods": 10.0}
    named = {ZONE: f"z{zone}", "kubernetes.io/hostname": f"node-{zone}"}
    return replace(
        Node(f"node-{zone}", f"u-{zone}", f"z{zone}", True, False, labels=named, room=room), **more
    )


def pod(name: str, zone: str, cpu: float = 0.4, **more: Any) -> Pod:
    made = Pod(name, "wallet", f"u-{name}", f"node-{zone}", f"z{zone}", True, LABELS, "rs-1")
    wants = {"cpu": cpu, "memory": 1e8}
    return replace(made, owner=("ReplicaSet", "wallet-api-1"), asks=wants, **more)


NODES = [node(zone) for zone in "abc"]
PODS = [pod("p1", "a"), pod("p2", "b"), pod("p3", "c")]


def lost(pods: list[Pod], nodes: list[Node], zone: str = "b", **more: Any) -> Prediction:
    """What would become of a zone's pods."""
    mine = [one for one in pods if one.zone == f"z{zone}"]
    names = {one.name for one in nodes if one.zone == f"z{zone}"}
    return predict(Going(mine, names, {"u-p2"}), pods, nodes, **more)


def test_the_others_have_room() -> None:
    found = lost(PODS, NODES)
    assert found.carries == "yes"
    (wallet,) = found.workloads
    assert wallet.workload == "wallet/wallet-api-1"
    assert (wallet.service, wallet.ready, wallet.goes) == (True, 3, 1)
    assert wallet.placed == {"za": 1}
    assert found.record()["workloads"][0]["placed"] == {"za": 1}


def test_replicas_go_where_fewest_of_them_are() -> None:
    pods = [pod("p1", "a"), pod("p2", "b"), pod("p3", "b"), pod("p4", "a")]
    nodes = [node("a", 4), node("b", 4), node("c", 4)]
    assert lost(pods, nodes).workloads[0].placed == {"zc": 2}


@pytest.mark.parametrize(
    ("cpu", "carries"), [(0.2, "yes"), (0.19999, "no")], ids=["just fits", "just not"]
)
def test_requests_of_all_pods_count_against_the_room(cpu: float, carries: str) -> None:
    other = replace(pod("other", "a", 0.4), owner_uid="rs-2", labels={})
    nodes = [node("a", 1.0 + cpu), node("b"), node("c", 0.5)]
    found = lost([*PODS, other], nodes)
    assert found.carries == carries
    assert found.why == (() if carries == "yes" else ("p2: no room",))


def test_a_node_takes_only_so_many_pods() -> None:
    full = [replace(one, room={**one.room, "pods": 1.0}) for one in NODES]
    assert lost(PODS, full).carries == "no"


@pytest.mark.parametrize(
    "bar",
    [
        {"unschedulable": True},
        {"ready": False},
        {"taints": (("dedicated", "db", "NoSchedule"),)},
    ],
    ids=["cordoned", "not ready", "tainted"],
)
def test_nodes_that_take_nothing(bar: dict[str, Any]) -> None:
    nodes = [node("a", **bar), node("b"), node("c")]
    assert lost(PODS, nodes).workloads[0].placed == {"zc": 1}


def test_a_taint_that_is_tolerated_keeps_nobody_off() -> None:
    toleration = {"key": "dedicated", "operator": "Exists"}
    pods = [replace(one, tolerations=(toleration,)) for one in PODS]
    nodes = [node(zone, taints=(("dedicated", "db", "NoSchedule"),)) for zone in "abc"]
    assert lost(pods, nodes).carries == "yes"
    assert lost(PODS, nodes).why == ("p2: no node may have it",)


def test_a_node_selector_leaves_fewer_nodes() -> None:
    pods = [replace(one, node_selector={"disk": "ssd"}) for one in PODS]
    assert lost(pods, NODES).carries == "no"
    fast = replace(node("c"), labels={**node("c").labels, "disk": "ssd"})
    assert lost(pods, [*NODES[:2], fast]).workloads[0].placed == {"zc": 1}


def test_spread_that_forbids_keeps_replacements_pending() -> None:
    """The lost zone still counts as a domain, and stays empty: DESIGN section 5."""
    spread = Spread(ZONE, 1, {"matchLabels": LABELS})
    pods = [replace(one, spread=(spread,)) for one in PODS]
    found = lost(pods, NODES)
    assert found.carries == "no"
    assert found.why == ("p2: spread forbids it",)
    loose = [replace(one, spread=(replace(spread, max_skew=2),)) for one in PODS]
    assert lost(loose, NODES).carries == "yes"
    honest = [replace(one, spread=(replace(spread, honours_taints=True),)) for one in PODS]
    assert lost(honest, NODES).carries == "yes"


def test_what_nothing_replaces_is_gone() -> None:
    bare = replace(pod("p2", "b"), owner=("", ""), owner_uid="")
    assert lost([PODS[0], bare, PODS[2]], NODES).why == ("p2: nothing replaces it",)


def test_a_daemon_and_a_finished_job_need_no_other_node() -> None:
    daemon = replace(pod("d", "b"), owner=("DaemonSet", "agent"), owner_uid="ds-1")
    done = replace(pod("j", "b"), owner=("Job", "once"), owner_uid="j-1", finished=True)
    found = lost([*PODS, daemon, done], NODES)
    assert found.carries == "yes"
    assert [one.placed for one in found.workloads] == [{"za": 1}, {}, {}]


def test_what_is_not_looked_at_makes_a_yes_unknown_and_leaves_a_no() -> None:
    asked = [replace(one, unmodelled=("node affinity",)) for one in PODS]
    assert lost(asked, NODES).carries == "unknown"
    assert lost(PODS, NODES, whole=False).carries == "unknown"
    assert lost(PODS, [*NODES, node("d", room={})]).carries == "unknown"
    small = [node(zone, 0.5) for zone in "abc"]
    assert lost(asked, small, whole=False).carries == "no"


def test_budgets_are_told() -> None:
    covering = Budget("wallet-api", "wallet", {"matchLabels": LABELS}, 0)
    found = lost(PODS, NODES, budgets=[covering, replace(covering, namespace="other")])
    assert found.budgets == ("wallet/wallet-api: 1 of its pods go, 0 may",)
    assert found.carries == "yes"


def test_the_same_cluster_gives_the_same_prediction() -> None:
    assert lost(PODS[::-1], NODES[::-1]).record() == lost(PODS, NODES).record()


# ── as the API tells it ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100m", 0.1),
        ("2", 2.0),
        ("128Mi", 134217728.0),
        ("1e3", 1000.0),
        ("1k", 1000.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1Ei", 2.0**60),
        ("5G", 5e9),
        ("100n", 1e-7),
    ],
)
def test_quantities(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "1 Mi", "1mi", "1KiB", "Mi"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)


def wants(cpu: str, **more: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


def test_a_pod_asks_for_its_containers_or_for_its_largest_init_container() -> None:
    two = {"containers": [wants("100m"), wants("200m")]}
    assert asks(two)["cpu"] == pytest.approx(0.3)
    assert asks({**two, "initContainers": [wants("1"), wants("400m")]})["cpu"] == 1.0
    sidecar = {**two, "initContainers": [wants("1", restartPolicy="Always")]}
    assert asks(sidecar)["cpu"] == pytest.approx(1.3)
    assert asks({**two, "overhead": {"cpu": "50m"}})["cpu"] == pytest.approx(0.35)
    assert asks({"containers": [{}]})["cpu"] == 0.0


def test_only_spread_that_forbids_is_kept_and_its_label_keys_become_labels() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "wallet-api"}},
        "matchLabelKeys": ["pod-template-hash"],
        "nodeTaintsPolicy": "Honor",
    }
    loose = {**constraint, "whenUnsatisfiable": "ScheduleAnyway"}
    metadata = {"labels": {"app": "wallet-api", "pod-template-hash": "abc"}}
    (found,) = spreads(metadata, {"topologySpreadConstraints": [constraint, loose]})
    assert found.honours_taints
    assert matches(found.selector, {"app": "wallet-api", "pod-template-hash": "abc"})
    assert not matches(found.selector, {"app": "wallet-api", "pod-template-hash": "older"})


@pytest.mark.parametrize(
    ("toleration", "borne"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "other"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_which_taints_a_pod_bears(toleration: dict[str, Any], borne: bool) -> None:
    assert tolerated(toleration, ("k", "v", "NoExecute")) is borne


def test_what_the_api_says_of_a_pod_and_of_a_node() -> None:
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"x": 1}}}
    spec = {
        "nodeName": "n1",
        "containers": [wants("100m")],
        "affinity": affinity,
        "volumes": [{"persistentVolumeClaim": {"claimName": "x"}}],
    }
    owners = [{"controller": True, "uid": "rs-1", "kind": "ReplicaSet", "name": "wallet-1"}]
    metadata = {"name": "p", "namespace": "wallet", "uid": "u", "ownerReferences": owners}
    found = read_pod({"metadata": metadata, "spec": spec, "status": {"phase": "Failed"}}, {})
    assert found.unmodelled == ("node affinity", "volumes")
    assert found.owner == ("ReplicaSet", "wallet-1")
    assert found.finished
    status = {"allocatable": {"cpu": "3920m", "memory": "8Gi", "pods": "110", "hugepages-2Mi": "0"}}
    named = {"metadata": {"name": "n1", "uid": "u"}, "spec": {}, "status": status}
    assert read_node(named).room == {"cpu": 3.92, "memory": 8589934592.0, "pods": 110.0}
