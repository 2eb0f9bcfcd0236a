"""The agent of one node: what a kubelet is to a real node, with processes as pods.

`python -m lab.agent --lab 1 --folder FOLDER --node node-a` registers the node, renews its lease,
and runs each pod that the scheduler binds to it as a process on a loopback address of its own.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import time
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from lab.addresses import ZONES, Lab, pod_address
from lab.agent_pods import Object, Pod, ready_condition, stamp, utc_now
from lab.agent_runner import Node, PodRunner
from lab.kubeconfig import access
from lab.kubernetes_api import TRANSIENT, Api, ApiError, ExpiredError
from lab.processes import base_environment

_HEARTBEAT = 10.0  # seconds, the kubelet's
_LEASE = 40  # seconds, the kubelet's
_SILENT = 30.0  # seconds without a heartbeat, after which the agent calls itself unhealthy
_RETRY = 0.3
_CONFLICT = 409
_NOT_FOUND = 404

log = logging.getLogger("lab.agent")


class Agent:
    """Keeps the node's promises, and starts and ends pods as the API server says."""

    def __init__(self, node: Node, api: Api, http: aiohttp.ClientSession) -> None:
        self._node = node
        self._api = api
        self._http = http
        self._runners: dict[str, tuple[PodRunner, asyncio.Task[None]]] = {}
        self._beat = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeats())
            group.create_task(self._follow())

    def end(self) -> None:
        """Kill every pod of this node."""
        for runner, task in self._runners.values():
            task.cancel()
            runner.kill()

    async def health(self, _: web.Request) -> web.Response:
        """200 while the API server takes the node's heartbeats."""
        silent = time.monotonic() - self._beat
        return web.Response(
            status=200 if silent < _SILENT else 503, text=f"last heartbeat {silent:.1f} s ago\n"
        )

    async def _heartbeats(self) -> None:
        while True:
            wait = _HEARTBEAT
            try:
                await self._register()
                await self._renew()
                self._beat = time.monotonic()
            except TRANSIENT as error:
                log.warning("heartbeat: %r", error)
                wait = _RETRY
            await asyncio.sleep(wait)

    async def _register(self) -> None:
        path = f"/api/v1/nodes/{self._node.name}"
        try:
            known: Object | None = await self._api.get(path)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            known = None
        status = self._status(known)
        if known:
            await self._api.patch(f"{path}/status", {"status": status})
            return
        labels = {
            "kubernetes.io/hostname": self._node.name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/region": self._node.zone[:-1],
            "topology.kubernetes.io/zone": self._node.zone,
        }
        meta = {"name": self._node.name, "labels": labels}
        await self._api.post("/api/v1/nodes", {"metadata": meta, "status": status})

    def _status(self, known: Object | None) -> Object:
        capacity = {"cpu": "8", "memory": "8Gi", "pods": "110"}
        return {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [ready_condition(known, utc_now())],
            "addresses": [
                {"type": "InternalIP", "address": self._node.host},
                {"type": "Hostname", "address": self._node.name},
            ],
            "nodeInfo": {
                "kubeletVersion": "v0.0.0-holdfast-lab",
                "operatingSystem": "linux",
                "architecture": os.uname().machine,
                "kernelVersion": os.uname().release,
                "osImage": "holdfast lab",
                "containerRuntimeVersion": "process://1",
                **dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion"), ""),
            },
        }

    async def _renew(self) -> None:
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {
            "holderIdentity": self._node.name,
            "leaseDurationSeconds": _LEASE,
            "renewTime": stamp(utc_now()).replace("Z", ".000000Z"),
        }
        try:
            await self._api.patch(f"{leases}/{self._node.name}", {"spec": spec})
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            await self._api.post(leases, {"metadata": {"name": self._node.name}, "spec": spec})

    async def _follow(self) -> None:
        """List this node's pods, then follow their changes; list again when that breaks."""
        mine = {"fieldSelector": f"spec.nodeName={self._node.name}"}
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list(mine)
                async for kind, item in self._api.watch("/api/v1/pods", version, **mine):
                    version = item["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        self._take(kind, item)
            except ExpiredError:
                version = ""
            except TRANSIENT as error:
                log.warning("watch: %r", error)
                await asyncio.sleep(_RETRY)

    async def _list(self, mine: dict[str, str]) -> str:
        answer = await self._api.get("/api/v1/pods", **mine)
        listed = {item["metadata"]["uid"] for item in answer["items"]}
        for uid in self._runners.keys() - listed:
            self._runners[uid][0].kill()
        for item in answer["items"]:
            self._take("MODIFIED", item)
        return str(answer["metadata"]["resourceVersion"])

    def _take(self, kind: str, item: Object) -> None:
        """Act on one pod that is new, changed or gone."""
        pod = Pod.parse(item)
        known = self._runners.get(pod.uid)
        if kind == "DELETED":
            if known:
                known[0].kill()
            return
        if known is None:
            runner = PodRunner(pod, self._node, self._api, self._http)
            task = asyncio.create_task(runner.run(), name=pod.name)
            task.add_done_callback(lambda done: self._forget(pod, done))
            known = self._runners[pod.uid] = (runner, task)
            log.info("pod %s %s", pod.name, pod.uid)
        if pod.grace is not None:
            known[0].terminate(pod.grace)

    def _forget(self, pod: Pod, task: asyncio.Task[None]) -> None:
        self._runners.pop(pod.uid, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("pod %s failed", pod.name, exc_info=error)
        else:
            log.info("pod %s ended", pod.name)


class Addresses:
    """Hands out this zone's pod addresses; the count outlives the agent, so none comes twice."""

    def __init__(self, lab: Lab, node: str) -> None:
        self._lab = lab.number
        self._zone = list(ZONES).index(node) + 1
        self._file = lab.data / f"addresses-{node}"

    def next(self) -> str:
        """The next address; written down before it is used."""
        with contextlib.suppress(FileNotFoundError):
            return self._take(int(self._file.read_text()) + 1)
        return self._take(1)

    def _take(self, count: int) -> str:
        address = pod_address(self._lab, self._zone, count)
        new = self._file.with_suffix(".new")
        new.write_text(str(count))
        new.replace(self._file)
        return address


def read_images(path: Path) -> dict[str, tuple[str, ...]]:
    """Image name → command, unless a pod has one of its own."""
    images = yaml.safe_load(path.read_text())
    return {str(name): tuple(map(str, command)) for name, command in images.items()}


def node_of(lab: Lab, name: str) -> Node:
    """The node of that name in that lab."""
    kubernetes = dict(
        zip(
            ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
            lab.apiserver.split(":"),
            strict=True,
        )
    )
    return Node(
        name=name,
        zone=ZONES[name],
        host=f"10.{lab.number}.0.{node_host(name)}",
        images=read_images(Path(__file__).parent / "images.yaml"),
        environment=base_environment(lab.id) | kubernetes,
        logs=lab.logs,
        volumes=lab.data / "pods",
        next_address=Addresses(lab, name).next,
    )


def node_host(name: str) -> int:
    """The last octet of a node's own address."""
    return 21 + list(ZONES).index(name)


async def serve(lab: Lab, name: str) -> None:
    """Run the agent until SIGTERM or SIGINT; its pods end with it."""
    identity = access(lab, f"system:node:{name}")
    connector = aiohttp.TCPConnector(force_close=True)
    async with Api(identity) as api, aiohttp.ClientSession(connector=connector) as http:
        agent = Agent(node_of(lab, name), api, http)
        app = web.Application()
        app.router.add_get("/healthz", agent.health)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, f"127.{lab.number}.0.{node_host(name)}", 10248).start()
        work = asyncio.create_task(agent.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            log.info("ended by a signal")
        finally:
            agent.end()
            await runner.cleanup()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m lab.agent", description="one node's agent")
    parser.add_argument("--lab", type=int, required=True, help="number of the lab")
    parser.add_argument("--folder", type=Path, required=True, help="the lab's folder")
    parser.add_argument("--node", choices=list(ZONES), required=True, help="name of the node")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(serve(Lab(args.lab, args.folder), args.node))


if __name__ == "__main__":
    main()
