"""The meddler does to requests what it is told, and nothing to the others."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.cluster import Cluster
from holdfast.errors import Unreachable
from tests.fakes import FakeKubernetes, kubeconfig
from tests.meddler import Meddler, _identity

pytestmark = pytest.mark.integration

PATH = "/api/v1/nodes"


@pytest.fixture
def meddler(kubernetes: FakeKubernetes) -> Iterator[Meddler]:
    with Meddler(kubernetes.url) as it:
        yield it


@pytest.fixture
def cluster(meddler: Meddler, tmp_path: Path) -> Cluster:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig(meddler.url)))
    return Cluster(str(path), call_s=1.0)


def test_what_no_rule_hits_goes_through(cluster: Cluster, meddler: Meddler) -> None:
    meddler.answer("GET /elsewhere", 500)
    assert len(cluster.nodes()) == 3
    assert meddler.count(f"GET {PATH}") == 1


def test_answers_as_often_as_it_is_told(cluster: Cluster, meddler: Meddler) -> None:
    meddler.answer(f"GET {PATH}", 503, "<html>busy</html>", times=1)
    with pytest.raises(Unreachable, match="503: <html>busy"):
        cluster.nodes()
    assert len(cluster.nodes()) == 3


@pytest.mark.parametrize("side", ["request", "answer"])
def test_a_cut_is_a_reset_before_or_after_it_was_carried_out(
    cluster: Cluster, meddler: Meddler, kubernetes: FakeKubernetes, side: str
) -> None:
    getattr(meddler, f"cut_{side}")(f"GET {PATH}")
    with pytest.raises(Unreachable, match="could not be reached"):
        cluster.nodes()
    assert len(kubernetes.calls) == (side == "answer")
    assert len(cluster.nodes()) == 3


@pytest.mark.parametrize("side", ["request", "answer"])
def test_what_is_held_goes_on_when_it_is_released(
    cluster: Cluster, meddler: Meddler, kubernetes: FakeKubernetes, side: str
) -> None:
    held = getattr(meddler, f"hold_{side}")(f"GET {PATH}")
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(cluster.nodes())))
    thread.start()
    held.wait()
    assert (len(kubernetes.calls), found) == (side == "answer", [])
    held.release()
    thread.join(5)
    assert found == [3]


def test_it_speaks_tls_with_a_certificate_of_its_own() -> None:
    """An authority of its own stands in front of a server that speaks TLS, too."""
    with Meddler("https://127.0.0.1:9", _identity()[0]) as meddler:
        assert meddler.url.startswith("https://")
        assert meddler.authority.startswith(b"-----BEGIN CERTIFICATE")
