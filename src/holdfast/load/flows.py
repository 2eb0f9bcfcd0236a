"""A journey that Python makes, in the same open loop: for what requests and steps cannot say.

Each request has a connection of its own, so that aiohttp never sends one again in secret. A journey
of requests costs less, where it can say the same.
"""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from holdfast.clock import now_ns
from holdfast.errors import InvalidInput
from holdfast.load.scripts import MARK, Exchange, Script
from holdfast.redact import redacted

if TYPE_CHECKING:
    import ssl

    import aiohttp

type Settle = Callable[[Exchange, str, int], None]
type Function = Callable[["aiohttp.ClientSession", dict[str, Any]], Awaitable[int]]


class Flow(Script):
    """A function `async def journey(session, values)` that answers with the last HTTP status."""

    def __init__(
        self, name: str, journey: Mapping[str, Any], plan: Mapping[str, Any], run_id: str
    ) -> None:
        super().__init__(name, journey, plan, run_id)
        self._function = _function(journey["python"])
        self._status = frozenset(journey["good"]["status"])
        self._url, self._run_id = plan["url"], run_id
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()

    def send(self, exchange: Exchange, tls: "ssl.SSLContext | None", settle: Settle) -> None:
        """Begin the journey at once; it is settled when the function has ended."""
        if self._session is None:
            self._session = _session(self._url, tls, self._run_id)
        exchange.sent_ns = now_ns()
        exchange.written = True
        task = asyncio.get_running_loop().create_task(self._go(exchange, settle))
        exchange.drop = task.cancel
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _go(self, exchange: Exchange, settle: Settle) -> None:
        import aiohttp

        code = 0
        try:
            assert self._session
            code = await self._function(self._session, dict(exchange.values))
            outcome = "ok" if code in self._status else "wrong"
        except aiohttp.ClientConnectorError:
            exchange.written = False
            outcome = "connect"
        except TimeoutError:
            outcome = "timeout"
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError):
            outcome = "reset"
        except Exception as error:  # noqa: BLE001  # whatever a user's function raises, it was not good
            outcome = "wrong"
            self._tell(error)
        settle(exchange, outcome, code if isinstance(code, int) else 0)

    def _tell(self, error: Exception) -> None:
        """Each kind of error once: the log is no record of requests."""
        kind = type(error).__name__
        if kind not in self._told:
            self._told.add(kind)
            print(redacted(f"holdfast.load: {self.name}: {kind}: {error}"), file=sys.stderr)


def _function(name: str) -> Function:
    module, _, function = name.rpartition(".")
    step = "Install it where holdfast runs, and write `async def journey(session, values)`"
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"python: {name}", str(error), step) from None
    if not inspect.iscoroutinefunction(found):
        raise InvalidInput(f"python: {name}", "it is no `async def` function", step)
    return cast("Function", found)


def _session(url: str, tls: "ssl.SSLContext | None", run_id: str) -> "aiohttp.ClientSession":
    import aiohttp

    return aiohttp.ClientSession(
        base_url=url,
        connector=aiohttp.TCPConnector(limit=0, force_close=True, ssl=tls or True),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "holdfast", MARK: run_id},
        timeout=aiohttp.ClientTimeout(total=None),
    )
