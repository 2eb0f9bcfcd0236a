"""What unit tests start from: real small servers on 127.10.0.x, and a run's folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from holdfast import lock
from holdfast.clock import until
from holdfast.context import KEY, Context
from holdfast.documents import Environment, recorded
from holdfast.store import Run
from lab import processes
from lab.cache import Cache
from lab.programs import Sources, wanted_go, wanted_programs
from lab.progress import Progress
from tests.fakes import FakeKubernetes, FakePrometheus, absent, serving

TOXIPROXY_HOST = "127.10.0.11"
settings.register_profile("untimed", deadline=None)  # how fast something is, benchmarks say
settings.load_profile("untimed")
MEASURING = {"test_experiments", "test_controls"}  # on a lab that no other test breaks
WITHOUT_A_LAB = {"test_edge", "test_guard_queries"}
SERVING = {"kubernetes", "prometheus", "toxiproxy_program", "postgres", "server", "sent"}
OUTSIDE = {"socket.connect", "socket.bind", "subprocess.Popen", "os.posix_spawn", "os.fork"}


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """With `-n 3`, unit tests run beside two labs and their tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    """Which process runs a test: that of `measuring`, of `systems`, or of `unit`."""
    path = PurePath(nodeid.partition("::")[0])
    if path.parent.name != "lab" or path.stem in WITHOUT_A_LAB:
        return "unit"
    return "measuring" if path.stem in MEASURING else "systems"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SideBySide | None:
    """Each group is handed out whole; unit tests that share nothing go to any process."""
    return None if config.option.markexpr == "not integration" else SideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever is given a server, or a lab, is no unit test."""
    for item in items:
        given = SERVING.intersection(getattr(item, "fixturenames", ()))
        if given or item.path.parent.name == "lab":
            item.add_marker(pytest.mark.integration)


_alone: ContextVar[bool] = ContextVar("alone", default=False)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event in OUTSIDE and _alone.get():
        raise AssertionError(f"a unit test must not {event}: mark it `integration` ({arguments})")


sys.addaudithook(_look)


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """A unit test opens no socket and starts no process."""
    before = _alone.set(request.node.get_closest_marker("integration") is None)
    yield
    _alone.reset(before)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What measures goes first, then the other lab, then unit tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        nice = {"measuring": 0, "systems": 5, "unit": 5}[group(item.nodeid)]
        if os.getpriority(os.PRIO_PROCESS, 0) < nice:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            os.setsid()
            processes.yield_as_session(os.getpid(), nice)


@pytest.fixture
def kubernetes() -> Iterator[FakeKubernetes]:
    """Three zones with a node each, and a wallet pod on every node."""
    fake = FakeKubernetes()
    for letter in "abc":
        fake.add_node(f"node-{letter}", f"sa-east-1{letter}")
        fake.add_pod(f"wallet-{letter}", f"node-{letter}")
    with serving("127.10.0.2", fake.answer, fake.accepted) as url:
        fake.url = url
        yield fake


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    """A Prometheus that answers well."""
    fake = FakePrometheus()
    with serving("127.10.0.13", fake.answer) as url:
        fake.url = url
        yield fake


@dataclass
class RealToxiproxy:
    """A running Toxiproxy, and its API without anything of ours in between."""

    url: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call to its API; an answer other than 2xx raises."""
        data = json.dumps(body).encode() if body is not None else None
        with urlopen(Request(self.url + path, data, method=method), timeout=5) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def create(self, name: str, upstream: str = "127.10.0.12:9") -> str:
        """Create a proxy; answers with the address that it listens on."""
        listen = f"{TOXIPROXY_HOST}:0"
        proxy = {"name": name, "listen": listen, "upstream": upstream, "enabled": True}
        return str(self.call("POST", "/proxies", proxy)["listen"])

    def toxics(self, proxy: str) -> list[dict[str, Any]]:
        """The toxics of a proxy."""
        return list(self.call("GET", f"/proxies/{proxy}")["toxics"])

    def enabled(self, proxy: str) -> bool:
        """Does the proxy listen?"""
        return bool(self.call("GET", f"/proxies/{proxy}")["enabled"])

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(5)


@pytest.fixture(scope="session")
def toxiproxy_program() -> Path:
    """Where the program is: HOLDFAST_TOXIPROXY says, or the lab finds it, or builds it."""
    if named := os.environ.get("HOLDFAST_TOXIPROXY"):
        return Path(named)
    wanted = [one for one in wanted_programs() if one.name == "toxiproxy-server"]
    with Progress() as progress:
        return Sources(Cache.of_user(), progress).obtain(wanted, wanted_go()).toxiproxy


@pytest.fixture
def start_toxiproxy(
    toxiproxy_program: Path, tmp_path: Path
) -> Iterator[Callable[[], RealToxiproxy]]:
    """Start as many Toxiproxies as wanted; they end with the test."""
    started: list[RealToxiproxy] = []

    def start() -> RealToxiproxy:
        url = absent(TOXIPROXY_HOST)
        port = url.rpartition(":")[2]
        command = [str(toxiproxy_program), "-host", TOXIPROXY_HOST, "-port", port]
        with (tmp_path / "toxiproxy.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        started.append(RealToxiproxy(url, process))
        assert until(lambda: _answers(started[-1]), seconds=10, every=0.01)
        return started[-1]

    yield start
    for one in started:
        one.stop()


def _answers(toxiproxy: RealToxiproxy) -> bool:
    try:
        return bool(toxiproxy.call("GET", "/version"))
    except OSError:
        return False


@pytest.fixture
def toxiproxy(start_toxiproxy: Callable[[], RealToxiproxy]) -> RealToxiproxy:
    """A real Toxiproxy with the proxies `pix-primary` and `ted`."""
    started = start_toxiproxy()
    for name in ("pix-primary", "ted"):
        started.create(name)
    return started


@pytest.fixture
def make_here(tmp_path: Path, kubernetes: FakeKubernetes) -> Callable[..., Context]:
    """Make a run that has the lock; `policy` and the places of systems can be given."""

    def make(
        kubeconfig: Path | str = "", toxiproxies: list[str] | None = None, **policy: Any
    ) -> Context:
        kubeconfig = kubeconfig or kubernetes.kubeconfig(tmp_path)
        document = {
            "name": "unit",
            "kind": "laboratory",
            "kubernetes": {"kubeconfig": str(kubeconfig), "cluster_uid": "cluster-1"},
            "prometheus": {"url": "http://127.10.0.13:9"},
            "toxiproxy": [{"url": url} for url in toxiproxies or []],
            "customers": {"url": "http://127.10.0.10:9", "values": {}},
            "workload": {"namespace": "wallet", "selector": "app=wallet-api"},
            "breakers": {"pix-primary": {"failures": 10, "call_limit": 2.0}},
            "policy": {"namespaces": ["wallet"], "proxies": ["pix-primary"], **policy},
        }
        environment = recorded(Environment, document, "environment")
        run = Run.create(tmp_path / "runs", "unit")
        run.write_json("plan.json", {"environment": environment.model_dump(mode="json")})
        if str(kubeconfig) != "none":
            kubernetes.leases.clear()
            lock.acquire(run, environment)
        return Context(run, environment)

    return make


@pytest.fixture
def wallet(
    kubernetes: FakeKubernetes, tmp_path: Path, make_here: Callable[..., Context]
) -> Callable[..., Context]:
    """Make a run against the fake Kubernetes API."""
    return lambda **more: make_here(kubeconfig=kubernetes.kubeconfig(tmp_path), **more)


def configured(here: Context) -> dict[str, Any]:
    """Chaos Toolkit's configuration as `holdfast run` makes it."""
    return {KEY: str(here.run.folder)}


def written(here: Context, folder: Path) -> Path:
    """The run's environment as a file that a person would write."""
    document = here.environment.model_dump(mode="json", exclude_defaults=True)
    document["policy"].pop("max_hold")
    for breaker in document["breakers"].values():
        breaker["call_limit"] = f"{breaker['call_limit']:g}s"
    path = folder / "environment.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
