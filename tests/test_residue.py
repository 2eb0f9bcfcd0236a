"""What is left behind is found, told apart by its owner, and keeps a run from starting."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from holdfast import residue
from holdfast.cluster import Cluster
from holdfast.documents import read_environment
from holdfast.errors import Refused
from holdfast.plan import guards
from holdfast.residue import Residue
from holdfast.toxiproxy import Toxiproxy
from tests.conftest import RealToxiproxy
from tests.fakes import FakeKubernetes, FakePrometheus, absent
from tests.plan_case import Here, everything

RUN = "0123456789ab"
Json = dict[str, Any]
MANAGED = "kubectl-cordon", "2026-01-02T03:04:05Z"


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    """An environment whose every system answers well."""
    with everything(kubernetes, prometheus, tmp_path) as here:
        yield here


def look(kubernetes: FakeKubernetes, folder: Path, *urls: str) -> Residue:
    cluster = Cluster(str(kubernetes.kubeconfig(folder)))
    return residue.find(cluster, {url: Toxiproxy(url) for url in urls}, {"wallet"})


def lines(found: Residue) -> list[str]:
    return [str(one) for one in found.leftovers]


def managed(field: Json, manager: str = MANAGED[0]) -> list[Json]:
    """What the API server notes of who wrote a field."""
    return [{"manager": manager, "time": MANAGED[1], "fieldsV1": field}]


def put(kubernetes: FakeKubernetes, group: str, kind: str, *items: Json) -> None:
    """Objects of another API group in the namespace of the wallet."""
    for item in items:
        item["metadata"].setdefault("namespace", "wallet")
    kubernetes.other[f"/apis/{group}/namespaces/wallet/{kind}"] = {"items": [*items]}


def policy(name: str, selector: Json, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"podSelector": selector, **spec}}


# ── clean ─────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_left_on_clean_ground(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    found = look(kubernetes, tmp_path)
    assert found == Residue()
    assert found.clean


def test_what_could_not_be_asked_is_not_clean(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    kubernetes.forbidden = {"list nodes", "list networkpolicies"}
    silent = absent("127.10.0.11")
    found = look(kubernetes, tmp_path, silent)
    assert not found.clean
    assert set(found.not_asked) == {"nodes", "networkpolicies in wallet", f"toxiproxy {silent}"}
    assert (
        "no right to list networkpolicies in namespace wallet (403)"
        in (found.not_asked["networkpolicies in wallet"])
    )


@pytest.mark.parametrize(
    "document", [{"items": 5}, {"items": [5]}, {"items": [{}]}, {"items": [{"metadata": 1}]}]
)
def test_an_answer_of_another_form_is_not_clean(
    kubernetes: FakeKubernetes, tmp_path: Path, document: Json
) -> None:
    kubernetes.other["/apis/apps/v1/namespaces/wallet/deployments"] = document
    assert set(look(kubernetes, tmp_path).not_asked) == {"deployments in wallet"}


# ── Toxiproxy ─────────────────────────────────────────────────────────────────────────────────────


def test_toxics_and_disabled_proxies(
    kubernetes: FakeKubernetes, toxiproxy: RealToxiproxy, tmp_path: Path
) -> None:
    """Ours by name, in both of its forms, and somebody's."""
    slow = f"holdfast-{RUN}-slow"
    cut = f"holdfast-{RUN}-cut-until-20260102T030405Z"
    for proxy, name in (("pix-primary", slow), ("ted", cut), ("ted", "theirs & more")):
        toxic = {"name": name, "type": "latency", "attributes": {"latency": 1}, "toxicity": 0.0}
        toxiproxy.call("POST", f"/proxies/{proxy}/toxics", toxic)
    toxiproxy.call("POST", "/proxies/ted", {"enabled": False})
    found = look(kubernetes, tmp_path, toxiproxy.url)
    assert found.not_asked == {}
    by_name = {(one.what, one.name): one for one in found.leftovers}
    assert set(by_name) == {
        ("toxic", slow),
        ("toxic", cut),
        ("toxic", "theirs & more"),
        ("disabled proxy", "ted"),
    }
    assert by_name["toxic", slow].run == RUN
    assert by_name["toxic", slow].until is None
    assert by_name["toxic", slow].where == f"proxy pix-primary at {toxiproxy.url}"
    assert by_name["toxic", cut].until == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert by_name["disabled proxy", "ted"].run == RUN
    assert by_name["toxic", "theirs & more"].run == ""
    assert by_name["toxic", "theirs & more"].owner == ""


def test_the_next_step_takes_it_away_without_holdfast(
    kubernetes: FakeKubernetes, toxiproxy: RealToxiproxy, tmp_path: Path
) -> None:
    """The printed curl lines are run, as far as urllib can stand for curl."""
    toxic = {"name": "theirs & /more", "type": "latency", "attributes": {"latency": 1}}
    toxiproxy.call("POST", "/proxies/ted/toxics", toxic)
    toxiproxy.call("POST", "/proxies/ted", {"enabled": False})
    disabled, named = look(kubernetes, tmp_path, toxiproxy.url).leftovers
    assert disabled.next_step == f"curl -d '{{\"enabled\": true}}' {toxiproxy.url}/proxies/ted"
    assert named.next_step == (
        f"curl -X DELETE {toxiproxy.url}/proxies/ted/toxics/theirs%20%26%20%2Fmore"
    )
    urlopen(Request(disabled.next_step.split()[-1], b'{"enabled": true}'), timeout=5).close()
    assert toxiproxy.enabled("ted")


# ── nodes ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_cordon_of_ours_names_the_run(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    kubernetes.nodes["node-a"]["spec"]["unschedulable"] = True
    kubernetes.nodes["node-a"]["metadata"]["annotations"] = {
        "holdfast.io/run": RUN,
        "holdfast.io/owner": "maria@host",
        "holdfast.io/undo": "uncordon",
        "holdfast.io/expires-at": "2026-01-02T04:04:05Z",
    }
    field: Json = {"f:metadata": {"f:annotations": {"f:holdfast.io/run": {}}}}
    kubernetes.nodes["node-a"]["metadata"]["managedFields"] = managed(field, "python")
    (one,) = look(kubernetes, tmp_path).leftovers
    assert (one.what, one.name, one.where) == ("cordon", "node-a", "node node-a")
    assert (one.run, one.owner) == (RUN, f"holdfast run {RUN} of maria@host")
    assert one.since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert one.until == datetime(2026, 1, 2, 4, 4, 5, tzinfo=UTC)
    assert "kubectl uncordon node-a && kubectl annotate node node-a holdfast.io/run-" in (
        one.next_step
    )


def test_a_cordon_of_somebody(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    kubernetes.nodes["node-a"]["spec"]["unschedulable"] = True
    field: Json = {"f:spec": {"f:unschedulable": {}}}
    kubernetes.nodes["node-a"]["metadata"]["managedFields"] = managed(field)
    (one,) = look(kubernetes, tmp_path).leftovers
    assert (one.run, one.owner, one.next_step) == (
        "",
        "kubectl-cordon",
        "kubectl uncordon node-a",
    )
    assert one.since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_cordon_of_nobody_knows_when(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    kubernetes.nodes["node-a"]["spec"]["unschedulable"] = True
    (one,) = look(kubernetes, tmp_path).leftovers
    assert (one.owner, one.since, one.until) == ("", None, None)
    assert one.record(datetime(2026, 1, 1, tzinfo=UTC))["age_s"] is None


@pytest.mark.parametrize(
    ("taint", "found"),
    [
        ({"key": "holdfast.io/dropped", "value": RUN, "effect": "NoExecute"}, RUN),
        ({"key": "chaos", "effect": "NoExecute"}, ""),
        ({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}, None),
        ({"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}, None),
    ],
)
def test_taints(kubernetes: FakeKubernetes, tmp_path: Path, taint: Json, found: str | None) -> None:
    """What Kubernetes sets itself, and what only keeps new pods away, is no fault."""
    kubernetes.nodes["node-a"]["spec"]["taints"] = [taint]
    assert [one.run for one in look(kubernetes, tmp_path).leftovers] == (
        [] if found is None else [found]
    )


def test_a_mark_without_its_fault_is_left_over_too(
    kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    kubernetes.nodes["node-a"]["metadata"]["annotations"] = {"holdfast.io/run": RUN}
    assert lines(look(kubernetes, tmp_path)) == ["mark on node node-a"]


def test_what_is_meant_to_be_so_is_no_leftover(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    """Somebody's own; a fault of ours cannot be declared away."""
    kubernetes.nodes["node-a"]["spec"]["unschedulable"] = True
    intended = {"holdfast.io/intended": "kept for the bank's audit"}
    kubernetes.nodes["node-a"]["metadata"]["annotations"] = intended
    assert lines(look(kubernetes, tmp_path)) == []
    kubernetes.nodes["node-a"]["metadata"]["annotations"] = intended | {"holdfast.io/run": RUN}
    assert lines(look(kubernetes, tmp_path)) == ["cordon on node node-a"]


# ── namespaces ────────────────────────────────────────────────────────────────────────────────────

DENY = policy("deny", {}, policyTypes=["Ingress", "Egress"])
ONE = policy("one", {"matchLabels": {"app": "x"}}, policyTypes=["Egress"], egress=[])
OPEN = policy("open", {"matchLabels": {"app": "x"}}, ingress=[{}])
BOTH = policy("both", {}, policyTypes=["Ingress", "Egress"], ingress=[{}], egress=[{}])


@pytest.mark.parametrize(
    ("policies", "found"),
    [
        ([DENY], ["deny"]),
        ([DENY, OPEN], ["deny"]),  # nothing opens the way out again
        ([DENY, BOTH], []),  # the usual standing default
        ([ONE, BOTH], ["one"]),
        ([OPEN], []),
        ([policy("bare", {})], ["bare"]),
    ],
)
def test_policies_that_deny_all(
    kubernetes: FakeKubernetes, tmp_path: Path, policies: list[Json], found: list[str]
) -> None:
    put(kubernetes, "networking.k8s.io/v1", "networkpolicies", *policies)
    seen = look(kubernetes, tmp_path).leftovers
    assert [one.name for one in seen] == found
    assert all(one.what == "policy that denies all" for one in seen)


def test_workloads_that_were_scaled_to_zero(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    field: Json = {"f:spec": {"f:replicas": {}}}
    none = {"metadata": {"name": "gone", "managedFields": managed(field, "krkn")}}
    some = {"metadata": {"name": "there"}, "spec": {"replicas": 2}}
    put(kubernetes, "apps/v1", "deployments", {**none, "spec": {"replicas": 0}}, some)
    put(
        kubernetes, "apps/v1", "statefulsets", {"metadata": {"name": "db"}, "spec": {"replicas": 0}}
    )
    gone, db = look(kubernetes, tmp_path).leftovers
    assert (gone.what, gone.name, gone.owner) == ("deployment scaled to zero", "gone", "krkn")
    assert gone.next_step == "kubectl -n wallet scale deployment gone --replicas=HOW_MANY"
    assert (db.what, db.owner, db.since) == ("statefulset scaled to zero", "", None)


def chaos_mesh(kubernetes: FakeKubernetes) -> None:
    """Chaos Mesh and Litmus are installed, with a fault of each."""
    groups = [("chaos-mesh.org", "chaos-mesh.org/v1alpha1"), ("apps", "apps/v1")]
    groups.append(("litmuschaos.io", "litmuschaos.io/v1alpha1"))
    kubernetes.other["/apis"] = {
        "groups": [
            {"name": name, "preferredVersion": {"groupVersion": version}}
            for name, version in groups
        ]
    }
    for version, names in (
        ("chaos-mesh.org/v1alpha1", ["networkchaos", "networkchaos/status", "remoteclusters"]),
        ("litmuschaos.io/v1alpha1", ["chaosengines", "chaosresults"]),
    ):
        kubernetes.other[f"/apis/{version}"] = {
            "resources": [{"name": name, "namespaced": True} for name in names]
        }
    for version, kind in (
        ("chaos-mesh.org/v1alpha1", "networkchaos"),
        ("chaos-mesh.org/v1alpha1", "remoteclusters"),
        ("litmuschaos.io/v1alpha1", "chaosengines"),
        ("litmuschaos.io/v1alpha1", "chaosresults"),
    ):
        metadata = {"name": f"a-{kind}", "creationTimestamp": MANAGED[1]}
        put(kubernetes, version, kind, {"metadata": metadata})


def test_objects_of_other_tools(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    """Their faults; templates, results and settings break nothing."""
    chaos_mesh(kubernetes)
    found = look(kubernetes, tmp_path)
    assert lines(found) == [
        "Chaos Mesh object networkchaos/a-networkchaos on namespace wallet",
        "Litmus object chaosengines/a-chaosengines on namespace wallet",
    ]
    assert found.leftovers[0].next_step == "kubectl -n wallet delete networkchaos a-networkchaos"
    assert found.leftovers[0].since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.not_asked == {}


def test_another_tool_that_may_not_be_looked_at(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    chaos_mesh(kubernetes)
    kubernetes.forbidden = {"list networkchaos"}
    assert set(look(kubernetes, tmp_path).not_asked) == {"networkchaos in wallet"}


def test_discovery_that_is_not_allowed(kubernetes: FakeKubernetes, tmp_path: Path) -> None:
    chaos_mesh(kubernetes)
    kubernetes.forbidden = {"list v1alpha1"}
    not_asked = look(kubernetes, tmp_path).not_asked
    assert set(not_asked) == {"other chaos tools"}
    assert "no right to get /apis/chaos-mesh.org/v1alpha1 (403)" in not_asked["other chaos tools"]


# ── a run does not start ──────────────────────────────────────────────────────────────────────────


def refused(here: Here) -> str:
    with pytest.raises(Refused) as caught:
        here.make()
    assert caught.value.exit_code == 6
    return str(caught.value)


def said(here: Here) -> str:
    """What the guard says of a plan that nothing refuses."""
    (answer,) = [one.words for one in here.make().guards if one.guard == "residue"]
    return answer


def proxy(name: str, *toxics: str, enabled: bool = True) -> Json:
    there = [
        {"name": one, "type": "latency", "attributes": {}, "stream": "upstream", "toxicity": 1}
        for one in toxics
    ]
    return {"name": name, "listen": "", "upstream": "", "enabled": enabled, "toxics": there}


def test_a_fault_of_another_run_anywhere_stops_a_run(here: Here) -> None:
    """Also on a proxy that this run does not hit."""
    here.platform.proxies |= {"ted": proxy("ted", f"holdfast-{RUN}-slow")}
    words = refused(here)
    assert f"toxic holdfast-{RUN}-slow on proxy ted at" in words
    assert f"holdfast run {RUN} left it there. holdfast undo --all-mine, or: curl" in words


def test_a_fault_of_somebody_elsewhere_does_not(here: Here) -> None:
    here.platform.proxies |= {"ted": proxy("ted", "theirs"), "other": proxy("other", enabled=False)}
    here.kubernetes.nodes["node-c"]["spec"]["unschedulable"] = True
    assert said(here) == "nothing in the way"


def test_a_dropped_zone_stops_a_run_that_needs_no_node(here: Here) -> None:
    here.kubernetes.nodes["node-c"]["metadata"]["annotations"] = {"holdfast.io/run": RUN}
    assert "mark on node node-c: holdfast run" in refused(here)


def test_another_tool_in_the_namespace_stops_a_run(here: Here) -> None:
    chaos_mesh(here.kubernetes)
    words = refused(here)
    assert "Chaos Mesh object networkchaos/a-networkchaos on namespace wallet" in words
    assert "somebody unknown left it there, and 1 more" in words


def test_a_policy_that_denies_all_stops_a_run(here: Here) -> None:
    put(here.kubernetes, "networking.k8s.io/v1", "networkpolicies", DENY)
    assert "policy that denies all deny on namespace wallet" in refused(here)


def test_what_may_not_be_looked_at_is_said(here: Here) -> None:
    here.kubernetes.forbidden = {"list networkpolicies"}
    assert said(here) == "nothing in the way; not asked: networkpolicies in wallet"


def test_what_may_not_be_looked_at_stops_a_run_in_production(here: Here) -> None:
    here.kubernetes.forbidden = {"list networkpolicies"}
    environment = read_environment(here.environment)
    production = environment.model_copy(update={"kind": "production"})
    assert "not asked" in guards.check_residue(environment, [])
    with pytest.raises(Refused, match=r"networkpolicies in wallet: nobody can tell: .*403"):
        guards.check_residue(production, [])


def test_nodes_that_may_not_be_looked_at_stop_a_run(here: Here) -> None:
    """One fault could be added to another."""
    here.kubernetes.forbidden = {"list nodes"}
    assert "residue of nodes: nobody can tell" in refused(here)


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def command(here: Here, *arguments: str) -> subprocess.CompletedProcess[str]:
    holdfast = str(Path(sys.executable).with_name("holdfast"))
    return subprocess.run(
        [holdfast, "residue", "-e", str(here.environment), *arguments],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_on_clean_ground(here: Here) -> None:
    done = command(here)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing is left behind\n", "")


def test_the_command_lists_what_is_left(here: Here) -> None:
    hostile = f"holdfast-{RUN}-x\x1b[31m\u202e"
    here.platform.proxies |= {"ted": proxy("ted", f"holdfast-{RUN}-slow", hostile)}
    here.kubernetes.forbidden = {"list networkpolicies"}
    done = command(here)
    assert done.returncode == 6
    assert done.stderr == ""
    assert f"  owner: holdfast run {RUN}; age: unknown\n" in done.stdout
    assert "\\x1b[31m\\u202e" in done.stdout
    assert "\x1b" not in done.stdout
    assert "not asked: networkpolicies in wallet: " in done.stdout
    whole = json.loads(command(here, "--json").stdout)
    assert whole["clean"] is False
    assert whole["leftovers"][0]["run"] == RUN
    assert list(whole["not_asked"]) == ["networkpolicies in wallet"]


def test_the_lines_name_the_variable_with_the_token(
    toxiproxy: RealToxiproxy, kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    """Without it a Toxiproxy that wants one answers 401, and the fault stays."""
    toxiproxy.call("POST", "/proxies/ted", {"enabled": False})
    cluster, client = Cluster(str(kubernetes.kubeconfig(tmp_path))), Toxiproxy(toxiproxy.url)
    tokens = {toxiproxy.url: "TOXIPROXY_TOKEN"}
    (one,) = residue.find(cluster, {toxiproxy.url: client}, set(), tokens).leftovers
    assert one.next_step.startswith('curl -H "Authorization: Bearer $TOXIPROXY_TOKEN" -d ')
