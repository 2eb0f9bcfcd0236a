"""The lab itself: what its users may rely on."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from benchmarks.rights import admin
from holdfast.clock import until
from holdfast.documents import Environment, checked
from lab import processes
from lab.addresses import Lab

pytestmark = pytest.mark.lab

REPOSITORY = Path(__file__).parent.parent.parent
PIECES = {
    "etcd",
    "apiserver",
    "controller-manager",
    "scheduler",
    "node-a",
    "node-b",
    "node-c",
    "postgres",
    "toxiproxy",
    "banks",
    "prometheus",
    "edge",
}


@pytest.fixture
def number(lab: dict[str, Any]) -> int:
    """The number of the lab that runs."""
    return int(lab["name"].removeprefix("lab-"))


@pytest.fixture
def command(number: int, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m lab`, for the lab that runs; the environment file stays as it is."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=tmp_path,
            env=os.environ | {"HOLDFAST_LAB": str(number), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def status(command: Callable[..., Any]) -> Callable[[], dict[str, dict[str, Any]]]:
    """What `status` says of each piece and pod, by name."""
    return lambda: {row["name"]: row for row in json.loads(command("status", "--json").stdout)}


@dataclass(frozen=True)
class Kubernetes:
    """The lab's cluster, with the rights of holdfast."""

    session: requests.Session
    url: str

    def call(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        """Status and answer of one call."""
        answer = self.session.request(method, f"{self.url}/api/v1/{path}", timeout=10)
        return answer.status_code, answer.json()

    def get(self, path: str) -> dict[str, Any]:
        """What lies there."""
        status, content = self.call("GET", path)
        assert status == 200, content
        return content

    def ready_pods(self) -> dict[str, str]:
        """The node of each ready wallet pod, by its name."""
        pods = self.get("namespaces/wallet/pods?labelSelector=app%3Dwallet-api")["items"]
        return {
            pod["metadata"]["name"]: pod["spec"]["nodeName"]
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and ("Ready", "True")
            in {(one["type"], one["status"]) for one in pod["status"].get("conditions", [])}
        }


@pytest.fixture
def kubernetes(lab: dict[str, Any]) -> Iterator[Kubernetes]:
    """The cluster, as holdfast reaches it."""
    access = yaml.safe_load(Path(lab["kubernetes"]["kubeconfig"]).read_text())
    cluster = access["clusters"][0]["cluster"]
    with requests.Session() as session:
        session.trust_env = False  # a CA bundle named there would outrank the one named here
        session.verify = cluster["certificate-authority"]
        session.headers["Authorization"] = f"Bearer {access['users'][0]['user']['token']}"
        yield Kubernetes(session, cluster["server"])


@pytest.fixture
def force_delete(number: int) -> Callable[[str], None]:
    """Deletes a wallet pod at once, as the administrator: holdfast would need the lock for it."""

    def delete(pod: str) -> None:
        path = f"/api/v1/namespaces/wallet/pods/{pod}?gracePeriodSeconds=0"
        assert admin(Lab.of(number)).call("DELETE", path)[0] == 200

    return delete


def fetch(url: str) -> Any:
    answer = requests.get(url, timeout=5)
    answer.raise_for_status()
    return answer.json()


def test_each_of_three_zones_has_one_wallet_pod(kubernetes: Kubernetes) -> None:
    zones = {
        node["metadata"]["name"]: node["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for node in kubernetes.get("nodes")["items"]
    }
    assert sorted(zones[node] for node in kubernetes.ready_pods().values()) == [
        "sa-east-1a",
        "sa-east-1b",
        "sa-east-1c",
    ]


def test_a_pod_that_is_deleted_by_force_is_replaced(
    kubernetes: Kubernetes, force_delete: Callable[[str], None]
) -> None:
    before = kubernetes.ready_pods()
    victim = next(iter(before))
    force_delete(victim)
    assert until(
        lambda: len(kubernetes.ready_pods()) == 3 and victim not in kubernetes.ready_pods(),
        seconds=20,
    )


def test_a_process_of_a_pod_deleted_by_force_is_gone(
    kubernetes: Kubernetes,
    status: Callable[[], dict[str, dict[str, Any]]],
    force_delete: Callable[[str], None],
) -> None:
    victim = next(iter(kubernetes.ready_pods()))
    process = processes.Process(
        status()[victim]["pid"], processes.start_time(status()[victim]["pid"]) or 0
    )
    force_delete(victim)
    assert until(lambda: not processes.alive(process), seconds=2)
    assert until(lambda: len(kubernetes.ready_pods()) == 3, seconds=20)


def test_starting_it_twice_changes_nothing(
    command: Callable[..., subprocess.CompletedProcess[str]],
    status: Callable[[], dict[str, dict[str, Any]]],
) -> None:
    before = status()
    again = command("up")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert {name: row["pid"] for name, row in status().items()} == {
        name: row["pid"] for name, row in before.items()
    }


def test_status_names_every_piece_with_address_version_and_memory(
    status: Callable[[], dict[str, dict[str, Any]]], number: int
) -> None:
    rows = status()
    assert set(rows) >= PIECES
    for name in PIECES:
        assert rows[name]["state"] == "healthy"
        assert rows[name]["address"].startswith(f"127.{number}.")
        assert re.match(r"\d", rows[name]["version"])
        assert rows[name]["memory"] > 1 << 20
    assert len(rows) == len(PIECES) + 4, "three pods of the wallet, and the reaper"


def test_it_takes_less_than_two_and_a_half_gibibytes(
    status: Callable[[], dict[str, dict[str, Any]]],
) -> None:
    assert sum(row["memory"] for row in status().values()) < 2.5 * (1 << 30)


def test_every_socket_is_on_a_loopback_address(number: int) -> None:
    pids = {
        pid for process in processes.of_lab(Lab.of(number).id) for pid in processes.family(process)
    }
    sockets = [pair for pid in pids for pair in sockets_of(pid)]
    assert len(sockets) > len(PIECES)
    local = {address for pair in sockets for address in pair}
    assert {address.split(".")[0] for address in local - {"0.0.0.0"}} == {"127"}
    assert "0.0.0.0" not in {own for own, _ in sockets}


def sockets_of(pid: int) -> list[tuple[str, str]]:
    """Local and remote address of each IP socket of a process; the remote of a listener is 0."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                found.append((address(fields[1]), address(fields[2])))
    return found


def address(text: str) -> str:
    """An address as /proc/net writes it, in the usual form; IPv6 as it stands."""
    digits = text.partition(":")[0]
    return ".".join(str(byte) for byte in bytes.fromhex(digits)[::-1]) if len(digits) == 8 else text


def test_its_environment_file_is_one_that_holdfast_accepts(lab: dict[str, Any]) -> None:
    environment = checked(Environment, lab, "environment.yaml")
    assert environment.policy.namespaces == ["wallet"]
    assert environment.kind == "laboratory"
    assert len(environment.customers.values["accounts"]) == 200


def test_its_cluster_uid_is_that_of_the_namespace_kube_system(
    lab: dict[str, Any], kubernetes: Kubernetes
) -> None:
    found = kubernetes.get("namespaces/kube-system")["metadata"]["uid"]
    assert lab["kubernetes"]["cluster_uid"] == found


def test_holdfast_may_not_do_more_than_it_has_to(kubernetes: Kubernetes) -> None:
    forbidden = [
        ("GET", "namespaces/kube-system/secrets"),
        ("GET", "namespaces/kube-system/pods"),
        ("DELETE", "nodes/node-a"),
        ("DELETE", "namespaces/wallet"),
    ]
    assert [kubernetes.call(*one)[0] for one in forbidden] == [403, 403, 403, 403]


def test_only_the_owner_may_read_the_token_of_holdfast(lab: dict[str, Any]) -> None:
    mode = Path(lab["kubernetes"]["kubeconfig"]).stat().st_mode
    assert mode & 0o777 == 0o600


def test_customers_are_answered_at_the_entrance(lab: dict[str, Any]) -> None:
    answer = fetch(f"{lab['customers']['url']}/accounts/acc-0200/balance")
    assert answer["account"] == "acc-0200"
    assert isinstance(answer["balance_cents"], int)


def test_prometheus_knows_every_replica_by_pod_and_zone(
    lab: dict[str, Any], kubernetes: Kubernetes
) -> None:
    url = f"{lab['prometheus']['url']}/api/v1/query?query=up"

    def scraped() -> set[tuple[str, str, str]]:
        found = [one for one in fetch(url)["data"]["result"] if one["value"][1] == "1"]
        return {
            (one["metric"]["job"], one["metric"].get("pod", ""), one["metric"].get("zone", ""))
            for one in found
        }

    replicas = {
        ("wallet-api", pod, f"sa-east-1{node[-1]}") for pod, node in kubernetes.ready_pods().items()
    }
    others = {("edge", "", ""), ("toxiproxy", "", ""), ("banks", "", "")}
    assert until(lambda: scraped() == replicas | others, seconds=20, every=0.5)


def test_every_gateway_is_behind_toxiproxy(lab: dict[str, Any], number: int) -> None:
    proxies = fetch(f"{lab['toxiproxy'][0]['url']}/proxies")
    assert {name: (one["listen"], one["upstream"]) for name, one in proxies.items()} == {
        "pix-primary": (f"127.{number}.0.11:9101", f"127.{number}.0.12:8101"),
        "pix-backup": (f"127.{number}.0.11:9102", f"127.{number}.0.12:8102"),
        "ted": (f"127.{number}.0.11:9103", f"127.{number}.0.12:8103"),
    }


def test_an_unknown_defect_is_refused(
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    refused = command("defect", "gremlins")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: gremlins: no such defect. There are breaker-stuck, ")
