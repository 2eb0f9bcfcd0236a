"""What the wallet's tests share: a real PostgreSQL, and a wallet between real small servers."""

import asyncio
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from aiohttp import web

from lab import postgres
from lab.addresses import Lab
from lab.wallet.api import Replica
from lab.wallet.banks import Banks
from lab.wallet.breaker import Limits
from lab.wallet.settings import GATEWAYS, Settings, SlowStart

HOST = "127.9.0.20"
LIMITS = Limits(slow_seconds=0.2, call_limit=0.4)


@dataclass
class Postgres:
    """A running server."""

    address: str
    _numbers: Iterator[int] = field(default_factory=count)

    def new_database(self) -> str:
        """The URL of fresh, empty books: a schema, which takes no time to make."""
        name = f"test_{next(self._numbers)}"
        url = f"postgresql://wallet@{self.address}/wallet"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{url}?options=-csearch_path%3D{name}"


def postgres_programs() -> Path:
    """The folder with `initdb` and `postgres`: on PATH, in the system, or in the lab's cache."""
    places = [Path("/usr/lib/postgresql"), Path.home() / ".cache/holdfast"]
    found = [path for place in places for path in sorted(place.glob("**/bin/initdb"))]
    if on_path := shutil.which("initdb"):
        found.insert(0, Path(on_path).resolve())
    if not found:
        pytest.fail("no PostgreSQL: install it, or run `make build`")
    return found[0].parent


@contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    """A server of its own for this test session, as root or as an ordinary user."""
    lab = Lab(128 + os.getpid() % 100, folder)
    cluster = postgres.cluster(lab, postgres_programs())
    cluster.data.parent.mkdir(parents=True, exist_ok=True)
    postgres.create(lab, postgres_programs(), cluster)
    owner = pwd.getpwnam(cluster.user) if cluster.user else None
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            cluster.command(lab.postgres),
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            cwd="/",
            stdout=log,
            stderr=log,
        )
    try:
        asyncio.run(_ready(lab, process))
        yield Postgres(lab.postgres)
    finally:
        process.terminate()
        process.wait(20)
        postgres.remove(lab)


async def _ready(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(30):
        while not await postgres.ready(lab):
            assert process.poll() is None, "PostgreSQL has ended: see postgres.log"
            await asyncio.sleep(0.05)


class Mood:
    """How a gateway behaves: `well`, `pays silently`, `silent`, `breaks` or `fails`."""

    def __init__(self) -> None:
        self.now = "well"
        self.asked = 0

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Let the bank answer, or get in the way."""
        self.asked += request.method == "POST"
        if self.now in ("well", "pays silently"):
            response: web.StreamResponse = await handler(request)
            if self.now == "well":
                return response
        if self.now == "fails":
            return web.Response(status=500)
        if self.now != "breaks":
            await asyncio.sleep(2 * LIMITS.call_limit)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@dataclass
class Wallet:
    """A replica, the banks behind it, and a customer's connection to it."""

    url: str
    replica: Replica
    banks: Banks
    moods: Mapping[str, Mood]
    http: aiohttp.ClientSession

    async def transfer(
        self, key: str = "key-1", rail: str = "pix", /, **order: Any
    ) -> tuple[int, dict[str, Any]]:
        """Ask for a transfer of 12.34; the status and the body of the answer."""
        asked = {"account": "acc-0001", "payee": "ext-0001", "amount_cents": 1234, **order}
        headers = {"Idempotency-Key": key}
        async with self.http.post(
            f"{self.url}/transfers/{rail}", json=asked, headers=headers
        ) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, str]:
        """The status and the text of what is found there."""
        async with self.http.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def balance(self, account: str = "acc-0001") -> int:
        """The cents of an account."""
        _, text = await self.get(f"/accounts/{account}/balance")
        return int(json.loads(text)["balance_cents"])

    async def metric(self, series: str) -> float:
        """The value of one series, named as Prometheus prints it."""
        _, text = await self.get("/metrics")
        (value,) = [line.split()[-1] for line in text.splitlines() if line.startswith(f"{series} ")]
        return float(value)

    async def booked(self, key: str = "key-1") -> dict[str, Any]:
        """What the books say of a transfer."""
        return {line["id"]: line for line in await self.lines()}[key]

    async def lines(self, since: float = 0) -> list[dict[str, Any]]:
        """Every transfer since then."""
        _, text = await self.get(f"/ledger/transfers?since={since}")
        return [json.loads(line) for line in text.splitlines()]

    async def settling_round(self) -> int:
        """Let the settling loop go round once."""
        return await self.replica.settler.round(self.replica.audit)

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Look into the books, or change them, behind the wallet's back."""
        url = self.replica.settings.database_url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            done = await connection.execute(statement.encode())
            return await done.fetchall() if done.description else []

    def paid(self) -> list[tuple[str, str, int]]:
        """Money that moved at the banks: end-to-end id, gateway, cents."""
        record = self.banks.record.since(0)
        return [(one.end_to_end_id, one.gateway, one.amount_cents) for one in record]


async def listening(application: web.Application, runners: list[web.AppRunner]) -> str:
    """Serve the application on a free port; its URL."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    runners.append(runner)
    await web.TCPSite(runner, HOST, 0).start()
    return f"http://{HOST}:{runner.addresses[0][1]}"


@asynccontextmanager
async def wallet(
    database: str, *defects: str, limits: Limits = LIMITS, **more: Any
) -> AsyncIterator[Wallet]:
    """A wallet whose background work stands still: tests move it on."""
    runners: list[web.AppRunner] = []
    banks = Banks()
    moods = {name: Mood() for name in GATEWAYS}
    urls = {}
    for name in GATEWAYS:
        door = banks.gateway(name)
        door.middlewares.append(moods[name].middleware)
        urls[name] = await listening(door, runners)
    record = await listening(banks.record_door(), runners)
    settings = Settings(
        host=HOST,
        port=0,
        database_url=database,
        gateways={**urls, **more.pop("gateways", {})},
        bank_record=more.pop("bank_record", record),
        limits=limits,
        defects=frozenset(defects),
        slow_start=more.pop("slow_start", SlowStart(None, 90.0)),
        pod="wallet-1",
        zone="sa-east-1a",
        audit_log=more.pop("audit_log", Path(os.devnull)),
    )
    replica = Replica(settings)
    await replica.ledger.open()
    url = await listening(replica.application(), runners)
    async with aiohttp.ClientSession() as http:
        try:
            yield Wallet(url, replica, banks, moods, http)
        finally:
            await replica.close()
            for runner in reversed(runners):
                await runner.cleanup()


def play(story: Coroutine[Any, Any, None]) -> None:
    """Run a story to its end."""
    asyncio.run(story)
