"""A replica as a process: killed in the middle of a transfer, and asked to stop in one."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from holdfast.clock import SECOND, now_ns
from tests.fakes import absent
from tests.wallet_case import Wallet, play, wallet

pytest_plugins = ["tests.wallet_fixtures"]

HOST = "127.9.0.22"
ROOT = Path(__file__).parent.parent
IN_THE_MIDDLE = "SELECT 1 FROM transfers WHERE state IN ('received', 'sent')"


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def replica(
    here: Wallet, defects: str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Wallet]]:
    """Another replica beside this one, in a process of its own, once it is ready."""
    url = absent(HOST)
    settings = here.replica.settings
    variables = {
        "HOST": HOST,
        "PORT": url.rpartition(":")[2],
        "DATABASE_URL": settings.database_url,
        "GATEWAYS": json.dumps(dict(settings.gateways)),
        "BANK_RECORD": settings.bank_record,
        "DEFECTS": defects,
        "AUDIT_LOG": os.devnull,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lab.wallet.api", cwd=ROOT, env={**os.environ, **variables}
    )
    there = replace(here, url=url)
    try:
        await until(lambda: _ready(there))
        yield process, there
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ready(there: Wallet) -> bool:
    try:
        return (await there.get("/healthz/ready"))[0] == 200
    except aiohttp.ClientError:
        return False


async def _kill_in_the_middle(here: Wallet, defects: str) -> None:
    """A replica that is killed while it makes a transfer; later the loop has gone round."""
    here.moods["pix-primary"].now = "silent"

    async def begun() -> bool:
        return bool(await here.sql(IN_THE_MIDDLE))

    async with replica(here, defects) as (process, there):
        asked = asyncio.create_task(there.transfer())
        await until(begun)
        process.kill()
        await process.wait()
        await asyncio.gather(asked, return_exceptions=True)
    await here.sql("UPDATE transfers SET changed_at = changed_at - interval '6 seconds'")
    await here.settling_round()


def test_a_transfer_of_a_killed_replica_is_ended_and_the_money_is_there(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await _kill_in_the_middle(here, "")
            booked = await here.booked()
            assert booked["state"] == "failed"
            assert sum(posting["amount_cents"] for posting in booked["postings"]) == 0
            assert await here.balance() == 100_000_000

    play(story())


def test_with_the_defect_the_money_of_a_killed_replica_is_lost(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await _kill_in_the_middle(here, "money-lost")
            booked = await here.booked()
            assert booked["state"] == "received"
            assert sum(posting["amount_cents"] for posting in booked["postings"]) == -1244
            assert await here.balance() == 100_000_000 - 1244

    play(story())


def test_asked_to_stop_it_finishes_what_is_in_flight(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here, replica(here) as (process, there):
            here.moods["pix-primary"].now = "silent"
            asked = asyncio.create_task(there.transfer())

            async def sent() -> bool:
                return bool(await here.sql(IN_THE_MIDDLE))

            async def not_ready() -> bool:
                return (await there.get("/healthz/ready"))[0] == 503

            await until(sent)
            began = now_ns()
            process.send_signal(signal.SIGTERM)
            await until(not_ready, seconds=1.0)
            code, body = await asked
            assert (code, body["gateway"]) == (201, "pix-backup")
            assert await process.wait() == 0
            assert (now_ns() - began) / SECOND < 10.0

    play(story())
