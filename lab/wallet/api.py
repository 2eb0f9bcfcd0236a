"""One replica of the wallet: HTTP in, transfers out. Run as `python -m lab.wallet.api`."""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import uvloop
from aiohttp import web

from lab.wallet import gateways as banks
from lab.wallet.audit import Audit
from lab.wallet.health import Health
from lab.wallet.ledger import Ledger
from lab.wallet.metrics import TYPE, Metrics
from lab.wallet.settings import GATEWAYS, Settings
from lab.wallet.settle import Settler
from lab.wallet.transfer import Order, Transfer
from lab.wallet.transfers import OtherOrderError, Transfers

LATEST = 1e11  # Unix seconds: the year 5138
STILL_SERVING_SECONDS = 2.0  # after SIGTERM: until every entrance has heard that it is not ready
FINISH_SECONDS = 6.0  # both together stay below the grace period of the manifest

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


class Replica:
    """Everything that one replica is made of."""

    def __init__(self, settings: Settings) -> None:
        defects = settings.defects
        self.settings = settings
        self.metrics = Metrics(GATEWAYS, banks.Outcome)
        self.audit = Audit(settings.audit_log, settings.pod, settings.zone)
        self.ledger = Ledger(settings.database_url, settings.pod, halved="money-lost" in defects)
        self.session = banks.session(settings.limits.call_limit)
        self.gateways = banks.Gateways(settings, self.session, self.metrics)
        self.transfers = Transfers(
            self.ledger,
            self.gateways,
            self.metrics,
            self.audit,
            pays_twice="pays-twice" in defects,
        )
        self.health = Health(self.ledger, settings.slow_start if "slow-start" in defects else None)
        self.settler = Settler(self.ledger, self.session, settings.bank_record, self.metrics)

    async def close(self) -> None:
        """Give back connections and files; nothing may be under way any more."""
        await self.session.close()
        await self.ledger.close()
        self.audit.close()

    def application(self) -> web.Application:
        """Its routes."""
        application = web.Application(client_max_size=64 * 1024)
        application.add_routes(
            [
                web.get(
                    "/accounts/{account}/balance",
                    self._timed(self._balance, "GET /accounts/:id/balance"),
                ),
                web.post("/transfers/pix", self._timed(self._pix, "POST /transfers/pix")),
                web.post("/transfers/ted", self._timed(self._ted, "POST /transfers/ted")),
                web.get("/ledger/transfers", self._ledger_lines),
                web.get("/ledger/sums", self._timed(self._ledger_sums, "GET /ledger/sums")),
                web.get("/healthz/live", self._live),
                web.get("/healthz/ready", self._ready),
                web.get("/healthz/gateways", self._gateways),
                web.get("/metrics", self._metrics),
            ]
        )
        return application

    def _timed(self, handler: Handler, route: str) -> Handler:
        async def timed(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            try:
                response = await handler(request)
            except (psycopg.Error, TimeoutError) as error:
                log.warning("%s: %r", route, error)
                response = _json({"error": "the ledger cannot be reached"}, 503)
            if self.health.stopping:
                response.force_close()
            self.metrics.request(route, response.status, time.perf_counter() - began)
            return response

        return timed

    async def _balance(self, request: web.Request) -> web.Response:
        account = request.match_info["account"]
        cents = await self.ledger.balance(account)
        if cents is None:
            return _json({"error": f"{account}: no such account"}, 404)
        return _json({"account": account, "balance_cents": cents})

    async def _pix(self, request: web.Request) -> web.Response:
        return await self._transfer(request, "pix")

    async def _ted(self, request: web.Request) -> web.Response:
        return await self._transfer(request, "ted")

    async def _transfer(self, request: web.Request, rail: str) -> web.Response:
        began = time.perf_counter()
        try:
            order = _order(request.headers, await request.read(), rail)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        try:
            transfer = await self.transfers.make(order)
        except OtherOrderError:
            return _json({"error": "this Idempotency-Key belongs to another order"}, 409)
        body, code = _answer(transfer)
        self.metrics.transfer(rail, body["state"], time.perf_counter() - began)
        return _json(body, code)

    async def _ledger_lines(self, request: web.Request) -> web.StreamResponse:
        since = _since(request)
        if since is None:
            return _json({"error": "since: expected Unix seconds"}, 400)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        async for block in self.ledger.lines(since):
            await response.write(block)
        await response.write_eof()
        return response

    async def _ledger_sums(self, request: web.Request) -> web.Response:
        since = _since(request)
        if since is None:
            return _json({"error": "since: expected Unix seconds"}, 400)
        line = json.dumps({"postings_cents": await self.ledger.sum(since)})
        return web.Response(text=f"{line}\n", content_type="application/x-ndjson")

    async def _live(self, _: web.Request) -> web.Response:
        return _json({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        ready = await self.health.ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def _gateways(self, _: web.Request) -> web.Response:
        return _json({"gateways": self.health.gateways, "checked_at": self.health.checked_at})

    async def _metrics(self, _: web.Request) -> web.Response:
        if "metrics-silent" in self.settings.defects:
            return web.Response(status=503)
        return web.Response(body=self.metrics.text(), headers={"Content-Type": TYPE})


def _since(request: web.Request) -> float | None:
    """From when on rows are wanted, in Unix seconds; None when that is no time."""
    try:
        since = float(request.query.get("since", "0"))
    except ValueError:
        return None
    return since if 0 <= since < LATEST else None


def _json(body: dict[str, Any], code: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(body).encode(), status=code, content_type="application/json"
    )


def _order(headers: Any, body: bytes, rail: str) -> Order:
    """The order that a request asks for.

    Raises:
        ValueError: the key is missing, or the body is not what it should be.
    """
    key = headers.get("Idempotency-Key", "")
    asked = json.loads(body)
    if not 0 < len(key) <= 128:
        raise ValueError("Idempotency-Key: expected 1 to 128 characters")
    if not isinstance(asked, dict) or set(asked) != {"account", "payee", "amount_cents"}:
        raise ValueError("expected account, payee and amount_cents")
    account, payee, cents = asked["account"], asked["payee"], asked["amount_cents"]
    if not isinstance(account, str) or not isinstance(payee, str):
        raise ValueError("account, payee: expected text")
    if type(cents) is not int or not 0 < cents < 10**15:
        raise ValueError("amount_cents: expected a positive whole number")
    return Order(key, rail, account, payee, cents)


def _answer(transfer: Transfer) -> tuple[dict[str, Any], int]:
    """What the customer is told; a transfer under way is one of unknown outcome."""
    if transfer.state == "refused":
        return {"state": "refused", "reason": transfer.reason}, 422
    if transfer.state == "failed":
        return {"state": "failed", "end_to_end_id": transfer.end_to_end_id}, 502
    settled = transfer.state == "settled"
    return {
        "end_to_end_id": transfer.end_to_end_id,
        "state": "settled" if settled else "unknown",
        "gateway": transfer.gateway,
        "fee_cents": transfer.fee_cents,
    }, 201 if settled else 202


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    async with AsyncExitStack() as stack:
        replica = Replica(settings)
        stack.push_async_callback(replica.close)
        await replica.ledger.open()
        await stack.enter_async_context(_listening(replica))
        await _work(replica, asked_to_stop)
        replica.health.stopping = True
        await asyncio.sleep(STILL_SERVING_SECONDS)


@asynccontextmanager
async def _listening(replica: Replica) -> AsyncIterator[None]:
    runner = web.AppRunner(replica.application(), access_log=None, shutdown_timeout=FINISH_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, replica.settings.host, replica.settings.port).start()
        yield
    finally:
        await runner.cleanup()


async def _work(replica: Replica, asked_to_stop: asyncio.Event) -> None:
    """Run what runs in the background until asked to stop; what it raises ends the replica."""
    stop = asyncio.create_task(asked_to_stop.wait())
    background = [
        asyncio.create_task(replica.settler.run(replica.audit)),
        asyncio.create_task(replica.health.watch(replica.gateways, replica.metrics)),
    ]
    done, waiting = await asyncio.wait({stop, *background}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        task.result()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uvloop.run(serve(Settings.read(os.environ)))
