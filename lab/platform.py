"""What the lab asks of its Kubernetes: manifests applied, nodes and rollouts awaited, a token."""

import json
import re
import string
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from lab import kubeconfig
from lab.addresses import REPOSITORY, ZONES, Lab, listening
from lab.kubernetes_api import APPLY, Api, Object

HOLDFAST = "holdfast"  # namespace and name of the service account
REAPER = "holdfast-reaper"
REPLICAS = 3

_MANIFESTS = Path(__file__).parent / "manifests"
_DEPLOY = REPOSITORY / "deploy"
_GROUPS = {"v1": "/api/v1"}
_DAYS = 86_400
_TOKEN_LASTS = 365 * _DAYS  # seconds
_WALLET = "/api/v1/namespaces/wallet"
DEPLOYMENT = "/apis/apps/v1/namespaces/wallet/deployments/wallet-api"
_READY_LIMIT = aiohttp.ClientTimeout(total=2)
_SCRAPES = 4  # one a second


def manifests(name: str, lab: Lab) -> list[Object]:
    """The objects of a manifest file, with the lab's addresses filled in."""
    text = string.Template((_MANIFESTS / f"{name}.yaml").read_text())
    values = {
        "postgres": lab.postgres,
        "gateways": json.dumps(lab.gateways(11, 9100)),
        "gateways_direct": json.dumps(lab.gateways(12, 8100)),
        "banks": lab.banks,
        "slow_start": str(lab.slow_start),
    }
    return [item for item in yaml.safe_load_all(text.substitute(values)) if item]


def deployed() -> list[Object]:
    """What `kubectl apply -k deploy/` and `-k deploy/allowed` apply, in that order."""
    found: list[Object] = []
    for folder in (_DEPLOY, _DEPLOY / "allowed"):
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
            found += yaml.safe_load_all((folder / name).read_text())
    return found


def config_map(content: Object) -> Object:
    """The environment file as the reaper's pod mounts it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "holdfast-environment", "namespace": HOLDFAST},
        "data": {"environment.yaml": yaml.safe_dump(content, sort_keys=False)},
    }


async def reaper_looks(api: Api) -> bool:
    """Does the reaper say, in its lease, that it is there?"""
    found = await api.get(f"/apis/coordination.k8s.io/v1/namespaces/{HOLDFAST}/leases/{REAPER}")
    return bool(found["spec"].get("renewTime"))


def path_of(item: Object) -> str:
    """Where the API server keeps an object."""
    version, meta = item["apiVersion"], item["metadata"]
    kind = re.sub("y$", "ie", str(item["kind"]).lower())
    space = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{_GROUPS.get(version, f'/apis/{version}')}{space}/{kind}s/{meta['name']}"


async def apply(api: Api, items: list[Object]) -> None:
    """Make the objects what the manifests say."""
    for item in items:
        await api.patch(path_of(item), item, APPLY, fieldManager="holdfast-lab", force="true")


async def cluster_uid(api: Api) -> str:
    """What tells this cluster from every other."""
    found = await api.get("/api/v1/namespaces/kube-system")
    return str(found["metadata"]["uid"])


async def nodes_ready(api: Api) -> bool:
    """Are the nodes of all zones there, ready and without a taint?"""
    found = await api.get("/api/v1/nodes")
    good = [
        item["metadata"]["name"]
        for item in found["items"]
        if not item["spec"].get("taints") and not item["spec"].get("unschedulable")
    ]
    return set(good) >= set(ZONES)


async def holdfast_kubeconfig(api: Api, lab: Lab) -> Path:
    """The kubeconfig of the service account that holdfast runs as."""
    path = f"/api/v1/namespaces/{HOLDFAST}/serviceaccounts/{HOLDFAST}/token"
    answer = await api.post(path, {"spec": {"expirationSeconds": _TOKEN_LASTS}})
    return kubeconfig.write_kubeconfig(lab, HOLDFAST, answer["status"]["token"])


async def wallet_pods(api: Api) -> list[Object]:
    """The wallet's pods, those that are ending included."""
    found = await api.get(f"{_WALLET}/pods", labelSelector="app=wallet-api")
    items: list[Object] = found["items"]
    return items


async def rolled_out(api: Api) -> bool:
    """Is every replica of the newest template available, and every older pod gone?"""
    return is_rolled_out(await api.get(DEPLOYMENT), await wallet_pods(api))


def is_rolled_out(deployment: Object, pods: list[Object]) -> bool:
    """The same, of what the API server answered."""
    status: dict[str, Any] = deployment.get("status", {})
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = [status.get(f"{name}Replicas", 0) for name in ("updated", "ready", "available")]
    return seen and counts == [REPLICAS] * 3 and len(pods) == REPLICAS


async def pods_answer(http: aiohttp.ClientSession, pods: list[Object]) -> bool:
    """Does each of the pods itself say that it is ready?"""
    for item in pods:
        address = listening(item["status"].get("podIP", ""))
        url = f"http://{address}:8080/healthz/ready"
        async with http.get(url, timeout=_READY_LIMIT) as answer:
            if answer.status != 200:
                return False
    return True


async def edge_sees(http: aiohttp.ClientSession, lab: Lab) -> int:
    """How many upstreams the edge has."""
    async with http.get(f"http://{lab.edge_admin}/metrics", timeout=_READY_LIMIT) as answer:
        lines = (await answer.text()).splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("edge_upstreams{"))


async def prometheus_knows(http: aiohttp.ClientSession, lab: Lab) -> set[str]:
    """The uids of the wallet pods that Prometheus has found; it looks every 5 s."""
    url = f"http://{lab.prometheus}/api/v1/targets"
    query = {"state": "active", "scrapePool": "wallet-api"}
    async with http.get(url, params=query, timeout=_READY_LIMIT) as answer:
        targets = (await answer.json())["data"]["activeTargets"]
    return {target["labels"]["pod_uid"] for target in targets}


async def prometheus_remembers(http: aiohttp.ClientSession, lab: Lab) -> set[str]:
    """The uids of the wallet pods that it has scraped so often that their counters have a past."""
    query = f'count_over_time(up{{job="wallet-api"}}[1m]) >= {_SCRAPES}'
    url = f"http://{lab.prometheus}/api/v1/query"
    async with http.get(url, params={"query": query}, timeout=_READY_LIMIT) as answer:
        result = (await answer.json())["data"]["result"]
    return {one["metric"]["pod_uid"] for one in result}


async def prometheus_scrapes(http: aiohttp.ClientSession, lab: Lab) -> bool:
    """Has Prometheus scraped the edge, Toxiproxy, the banks and every replica?"""
    url = f"http://{lab.prometheus}/api/v1/query"
    async with http.get(url, params={"query": "up == 1"}, timeout=_READY_LIMIT) as answer:
        result = (await answer.json())["data"]["result"]
    jobs = [one["metric"]["job"] for one in result]
    others = {"edge", "toxiproxy", "banks"} <= set(jobs)
    return others and jobs.count("wallet-api") == REPLICAS
