"""The banks' side: three gateways and one settlement record. Run as `python -m lab.wallet.banks`.

A payment is settled at most once by its end-to-end id, at whichever gateway it arrives first, and
never after it was voided. The record lives in memory, as long as the process does.
"""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

import prometheus_client
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, generate_latest

PORTS = {"record": 8100, "pix-primary": 8101, "pix-backup": 8102, "ted": 8103}
SETTLE_SECONDS = {"pix-primary": 0.02, "pix-backup": 0.02, "ted": 0.06}
LARGEST_CENTS = 100_000_000  # the banks reject more than a million at once

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped


@dataclass(frozen=True)
class Settlement:
    """Money that moved; the instant in Unix seconds."""

    end_to_end_id: str
    gateway: str
    amount_cents: int
    settled_at: float


class Record:
    """What was settled and what was voided, by end-to-end id."""

    def __init__(self) -> None:
        self._settled: dict[str, Settlement] = {}
        self._void: set[str] = set()

    def settle(self, end_to_end_id: str, gateway: str, amount_cents: int) -> Settlement | None:
        """Move the money, or find that it was moved before; None when the payment is void."""
        if end_to_end_id in self._void:
            return None
        new = Settlement(end_to_end_id, gateway, amount_cents, time.time())
        return self._settled.setdefault(end_to_end_id, new)

    def void(self, end_to_end_id: str) -> Settlement | None:
        """Make the payment impossible; or, when it was made, give the settlement."""
        settlement = self._settled.get(end_to_end_id)
        if settlement is None:
            self._void.add(end_to_end_id)
        return settlement

    def state(self, end_to_end_id: str) -> tuple[str, Settlement | None]:
        """`settled`, `voided` or `absent`."""
        if settlement := self._settled.get(end_to_end_id):
            return "settled", settlement
        return "voided" if end_to_end_id in self._void else "absent", None

    def since(self, instant: float) -> list[Settlement]:
        """Every settlement from that instant (Unix seconds) on, in order."""
        return [one for one in self._settled.values() if one.settled_at >= instant]


class Banks:
    """The record and its doors."""

    def __init__(self) -> None:
        self.record = Record()
        self._registry = CollectorRegistry()
        self._payments = Counter(
            "bank_payments",
            "Payments asked for.",
            ["gateway", "outcome"],
            registry=self._registry,
        )
        for gateway in SETTLE_SECONDS:
            for outcome in ("settled", "rejected", "voided"):
                self._payments.labels(gateway, outcome)

    def gateway(self, name: str) -> web.Application:
        """One bank's gateway."""

        async def pay(request: web.Request) -> web.Response:
            outcome, code, settlement = await self._pay(name, await request.read())
            self._payments.labels(name, outcome).inc()
            return _payment(outcome, settlement, code)

        application = self._common()
        application.router.add_post("/payments", pay)
        return application

    def record_door(self) -> web.Application:
        """Where the record is read, and payments are voided when a gateway is down."""
        application = self._common()
        application.router.add_get("/settlements", self._settlements)
        application.router.add_get("/metrics", self._metrics)
        return application

    def _common(self) -> web.Application:
        application = web.Application(client_max_size=64 * 1024)
        application.router.add_get("/healthz", _healthz)
        application.router.add_get("/payments/{id}", self._state)
        application.router.add_post("/payments/{id}/void", self._void)
        return application

    async def _pay(self, gateway: str, body: bytes) -> tuple[str, int, Settlement | None]:
        asked = _asked(body)
        if asked is None:
            return "rejected", 422, None
        await asyncio.sleep(SETTLE_SECONDS[gateway])
        settlement = self.record.settle(asked[0], gateway, asked[1])
        if settlement is None:
            return "voided", 410, None
        if settlement.amount_cents != asked[1]:
            return "rejected", 422, settlement
        return "settled", 201, settlement

    async def _state(self, request: web.Request) -> web.Response:
        state, settlement = self.record.state(request.match_info["id"])
        return _payment(state, settlement, 404 if state == "absent" else 200)

    async def _void(self, request: web.Request) -> web.Response:
        settlement = self.record.void(request.match_info["id"])
        if settlement:
            return _payment("settled", settlement, 409)
        return _payment("voided", None, 200)

    async def _settlements(self, request: web.Request) -> web.Response:
        try:
            since = float(request.query.get("since", "0"))
        except ValueError:
            return web.json_response({"error": "since: expected Unix seconds"}, status=400)
        lines = "".join(f"{json.dumps(vars(one))}\n" for one in self.record.since(since))
        return web.Response(text=lines, content_type="application/x-ndjson")

    async def _metrics(self, _: web.Request) -> web.Response:
        text = generate_latest(self._registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})


def _asked(body: bytes) -> tuple[str, int] | None:
    """The end-to-end id and the cents, or None when the banks reject the payment."""
    try:
        asked = json.loads(body)
        end_to_end_id, cents = asked["end_to_end_id"], asked["amount_cents"]
    except (ValueError, TypeError, KeyError):
        return None
    well = isinstance(end_to_end_id, str) and len(end_to_end_id) == 32 and type(cents) is int
    return (end_to_end_id, cents) if well and 0 < cents <= LARGEST_CENTS else None


def _payment(state: str, settlement: Settlement | None, code: int) -> web.Response:
    body: dict[str, Any] = {"state": state}
    if settlement:
        body |= asdict(settlement)
    return web.Response(
        body=json.dumps(body).encode(), status=code, content_type="application/json"
    )


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def open_doors(banks: Banks, host: str, ports: Mapping[str, int]) -> AsyncExitStack:
    """Listen at every door until the stack is closed."""
    stack = AsyncExitStack()
    for name, port in ports.items():
        door = banks.record_door() if name == "record" else banks.gateway(name)
        runner = web.AppRunner(door, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host, port).start()
    return stack


async def serve(host: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    async with await open_doors(Banks(), host, PORTS):
        await asked_to_stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uvloop.run(serve(os.environ.get("HOST", "127.0.0.1")))
