"""Starts a lab: every piece as soon as what it needs is there, and the wallet last."""

import asyncio
import contextlib
import json
import shutil
import string
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from lab import environment, kubeconfig, platform, postgres, processes, state
from lab.addresses import Lab
from lab.errors import LabError
from lab.kubernetes_api import TRANSIENT, Api
from lab.pieces import Piece, gateway_proxies, pieces
from lab.processes import Launch
from lab.programs import Programs
from lab.state import Running, State

type Tell = Callable[[str, float], None]

_STEPS = ("keys", "database", "certificate", "rights", "nodes")
_LIMIT = 60.0  # seconds for any single piece or step to become good
_ASK = aiohttp.ClientTimeout(total=2)
_EVERY = 0.05
_LINES = 5


class Start:
    """One start of a lab; `tell` is called with each thing that is up and its seconds."""

    def __init__(self, lab: Lab, programs: Programs, tell: Tell) -> None:
        self._lab = lab
        self._programs = programs
        self._tell = tell
        self._cluster = postgres.cluster(lab, programs.postgres)
        self._pieces = pieces(lab, programs, self._cluster)
        names = [*(piece.name for piece in self._pieces), *_STEPS]
        self._up = {name: asyncio.Event() for name in names}
        self._state = State()

    async def run(self, where: Path) -> None:
        """Bring everything up and write the environment file to `where`."""
        shutil.rmtree(self._lab.logs, ignore_errors=True)
        for folder in (self._lab.logs, self._lab.data):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        connector = aiohttp.TCPConnector(ssl=False, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_ASK) as http,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._step("keys", (), self._keys))
            group.create_task(self._step("database", (), self._database))
            group.create_task(self._step("certificate", (), self._certificate))
            for piece in self._pieces:
                group.create_task(self._piece(piece, http))
            await self._with_api(http, where)
        self._remember(complete=True)

    async def _with_api(self, http: aiohttp.ClientSession, where: Path) -> None:
        """What is done through the API server."""
        await self._up["apiserver"].wait()
        async with Api(kubeconfig.access(self._lab, kubeconfig.ADMIN)) as api:
            await self._step("rights", (), lambda: self._rights(api))
            await self._step("nodes", (), lambda: good(lambda: platform.nodes_ready(api), "nodes"))
            await self._step(
                "wallet", ("postgres", "banks", "toxiproxy"), lambda: self._wallet(api)
            )
            await self._step("entrance", ("edge",), lambda: self._entrance(http))
            await self._step("scrapes", ("prometheus",), lambda: self._scrapes(http))
            await self._step(
                "reaper", (), lambda: good(lambda: platform.reaper_looks(api), "reaper")
            )
        await write_environment(self._lab, where)

    async def _step(
        self, name: str, needs: tuple[str, ...], work: Callable[[], Awaitable[None]]
    ) -> None:
        for need in needs:
            await self._up[need].wait()
        began = time.monotonic()
        await work()
        if name in self._up:
            self._up[name].set()
        self._tell(name, time.monotonic() - began)

    async def _piece(self, piece: Piece, http: aiohttp.ClientSession) -> None:
        async def work() -> None:
            popen = self._launch(piece)
            await good(lambda: self._healthy(piece, popen, http), piece.name)

        await self._step(piece.name, piece.needs, work)

    def _launch(self, piece: Piece) -> subprocess.Popen[bytes]:
        log = self._lab.logs / f"{piece.name}.log"
        variables = processes.base_environment(self._lab.id) | dict(piece.environment)
        process, popen = processes.start(Launch(piece.command, log, variables, piece.user))
        running = Running(
            piece.name, piece.version, piece.address, piece.health, process.pid, process.started
        )
        self._state = State((*self._state.pieces, running))
        self._remember(complete=False)
        return popen

    def _remember(self, *, complete: bool) -> None:
        order = [piece.name for piece in self._pieces]
        known = sorted(self._state.pieces, key=lambda running: order.index(running.name))
        self._state = State(tuple(known), complete)
        state.write(self._lab, self._state)

    async def _healthy(
        self, piece: Piece, popen: subprocess.Popen[bytes], http: aiohttp.ClientSession
    ) -> bool:
        if popen.poll() is not None:
            log = self._lab.logs / f"{piece.name}.log"
            raise LabError(
                piece.name, f"it ended by itself ({popen.returncode}): {_tail(log)}", f"Read {log}"
            )
        return await healthy(self._lab, piece.health, http)

    async def _keys(self) -> None:
        kubeconfig.write_identities(self._lab)
        proxies = json.dumps(gateway_proxies(self._lab))
        (self._lab.data / "toxiproxy.json").write_text(proxies)
        here = Path(__file__).parent
        shutil.copy(here / "rules.yaml", self._lab.data)
        template = string.Template((here / "prometheus.yaml").read_text())
        config = template.substitute(
            edge=self._lab.edge_admin,
            toxiproxy=self._lab.toxiproxy,
            banks=self._lab.banks,
            kubeconfig=kubeconfig.path_of(self._lab, kubeconfig.PROMETHEUS),
        )
        (self._lab.data / "prometheus.yaml").write_text(config)

    async def _certificate(self) -> None:
        """The API server makes it long before it serves."""

        async def there() -> bool:
            return kubeconfig.certificate(self._lab).exists()

        await good(there, "the API server's certificate")

    async def _database(self) -> None:
        await asyncio.to_thread(postgres.create, self._lab, self._programs.postgres, self._cluster)

    async def _rights(self, api: Api) -> None:
        await platform.apply(api, platform.manifests("rights", self._lab))
        await platform.apply(api, platform.deployed())
        content = environment.document(self._lab, "in-cluster", await platform.cluster_uid(api))
        await platform.apply(api, [platform.config_map(content)])

    async def _wallet(self, api: Api) -> None:
        await platform.apply(api, platform.manifests("wallet", self._lab))
        await good(lambda: platform.rolled_out(api), "the wallet's rollout")

    async def _entrance(self, http: aiohttp.ClientSession) -> None:
        await good(lambda: self._answers(http), "the wallet behind the edge")

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        """Does the edge know every replica, and does each answer a customer in turn?"""
        if await platform.edge_sees(http, self._lab) != platform.REPLICAS:
            return False
        url = f"http://{self._lab.entrance}/accounts/acc-0001/balance"
        for _ in range(platform.REPLICAS):
            async with http.get(url) as answer:
                if answer.status != 200:
                    return False
        return True

    async def _scrapes(self, http: aiohttp.ClientSession) -> None:
        await good(lambda: platform.prometheus_scrapes(http, self._lab), "Prometheus' scrapes")


async def write_environment(lab: Lab, where: Path) -> None:
    """Tell holdfast of a running lab, with a fresh token of its service account."""
    async with Api(kubeconfig.access(lab, kubeconfig.ADMIN)) as api:
        uid = await platform.cluster_uid(api)
        access = await platform.holdfast_kubeconfig(api, lab)
    environment.write(where, environment.document(lab, str(access), uid))


async def healthy(lab: Lab, health: str, http: aiohttp.ClientSession) -> bool:
    """Does the piece answer its health check?"""
    if health.startswith("postgresql:"):
        return await postgres.ready(lab)
    async with http.get(health) as answer:
        return answer.status == 200


async def good(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Repeat the check until it is true."""
    end = time.monotonic() + _LIMIT
    why = "not yet"
    while time.monotonic() < end:
        try:
            if await check():
                return
        except TRANSIENT as error:
            why = repr(error)
        await asyncio.sleep(_EVERY)
    raise LabError(
        what,
        f"not good after {_LIMIT:.0f} s ({why})",
        "Look into it with `python -m lab logs NAME`",
    )


def _tail(log: Path) -> str:
    """The last lines of a log."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()[-_LINES:]
        return " | ".join(lines)
    return "no log"
