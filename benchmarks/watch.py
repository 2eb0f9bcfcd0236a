"""What it costs to look at the pods while a run is on, beside Kubernetes' own typed client.

holdfast looks once a second and writes down what it sees; it keeps no watch open. The API server is
a process of its own on loopback, over plain HTTP: TLS would cost both clients the same. Its pods
are as large as those of a real one.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from benchmarks.load import environment
from holdfast.context import Context
from holdfast.load.record import cpu_seconds
from holdfast.probes import restart
from holdfast.store import Run

HOST = "127.11.0.21"
NODES, SELECTOR = 6, "app=wallet-api"


def serve(folder: Path, pods: int) -> None:
    """Serve a wallet of so many pods until the input ends."""
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
    with serving(HOST, api.answer) as api.url:
        print(api.kubeconfig(folder), flush=True)
        sys.stdin.read()


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


def measure(pods: int, times: int) -> list[str]:
    """One row of the table."""
    from kubernetes import client, config

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--serve", folder, "--pods", str(pods)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdin
            assert server.stdout
            path = server.stdout.readline().strip()
            here = context(path, Path(folder))
            zones: dict[str, str] = {}
            looked = {"pods": restart.look(here, zones)}
            assert len(looked["pods"]) == pods
            load: Any = config.load_kube_config
            load(path)
            typed: Any = client.CoreV1Api()
            found = {
                "look": each(lambda: restart.look(here, zones), times),
                "write": each(lambda: here.run.append("samples/pods.jsonl", dict(looked)), times),
                "typed": each(
                    lambda: typed.list_namespaced_pod("wallet", label_selector=SELECTOR), times
                ),
            }
            size = len(typed.list_namespaced_pod("wallet", _preload_content=False).data)
            server.stdin.close()
    both = found["look"] + found["write"]
    parts = (found["look"], found["write"], both, both / pods, found["typed"])
    told = [f"{part:.2f} ms" for part in parts]
    return [f"{pods}", f"{size / 1024:.0f} KiB", *told, f"{found['look'] / found['typed']:.2f}"]


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
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.pods[0])
        return
    rows = [measure(pods, options.times) for pods in options.pods]
    parts = ("look", "write", "both", "a pod", "typed list", "look / typed")
    print(machine.table(("pods", "answer", *parts), rows))
    print("CPU of one, once a second")
    print(machine.line())


if __name__ == "__main__":
    main()
