"""What of deploy/ is there, as far as a service account can find out by trying."""

import json
from pathlib import Path

import pytest

from holdfast.cluster import Cluster, deployed
from holdfast.errors import Refused, Unreachable
from tests.fakes import FakeKubernetes, absent, kubeconfig

pytestmark = pytest.mark.integration


@pytest.fixture
def path(kubernetes: FakeKubernetes, tmp_path: Path) -> str:
    return str(kubernetes.kubeconfig(tmp_path))


def test_a_policy_is_there_when_it_refuses_what_it_must(
    kubernetes: FakeKubernetes, path: str
) -> None:
    before = {name: dict(node["metadata"]) for name, node in kubernetes.nodes.items()}
    assert deployed.admission(path) == "present"
    assert {name: node["metadata"] for name, node in kubernetes.nodes.items()} == before


@pytest.mark.parametrize(
    ("policies", "missing"),
    [
        ({"labels": "holdfast-nodes"}, "holdfast-fencing"),
        ({"annotations": "holdfast-fencing"}, "holdfast-nodes"),
        ({"labels": "somebody-elses", "annotations": "holdfast-fencing"}, "holdfast-nodes"),
        ({}, "holdfast-nodes, holdfast-fencing"),
    ],
)
def test_a_policy_that_lets_it_pass_is_absent(
    kubernetes: FakeKubernetes, path: str, policies: dict[str, str], missing: str
) -> None:
    """That it exists would be no comfort."""
    kubernetes.policies = policies
    assert deployed.admission(path) == (
        f"absent for these credentials ({missing}): docs/deploy.md says why"
    )


def test_who_may_not_try_is_not_told(kubernetes: FakeKubernetes, path: str, tmp_path: Path) -> None:
    kubernetes.forbidden = {"list nodes", "get leases"}
    assert deployed.admission(path) == "not allowed to see"
    assert deployed.reaper(path, "holdfast") == "not allowed to see"
    kubernetes.nodes = {}
    kubernetes.forbidden = set()
    assert deployed.admission(path) == "not allowed to see"


def test_a_reaper_that_never_was_there_is_absent(path: str) -> None:
    assert deployed.reaper(path, "holdfast").startswith("absent: nobody undoes a fault")


def test_what_the_admission_policy_forbids_is_a_refusal_and_no_missing_right(
    kubernetes: FakeKubernetes, path: str
) -> None:
    """`Grant exactly that right` would be bad advice."""
    kubernetes.denies = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: the lock"
    cluster = Cluster(path)
    pod = cluster.pods("wallet")[0]
    with pytest.raises(Refused, match="'p' does not let us delete pods in namespace wallet: the l"):
        cluster.delete_pod(pod, 0)


def test_an_api_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig(absent("127.10.0.2"))))
    with pytest.raises(Unreachable):
        deployed.admission(str(path))
    with pytest.raises(Unreachable):
        deployed.reaper(str(path), "holdfast")
