"""What it costs to see the pods while a run is on, beside Kubernetes' own typed client.

holdfast looks once a second, hears of each change in between by a watch, and writes both down. The
API server is a process of its own on loopback, over plain HTTP: TLS would cost both clients the
same. Its pods are as large as those of a real one. Each event turns a pod. They come
so close together that each is written as one look; an event by itself is written as two. The
latency is from right before the server sends until our look has its instant.
"""

import argparse
import copy
import io
import itertools
import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from benchmarks.load import environment
from holdfast.clock import SECOND, Anchor, now_ns, sleep, until
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.load.record import cpu_seconds
from holdfast.probes import restart
from holdfast.run.stream import Heard, Listed, Stream, looks
from holdfast.store import Run
from holdfast.store.chain import Disk

HOST = "127.11.0.21"
NODES, SELECTOR = 6, "app=wallet-api"
RATE = 200.0  # events a second: far more than a zone that goes dark makes
SENT = "sent.json"  # in the server's folder: when each event of the newest watch was sent
TOGETHER = 50  # events that are written with one look
CPU_GOAL_MS, LATENCY_GOAL_MS = 0.5, 1.0


class Unsynced(Disk):
    """A disk that nobody waits for."""

    def write(self, file: io.FileIO, line: bytes) -> None:
        """Write, and go on."""
        file.write(line)


def serve(folder: Path, pods: int, events: int) -> None:
    """Serve a wallet of so many pods until the input ends; so many events to each watch.

    The first watch hears them at a steady rate, the second as fast as it reads, the third as the
    first.
    """
    from tests.fakes import FakeKubernetes, serving

    api = FakeKubernetes()
    for number in range(NODES):
        api.add_node(f"node-{number}", f"zone-{number % 3}")
    for number in range(pods):
        pod = api.add_pod(f"wallet-api-{number}", f"node-{number % NODES}")
        pod["metadata"]["ownerReferences"][0]["apiVersion"] = "apps/v1"
        pod["metadata"]["managedFields"] = [managed(name) for name in ("controller", "kubelet")]
        pod["spec"] |= spec()
        pod["status"] |= status()
    rates = deque([RATE, 0.0, RATE])
    lines = [*turns(list(api.pods.values()), events)]
    api.watch = lambda: (200, sent(lines, rates.popleft(), folder / SENT))
    with serving(HOST, api.answer) as api.url:
        print(api.kubeconfig(folder), flush=True)
        sys.stdin.read()


def turns(pods: list[dict[str, Any]], events: int) -> Iterator[bytes]:
    """Pods that turn one after the other, each time the other way, as lines of a watch."""
    last = max(int(pod["metadata"]["resourceVersion"]) for pod in pods)
    for number in range(events):
        pod = copy.deepcopy(pods[number % len(pods)])
        ready = number // len(pods) % 2 == 1
        pod["status"]["conditions"][-1]["status"] = str(ready)
        pod["metadata"]["resourceVersion"] = str(last + 1 + number)
        yield json.dumps({"type": "MODIFIED", "object": pod}).encode() + b"\n"


def sent(lines: list[bytes], rate: float, told: Path) -> Iterator[bytes]:
    """The lines, at that rate, or as fast as they are read; then when that was, and silence."""
    sleep(0.5)
    begun, at = now_ns(), list[int]()
    for number, line in enumerate(lines):
        if rate:
            sleep((begun + number / rate * SECOND - now_ns()) / SECOND)
        at.append(now_ns())
        yield line
    whole = told.with_suffix(".new")
    whole.write_text(json.dumps(at))
    whole.rename(told)
    sleep(3600)


def managed(name: str) -> dict[str, Any]:
    """Who set which field, as the API server keeps it: a third of a pod's document."""
    one: dict[str, Any] = {".": {}, "f:value": {}}
    fields = {f'f:k{{"type":"{number}"}}': one for number in range(30)}
    return {"manager": name, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}


def spec() -> dict[str, Any]:
    """One container with its variables, its probes and its volume."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 5}
    container = {
        "name": "api",
        "image": "registry.example/wallet-api:1.36.3",
        "env": [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(20)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets"}],
    }
    return {"containers": [container], "volumes": [{"name": "token", "emptyDir": {}}]}


def status() -> dict[str, Any]:
    """Running, with every condition."""
    kinds = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled", "Ready")
    return {"phase": "Running", "conditions": [{"type": kind, "status": "True"} for kind in kinds]}


def each(what: Callable[[], object], times: int) -> float:
    """CPU milliseconds of one, after the first, which opens the connection."""
    what()
    began = cpu_seconds()
    for _ in range(times):
        what()
    return (cpu_seconds() - began) / times * 1000


def measure(pods: int, times: int, events: int) -> tuple[list[str], list[str]]:
    """One row of each table."""
    from kubernetes import client, config

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--serve", folder]
        command += ["--pods", str(pods), "--events", str(events)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdin
            assert server.stdout
            path = server.stdout.readline().strip()
            here = context(path, Path(folder))
            load: Any = config.load_kube_config
            load(path)
            typed: Any = client.CoreV1Api()
            rows = looked(here, typed, times), watched(here, typed, events)
            server.stdin.close()
            server.kill()
    return rows


def looked(here: Context, typed: Any, times: int) -> list[str]:
    """What a look costs."""
    zones: dict[str, str] = {}
    seen = {"pods": restart.look(here, zones)}
    found = {
        "look": each(lambda: restart.look(here, zones), times),
        "write": each(lambda: here.run.append("samples/pods.jsonl", dict(seen)), times),
        "typed": each(lambda: typed.list_namespaced_pod("wallet", label_selector=SELECTOR), times),
    }
    size = len(typed.list_namespaced_pod("wallet", _preload_content=False).data)
    pods, both = len(seen["pods"]), found["look"] + found["write"]
    parts = (found["look"], found["write"], both, both / pods, found["typed"])
    told = [f"{part:.2f} ms" for part in parts]
    return [f"{pods}", f"{size / 1024:.0f} KiB", *told, f"{found['look'] / found['typed']:.2f}"]


def watched(here: Context, typed: Any, events: int) -> list[str]:
    """What an event costs, and how late it is heard."""
    zones: dict[str, str] = {}
    pods, version = Cluster(here.environment.kubernetes.kubeconfig).listed_pods(
        "wallet", SELECTOR, zones
    )
    before = Listed(pods, version, now_ns(), Anchor.take())
    heard, hear_ms, _ = listened(here, version, events)
    sent_at = Path(here.environment.kubernetes.kubeconfig).parent / SENT
    assert until(sent_at.exists, seconds=10)
    late = sorted(
        (one.at.mono_ns - sent_ns) / 1e6
        for one, sent_ns in zip(heard, json.loads(sent_at.read_text()), strict=True)
    )
    synced_ms = written(here, before, heard, zones)
    write_ms = written(
        Context(Run(here.run.folder, Unsynced()), here.environment), before, heard, zones
    )
    _, _, rate = listened(here, version, events)
    both = hear_ms + write_ms
    p50, p99 = late[events // 2], late[events * 99 // 100]
    typed_ms = heard_typed(typed, version, events)
    parts = (hear_ms, write_ms, both, hear_ms + synced_ms, typed_ms)
    told = [f"{part:.3f} ms" for part in parts]
    goals = [machine.against(both, CPU_GOAL_MS), machine.against(p99, LATENCY_GOAL_MS)]
    times = [f"{one:.2f} ms" for one in (p50, p99)]
    return [f"{len(pods)}", *told, goals[0], *times, goals[1], f"{rate:.0f}/s"]


def listened(here: Context, version: int, events: int) -> tuple[list[Heard], float, float]:
    """What was heard, the CPU milliseconds of one event, and events a second at the end."""
    heard: list[Heard] = []

    def all_of_them() -> bool:
        heard.extend(stream.until(1 << 60))
        return len(heard) >= events

    stream, began = Stream(here, version), cpu_seconds()
    stream.start()
    assert until(all_of_them, seconds=600, every=0.05)  # a run asks once a second
    spent_ms = (cpu_seconds() - began) / events * 1000
    stream.stop()
    return heard, spent_ms, events / ((heard[-1].at.mono_ns - heard[0].at.mono_ns) / SECOND)


def written(here: Context, before: Listed, heard: list[Heard], zones: dict[str, str]) -> float:
    """CPU milliseconds of one event from what was heard to what is in the file."""
    spent, events = 0.0, [*heard]
    while events:
        some, events = events[:TOGETHER], events[TOGETHER:]
        became = {pod.uid: pod for pod in before.pods}
        for pod in (one.pod for one in some):
            was = became[pod.uid]
            became[pod.uid] = replace(was, ready=pod.serving, version=pod.version)
        began = cpu_seconds()
        between = looks(before, some, [*became.values()], zones)
        assert between is not None
        here.run.append_all("samples/pods.jsonl", between)
        spent += cpu_seconds() - began
        now = [became[pod.uid] for pod in before.pods]
        before = Listed(now, some[-1].pod.version, before.began_ns, before.written)
    return spent / len(heard) * 1000


def heard_typed(typed: Any, version: int, events: int) -> float:
    """CPU milliseconds of one event with the typed client, which writes nothing."""
    from kubernetes import watch

    opened: Any = watch.Watch
    stream = opened()
    began = cpu_seconds()
    asked = stream.stream(
        typed.list_namespaced_pod,
        "wallet",
        label_selector=SELECTOR,
        resource_version=str(version),
    )
    for _ in itertools.islice(asked, events):
        pass
    spent = cpu_seconds() - began
    stream.stop()
    return spent / events * 1000


def context(kubeconfig: str, folder: Path) -> Context:
    """A run of that cluster."""
    run = Run.create(folder, "watch")
    run.path("samples").mkdir(exist_ok=True)
    given = environment("http://127.0.0.1:9")
    kubernetes = given.kubernetes.model_copy(update={"kubeconfig": kubeconfig})
    workload = given.workload.model_copy(update={"namespace": "wallet", "selector": SELECTOR})
    here = {"kubernetes": kubernetes, "workload": workload}
    return Context(run, given.model_copy(update=here))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, nargs="+", default=[6, 60], help="of the workload")
    parser.add_argument("--times", type=int, default=500, help="looks (default: 500)")
    parser.add_argument("--events", type=int, default=2000, help="(default: 2000)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.pods[0], options.events)
        return
    rows = [measure(pods, options.times, options.events) for pods in options.pods]
    parts = ("look", "write", "both", "a pod", "typed list", "look / typed")
    print(machine.table(("pods", "answer", *parts), [one for one, _ in rows]))
    print("CPU of one, once a second\n")
    heard = ("hear", "write", "both", "with fsync", "typed watch", "0.5 ms", "p50", "p99", "1 ms")
    print(machine.table(("pods", *heard, "at most"), [one for _, one in rows]))
    print(
        f"CPU of one event, {RATE:.0f} a second, and its latency; as fast as they are read: at most"
    )
    print(machine.line())


if __name__ == "__main__":
    main()
