"""The way to the banks' gateways: one call at a time, never repeated, each behind its breaker."""

import asyncio
import json
import time
from collections.abc import Awaitable, Mapping
from enum import StrEnum
from functools import partial

import aiohttp

from lab.wallet.breaker import Breaker, Permit
from lab.wallet.metrics import Metrics
from lab.wallet.settings import Settings

CONNECTIONS = 256  # to each gateway: a hanging one must not make calls wait for each other
JSON = {"Content-Type": "application/json"}


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    REJECTED = "rejected"  # the bank will never pay this
    TIMEOUT = "timeout"
    REFUSED = "refused"  # no connection: nothing was sent
    RESET = "reset"
    ERROR = "error"

    @property
    def ambiguous(self) -> bool:
        """May the bank have paid, or still pay?"""
        return self in (Outcome.TIMEOUT, Outcome.RESET, Outcome.ERROR)

    @property
    def failed(self) -> bool:
        """Does it speak against the gateway?"""
        return self not in (Outcome.OK, Outcome.REJECTED)


class Gateway:
    """One gateway and its breaker."""

    def __init__(self, name: str, url: str, breaker: Breaker, session: aiohttp.ClientSession):
        self.name = name
        self.breaker = breaker
        self._url = url
        self._session = session

    async def pay(self, payment: Mapping[str, object]) -> Outcome:
        """Ask the bank to pay; takes no longer than the call limit."""
        try:
            async with self._session.post(
                f"{self._url}/payments", data=json.dumps(payment).encode(), headers=JSON
            ) as response:
                await response.read()
                return _outcome(response.status)
        except TimeoutError:
            return Outcome.TIMEOUT
        except aiohttp.ClientConnectorError:
            return Outcome.REFUSED
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError):
            return Outcome.RESET
        except aiohttp.ClientError:
            return Outcome.ERROR

    async def up(self) -> bool:
        """Does the gateway say that it is well? Asked on the path that payments take."""
        try:
            async with self._session.get(f"{self._url}/healthz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


class Gateways:
    """All gateways of one replica, over one session."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, metrics: Metrics):
        self._metrics = metrics
        self._gateways = {
            name: Gateway(
                name,
                url,
                Breaker(
                    settings.limits,
                    time.monotonic,
                    partial(metrics.breaker, name),
                    stuck="breaker-stuck" in settings.defects,
                ),
                session,
            )
            for name, url in settings.gateways.items()
        }

    def admit(self, name: str) -> Permit | None:
        """Leave to call that gateway, or None: its breaker lets no call through."""
        return self._gateways[name].breaker.admit()

    async def pay(
        self,
        name: str,
        permit: Permit,
        payment: Mapping[str, object],
        first: Awaitable[None],
    ) -> Outcome:
        """Wait for what has to come first, then ask that gateway to pay."""
        gateway = self._gateways[name]
        try:
            await first
            began = time.perf_counter()
            outcome = await gateway.pay(payment)
        except BaseException:
            gateway.breaker.release(permit)
            raise
        seconds = time.perf_counter() - began
        gateway.breaker.record(permit, seconds, failed=outcome.failed)
        self._metrics.call(name, outcome, trial=permit.trial, seconds=seconds)
        return outcome

    async def check(self) -> dict[str, bool]:
        """Which gateways are well, all asked at once."""
        answers = await asyncio.gather(*(gateway.up() for gateway in self._gateways.values()))
        return dict(zip(self._gateways, answers, strict=True))


def session(call_limit: float) -> aiohttp.ClientSession:
    """A session whose requests end within so many seconds, connecting included.

    Each request has a connection of its own: Toxiproxy counts the bytes of a connection when it is
    closed, so one that is kept would hide the traffic that it carries.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS, force_close=True),
        timeout=aiohttp.ClientTimeout(total=call_limit),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _outcome(status: int) -> Outcome:
    if status == 201:
        return Outcome.OK
    return Outcome.REJECTED if status in (410, 422) else Outcome.ERROR
