"""Who holdfast is to the API server: read when it changes, and once when it is not accepted."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast.clock import sleep, until
from holdfast.cluster import Cluster, credentials
from holdfast.documents import read_environment
from holdfast.errors import InvalidInput, Unreachable
from tests.fakes import kubeconfig

pytestmark = pytest.mark.integration

OLD, NEW, WRONG = "a-token-of-yesterday", "a-token-of-today", "a-token-of-nobody"


class ApiServer(ThreadingHTTPServer):
    """Tells a cluster's uid to whoever has the right token."""

    def __init__(self) -> None:
        super().__init__(("127.10.0.2", 0), Asked)
        self.token = OLD
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.server_address[:2])


class Asked(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: ApiServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        token = self.headers["Authorization"].partition(" ")[2]
        self.server.asked.append(token)
        good = token == self.server.token
        answer = {"metadata": {"uid": "cluster-1"}} if good else {"message": "Unauthorized"}
        content = json.dumps(answer).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    it = ApiServer()
    it.daemon_threads, it.block_on_close = True, False
    thread = threading.Thread(target=it.serve_forever, args=(0.01,))
    thread.start()
    yield it
    it.shutdown()
    thread.join(5)
    it.server_close()


def write(path: Path, server: ApiServer, token: str) -> Cluster:
    """A kubeconfig with that token."""
    document = kubeconfig(server.url)
    document["users"][0]["user"] = {"token": token}
    path.write_text(json.dumps(document))
    return Cluster(str(path))


def with_program(folder: Path, server: ApiServer, *tokens: str) -> Cluster:
    """A kubeconfig whose credentials are fetched by a program: each call brings the next token."""
    for number, token in enumerate(tokens):
        (folder / f"{number}.token").write_text(token)
    program = folder / "fetch"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib\n"
        f"left = sorted(pathlib.Path({str(folder)!r}).glob('*.token'))\n"
        "token = left[0].read_text()\n"
        "if len(left) > 1: left[0].unlink()\n"
        "kind = {'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential'}\n"
        "print(json.dumps(kind | {'status': {'token': token}}))\n"
    )
    program.chmod(stat.S_IRWXU)
    document = kubeconfig(server.url)
    fetch = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}
    document["users"][0]["user"] = {"exec": fetch | {"interactiveMode": "Never"}}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return Cluster(str(path))


@pytest.mark.row(20)
@pytest.mark.row(20)
def test_a_token_that_expired_is_read_again_once(server: ApiServer, tmp_path: Path) -> None:
    """The call was not carried out: who asks is checked before what is asked."""
    cluster = with_program(tmp_path, server, OLD, NEW)
    assert cluster.uid() == "cluster-1"
    server.token = NEW
    assert cluster.uid() == "cluster-1"
    assert server.asked == [OLD, OLD, NEW]


@pytest.mark.row(20)
def test_a_token_that_is_wrong_again_is_an_error(server: ApiServer, tmp_path: Path) -> None:
    """Loud, and after two calls: who is locked out does not go on asking."""
    cluster = with_program(tmp_path, server, WRONG)
    with pytest.raises(Unreachable, match=r"\(401\), which were just read once more"):
        cluster.uid()
    assert server.asked == [WRONG, WRONG]


def test_a_kubeconfig_that_was_written_anew_is_read_anew(server: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    cluster = write(path, server, OLD)
    assert cluster.uid() == "cluster-1"
    server.token = NEW
    write(path, server, NEW)
    os.utime(path, ns=(1, 1))
    assert cluster.uid() == "cluster-1"
    assert server.asked == [OLD, NEW]


# ── in a pod ──────────────────────────────────────────────────────────────────────────────────────


def in_pod(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a process in a pod finds out of its API server, or its error."""
    program = (
        "from holdfast.cluster import credentials\n"
        "from holdfast.errors import HoldfastError\n"
        "try:\n"
        "    found = credentials.load('in-cluster')\n"
        "    print(found.host, found.ssl_ca_cert, found.verify_ssl, found.retries)\n"
        "    print(found.api_key['BearerToken'])\n"
        "except HoldfastError as error:\n"
        "    print('error', error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], credentials.FOLDER: str(folder), **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )


ADDRESS = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """The three files that Kubernetes mounts into a pod."""
    for name, content in (("token", OLD), ("ca.crt", "a certificate"), ("namespace", "holdfast")):
        (tmp_path / name).write_text(content)
    return tmp_path


def test_a_pod_is_its_service_account_and_verifies_the_api_server(mounted: Path) -> None:
    found = in_pod(mounted, **ADDRESS).stdout.splitlines()
    assert found == [f"https://10.0.0.1:443 {mounted}/ca.crt True False", f"bearer {OLD}"]


def test_where_kubernetes_mounts_them() -> None:
    assert str(credentials.source("in-cluster")) == (
        "/var/run/secrets/kubernetes.io/serviceaccount/token"
    )


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("KUBERNETES_SERVICE_HOST", "Service host/port is not set"),
        ("token", "Service token file does not exist"),
        ("ca.crt", "Service certification file does not exist"),
    ],
)
def test_a_pod_without_its_service_account_says_what_is_missing(
    mounted: Path, without: str, words: str
) -> None:
    with contextlib.suppress(FileNotFoundError):
        (mounted / without).unlink()
    variables = {name: value for name, value in ADDRESS.items() if name != without}
    found = in_pod(mounted, **variables).stdout
    assert "is no usable service account" in found
    assert words in found


def test_outside_of_a_pod_in_cluster_is_an_error() -> None:
    with pytest.raises(InvalidInput, match=r"serviceaccount/token: cannot be read: No such file"):
        Cluster("in-cluster").uid()


def test_in_cluster_is_no_path(tmp_path: Path) -> None:
    """A relative path lies beside the environment file."""
    text = (
        "name: it\n"
        "kubernetes: {kubeconfig: %s, cluster_uid: u}\n"
        "prometheus: {url: 'http://127.10.0.13:9'}\n"
        "toxiproxy: []\n"
        "customers: {url: 'http://127.10.0.10:9', values: {}}\n"
        "workload: {namespace: wallet, selector: app=wallet-api}\n"
        "policy: {namespaces: [wallet]}\n"
    )
    path = tmp_path / "environment.yaml"
    for written, read in (("in-cluster", "in-cluster"), ("access", str(tmp_path / "access"))):
        path.write_text(text % written)
        assert read_environment(path).kubernetes.kubeconfig == read


def test_a_call_that_was_given_up_while_its_token_was_fetched_is_never_sent(
    server: ApiServer, tmp_path: Path
) -> None:
    """Who fetches tokens may be slow, and the connection is there already."""
    slow, program = tmp_path / "slow", tmp_path / "fetch"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": OLD, "expirationTimestamp": "2026-01-02T03:04:05Z"},  # is over
    }
    wait = f"if test -e {slow}; then sleep 2; rm {slow}; fi"
    program.write_text(f"#!/bin/sh\n{wait}\necho '{json.dumps(credential)}'\n")
    program.chmod(stat.S_IRWXU)
    document = kubeconfig(server.url)
    fetch = {"apiVersion": credential["apiVersion"], "command": str(program)}
    document["users"][0]["user"] = {"exec": fetch | {"interactiveMode": "Never"}}
    (tmp_path / "kubeconfig").write_text(json.dumps(document))
    cluster = Cluster(str(tmp_path / "kubeconfig"), call_s=1.0)
    assert cluster.uid() == "cluster-1"
    slow.touch()
    with pytest.raises(Unreachable, match="did not answer within 1 s"):
        cluster.uid()
    assert until(lambda: not slow.exists(), seconds=10)
    sleep(0.5)
    assert server.asked == [OLD]
