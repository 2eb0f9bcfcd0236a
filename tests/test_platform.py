"""What the lab asks of Kubernetes, as far as it is decided without one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.documents import Environment, checked
from lab import defects, environment, platform
from lab.addresses import Lab
from lab.errors import LabError

LAB = Lab(8, Path("/nowhere"))
SPREAD = [{"spec": {"nodeName": name}} for name in ("node-a", "node-b", "node-c")]


def template(change: dict[str, Any]) -> Any:
    return change["spec"]["template"]


def rollout(**status: int) -> dict[str, Any]:
    full = {
        "observedGeneration": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
    }
    return {"metadata": {"generation": 3}, "status": full | status}


def test_a_rollout_is_complete_when_three_new_pods_are_ready_and_no_old_one_is_left() -> None:
    assert platform.is_rolled_out(rollout(), [{}, {}, {}])


@pytest.mark.parametrize(
    "status",
    [{"observedGeneration": 2}, {"updatedReplicas": 2}, {"readyReplicas": 2}],
)
def test_a_rollout_that_lacks_something_is_not_complete(status: dict[str, int]) -> None:
    assert not platform.is_rolled_out(rollout(**status), [{}, {}, {}])


def test_a_rollout_whose_old_pods_are_still_ending_is_not_complete() -> None:
    assert not platform.is_rolled_out(rollout(), [{}, {}, {}, {}])


def test_objects_are_kept_by_group_namespace_and_kind() -> None:
    paths = [platform.path_of(item) for item in platform.manifests("wallet", LAB)]
    assert paths == [
        "/api/v1/namespaces/wallet/services/wallet-api",
        "/apis/apps/v1/namespaces/wallet/deployments/wallet-api",
    ]


def test_the_wallet_reaches_its_gateways_through_toxiproxy() -> None:
    deployment = platform.manifests("wallet", LAB)[1]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert yaml.safe_load(variables["GATEWAYS"]) == {
        "pix-primary": "http://127.8.0.11:9101",
        "pix-backup": "http://127.8.0.11:9102",
        "ted": "http://127.8.0.11:9103",
    }
    assert variables["DEFECTS"] == ""


def test_a_defect_is_switched_on_by_the_variable_that_the_wallet_reads() -> None:
    spec = template(defects.patch(frozenset({"bypass", "breaker-stuck"}), SPREAD, "now"))["spec"]
    assert spec["containers"][0]["env"] == [{"name": "DEFECTS", "value": "breaker-stuck,bypass"}]
    assert spec["nodeSelector"] == {"topology.kubernetes.io/zone": None}


def test_one_zone_binds_the_replicas_to_the_zone_that_drop_zone_drops() -> None:
    change = template(defects.patch(frozenset({"one-zone"}), SPREAD, "now"))
    assert change["spec"]["nodeSelector"] == {"topology.kubernetes.io/zone": "sa-east-1b"}


def test_replicas_that_are_spread_stay_where_they_are() -> None:
    assert "metadata" not in template(defects.patch(frozenset(), SPREAD, "now"))


def test_replicas_that_a_lost_zone_drove_together_are_made_anew() -> None:
    together = [{"spec": {"nodeName": name}} for name in ("node-a", "node-b", "node-b")]
    change = template(defects.patch(frozenset(), together, "2026-03-02T12:00:00Z"))
    assert change["metadata"]["annotations"] == {"holdfast-lab/spread-at": "2026-03-02T12:00:00Z"}


def test_none_is_the_healthy_wallet() -> None:
    assert defects.parse(("none",)) == frozenset()


@pytest.mark.parametrize("names", [("gremlins",), ("none", "bypass")])
def test_a_defect_that_there_is_not_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(LabError, match="no such defect"):
        defects.parse(names)


def test_the_environment_file_is_one_that_holdfast_accepts(tmp_path: Path) -> None:
    file = tmp_path / "environment.yaml"
    environment.write(file, environment.document(LAB, "/nowhere/kubeconfig", "uid-1"))
    read = checked(Environment, yaml.safe_load(file.read_text()), "environment.yaml")
    assert read.breakers["pix-primary"].backup == "pix-backup"
    assert read.periods["gateway_check"] == 30.0
    assert read.policy.proxies == ["pix-primary", "pix-backup", "ted"]
