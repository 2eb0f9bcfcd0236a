"""Toxiproxy, the nodes and the lock, asked directly: what holdfast says is not believed.

Anything that a fault of these benchmarks could leave behind is seen: each toxic, each disabled
proxy, each cordon, taint and mark of a node.
"""

import base64
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import yaml

_CALL_S = 5.0
_MARK = "mark"
_READY = {"type": "Ready", "status": "True"}
_PATCH = {"Content-Type": "application/json-patch+json"}


class World:
    """What an environment file names, with the rights of its kubeconfig."""

    def __init__(self, environment: Path) -> None:
        document = yaml.safe_load(environment.read_text())
        self.toxiproxies = [one["url"].rstrip("/") for one in document["toxiproxy"]]
        self.proxies: list[str] = document["policy"]["proxies"]
        self.workload = document["workload"]
        self.name = str(document["name"])
        space = document["kubernetes"].get("namespace", "holdfast")
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"
        path = environment.parent / Path(document["kubernetes"]["kubeconfig"]).expanduser()
        self._http, self._kube = requests.Session(), requests.Session()
        self._http.trust_env = self._kube.trust_env = False
        self._api = _api(yaml.safe_load(path.read_text()), path.parent, self._kube)

    def faults(self) -> set[str]:
        """Every fault and every mark of one, in words."""
        return {*self._of_proxies(), *self._of_nodes()}

    @staticmethod
    def harm(faults: set[str]) -> set[str]:
        """Those that do anything: a mark, and a toxic that hits no connection, do not."""
        return {one for one in faults if f": {_MARK} " not in one}

    def lease(self, name: str = "holdfast") -> dict[str, Any]:
        """The spec of a lease of holdfast's; empty when there is none."""
        answer = self._kube.get(f"{self._api}{self._leases}/{name}", timeout=_CALL_S)
        if answer.status_code == 404:
            return {}
        return dict(_good(answer).get("spec") or {})

    def holder(self) -> str:
        """Who holds the lock; empty when it is free."""
        return str(self.lease().get("holderIdentity") or "")

    def zone(self) -> str | None:
        """A zone that can be dropped now: the service is whole, and loses one replica with it."""
        place = self.workload["namespace"]
        query = {"labelSelector": self.workload["selector"]}
        url = f"{self._api}/api/v1/namespaces/{place}/pods"
        pods = _good(self._kube.get(url, params=query, timeout=_CALL_S))["items"]
        zones = {
            one["metadata"]["name"]: one["metadata"]["labels"].get("topology.kubernetes.io/zone")
            for one in self._nodes()
        }
        if not all(_serving(one) for one in pods) or len(pods) < 3:
            return None
        count = Counter(zones[one["spec"]["nodeName"]] for one in pods)
        return next((zone for zone, pods in sorted(count.items()) if zone and pods == 1), None)

    def clean(self) -> None:
        """Take away by hand whatever is there."""
        for url in self.toxiproxies:
            for name, proxy in self._proxies(url).items():
                for toxic in proxy["toxics"]:
                    path = f"{url}/proxies/{name}/toxics/{toxic['name']}"
                    self._http.delete(path, timeout=_CALL_S)
                if not proxy["enabled"]:
                    path = f"{url}/proxies/{name}"
                    self._http.post(path, json={"enabled": True}, timeout=_CALL_S)
        for node in self._nodes():
            self._restore(node)

    def _restore(self, node: dict[str, Any]) -> None:
        notes = node["metadata"].get("annotations") or {}
        left = {key: value for key, value in notes.items() if not key.startswith("holdfast.io/")}
        wanted = [{"op": "add", "path": "/metadata/annotations", "value": left}]
        if node["spec"].get("unschedulable"):
            wanted.append({"op": "remove", "path": "/spec/unschedulable"})
        if left != notes or len(wanted) > 1:
            url = f"{self._api}/api/v1/nodes/{node['metadata']['name']}"
            self._kube.patch(url, json=wanted, headers=_PATCH, timeout=_CALL_S)

    def _of_proxies(self) -> Iterator[str]:
        for url in self.toxiproxies:
            for name, proxy in self._proxies(url).items():
                for toxic in proxy["toxics"]:
                    yield f"{name}: {'toxic' if toxic['toxicity'] else _MARK} {toxic['name']}"
                if not proxy["enabled"]:
                    yield f"{name}: disabled"

    def _of_nodes(self) -> Iterator[str]:
        for node in self._nodes():
            name = node["metadata"]["name"]
            if node["spec"].get("unschedulable"):
                yield f"{name}: cordoned"
            for taint in node["spec"].get("taints") or []:
                if taint["key"] == "holdfast.io/dropped":
                    yield f"{name}: tainted"
            for mark in node["metadata"].get("annotations") or {}:
                if mark.startswith("holdfast.io/"):
                    yield f"{name}: {_MARK} {mark}"

    def _proxies(self, url: str) -> dict[str, Any]:
        return _good(self._http.get(f"{url}/proxies", timeout=_CALL_S))

    def _nodes(self) -> list[dict[str, Any]]:
        found = _good(self._kube.get(f"{self._api}/api/v1/nodes", timeout=_CALL_S))
        return list(found["items"])


def _api(kubeconfig: dict[str, Any], folder: Path, http: requests.Session) -> str:
    """The API server's URL; the session gets its credentials."""
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    if data := cluster.get("certificate-authority-data"):
        with tempfile.NamedTemporaryFile(suffix=".crt", delete=False) as file:
            file.write(base64.b64decode(data))
        http.verify = file.name
    else:
        http.verify = str(folder / cluster["certificate-authority"])
    token = user.get("token") or (folder / user["tokenFile"]).read_text().strip()
    http.headers["Authorization"] = f"Bearer {token}"
    return str(cluster["server"]).rstrip("/")


def _good(answer: requests.Response) -> dict[str, Any]:
    answer.raise_for_status()
    return dict(answer.json())


def _serving(pod: dict[str, Any]) -> bool:
    conditions = [
        {key: one[key] for key in ("type", "status")} for one in pod["status"].get("conditions", [])
    ]
    return _READY in conditions and "deletionTimestamp" not in pod["metadata"]
