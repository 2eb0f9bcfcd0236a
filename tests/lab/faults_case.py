"""One place where things go wrong: the lab, with meddlers in front of what a short run talks to."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

from benchmarks.rights import Person, admin
from holdfast import context
from holdfast.clock import SECOND, now_ns, until, within
from holdfast.context import Context
from holdfast.documents import read_environment
from holdfast.marks import RUN
from holdfast.store import Run
from lab.addresses import Lab
from tests.meddler import Meddler, between

ROOT = Path(__file__).parent.parent.parent
PROXY = "pix-primary"
NODE = "matrix-1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/holdfast/leases/holdfast"
NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/wallet/pods"
MERGE = "application/merge-patch+json"


@dataclass
class ShortRun:
    """A runner's process and what it has said."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def told(self, word: str) -> str:
        """The rest of the first line that begins so; waits for it."""
        assert self.process.stdout is not None
        while not any(one.split(" ")[0] == word for one in self.lines):
            line = within(30, self.process.stdout.readline)
            assert line, f"it ended without {word!r}: {self.lines}"
            self.lines.append(line.strip())
        found = next(one for one in self.lines if one.split(" ")[0] == word)
        return found.partition(" ")[2]

    @property
    def folder(self) -> Path:
        return Path(self.told("run"))

    def release(self) -> None:
        """The hold is over."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """As a host does that runs out of memory."""
        self.process.kill()
        self.process.wait(10)

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(60)

    def watchdog(self) -> int:
        """The process of its watchdog."""
        folder = str(self.folder).encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"holdfast.watchdog" in words and folder in words:
                    return int(path.parent.name)
        raise AssertionError("it has no watchdog")

    def states(self) -> list[str]:
        """The states in its log of heals."""
        return [one["state"] for one in self.records("heals.jsonl")]

    def how(self) -> list[str]:
        """What was found by whoever undid it."""
        return [one["how"] for one in self.records("heals.jsonl") if one["state"] == "undone"]

    def by(self) -> list[str]:
        """Who began an undo."""
        return [o["by"] for o in self.records("events.jsonl") if o["event"] == "undo_began"]

    def records(self, name: str) -> list[dict[str, Any]]:
        return Run(self.folder).sound(name)[0]


@dataclass
class Place:
    """The lab, what stands in front of it, and everything looked at past all of that."""

    folder: Path
    lab: Lab
    toxiproxy: str
    api: Meddler
    proxies: Meddler
    admin: Person
    environment: Path  # the lab's own, without meddlers
    runs: list[ShortRun] = field(default_factory=list)

    def start(self, fault: str) -> ShortRun:
        """Start a short run."""
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "lab" / "short_run.py"), fault],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.runs.append(ShortRun(process))
        return self.runs[-1]

    def another(self) -> Context:
        """A run of somebody else, without a lock yet, straight to the lab."""
        environment = read_environment(self.environment)
        run = Run.create(self.folder / "others", "other")
        run.write_json("plan.json", {"environment": environment.model_dump(mode="json")})
        return context.of({context.KEY: str(run.folder)})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call to Toxiproxy's API."""
        data = json.dumps(body).encode() if body is not None else None
        with urlopen(Request(self.toxiproxy + path, data, method=method), timeout=5) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def toxics(self) -> list[str]:
        """The names of the toxics on the proxy that is hit, and whether it is closed or gone."""
        proxy = self.call("GET", "/proxies").get(PROXY)
        if proxy is None:
            return ["gone"]
        return [one["name"] for one in proxy["toxics"]] + ([] if proxy["enabled"] else ["closed"])

    def node(self, name: str = NODE) -> dict[str, Any]:
        """A node as it is now."""
        found = self.admin.call("GET", f"{NODES}/{name}")[1]
        assert found["kind"] == "Node", found
        return found

    def lease(self) -> dict[str, Any]:
        """The lock as it is now."""
        return self.admin.call("GET", LEASE)[1]

    def marked(self, name: str = NODE) -> bool:
        """Is a node cordoned, or does it carry a run's mark?"""
        node = self.node(name)
        marks = node["metadata"].get("annotations", {})
        return bool(node["spec"].get("unschedulable")) or RUN in marks

    def left(self, fault: str) -> bool:
        """Is the fault there?"""
        return self.marked() if fault == "zone" else bool(self.toxics())

    def gone_within(self, fault: str, seconds: float) -> float:
        """Seconds until the fault is gone."""
        began = now_ns()
        assert until(lambda: not self.left(fault), seconds=seconds, every=0.02), "it stayed"
        return (now_ns() - began) / SECOND

    def add_node(self, name: str = NODE, zone: str = "matrix") -> None:
        """A node without a machine, with a pod that never starts."""
        labels = {"topology.kubernetes.io/zone": zone}
        self.admin.call("POST", NODES, {"metadata": {"name": name, "labels": labels}})
        container = {"name": "it", "image": "none"}
        pod = {
            "metadata": {"name": name, "labels": {"app": "matrix"}},
            "spec": {"nodeName": name, "containers": [container]},
        }
        self.admin.call("POST", PODS, pod)

    def remove_node(self, name: str = NODE) -> None:
        """It is gone, with its pod."""
        self.admin.call("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})
        self.admin.call("DELETE", f"{NODES}/{name}", {})

    def clean(self) -> None:
        """Nothing runs any more, and the lab is as it was, whatever a test did."""
        self.api.clear()
        self.proxies.clear()
        for one in self.runs:
            with suppress(AssertionError):
                os.kill(one.watchdog(), signal.SIGKILL)
            one.kill()
            for pipe in (one.process.stdin, one.process.stdout):
                if pipe:
                    with suppress(BrokenPipeError):
                        pipe.close()
        self.remove_node()
        free = {"spec": {"holderIdentity": None}}
        self.admin.call("PATCH", LEASE, free, MERGE)
        for toxic in self.call("GET", f"/proxies/{PROXY}")["toxics"]:
            with suppress(HTTPError):
                self.call("DELETE", f"/proxies/{PROXY}/toxics/{toxic['name']}")
        self.call("POST", f"/proxies/{PROXY}", {"enabled": True})


@contextmanager
def opened(lab_folder: Path, folder: Path, lab: Lab) -> Iterator[Place]:
    """A place in that lab; cleaned at its end."""
    environment = lab_folder / "environment.yaml"
    url = yaml.safe_load(environment.read_text())["toxiproxy"][0]["url"]
    with between(environment, folder) as (api, proxies):
        place = Place(folder, lab, url, api, proxies, admin(lab), environment)
        place.clean()
        place.add_node()
        try:
            yield place
        finally:
            place.clean()
