"""Keep-alive connections: many, short-lived, and never a reason for a request to wait."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.clock import SECOND, now_ns
from holdfast.load.answers import Answer
from holdfast.load.scripts import Ready, Script

OPEN = 50  # connections that are kept open at least
MAX_AGE = 5 * SECOND
MAX_REQUESTS = 100
# At most so many at one `tidy`: no request waits for them, and a refusing server is not flooded.
_OPEN = 2
_CLOSE = 50


def _nothing() -> None:
    pass


@dataclass(slots=True, eq=False)
class Exchange:
    """One request on its way, until it is settled exactly once."""

    script: Script
    scheduled_ns: int
    ready: Ready
    sent_ns: int = 0  # when the customer acted: wrote, or began to connect
    written: bool = False
    settled: bool = False
    drop: Callable[[], object] = field(default=_nothing)


type Settle = Callable[[Exchange, str, int], None]


class Connection(asyncio.Protocol):
    """One connection. It carries one request at a time, and none twice."""

    def __init__(self, pool: "Pool", max_age: int) -> None:
        self._pool = pool
        self._expires = now_ns() + max_age
        self._requests = 0
        self._exchange: Exchange | None = None
        self._answer = Answer()
        self.transport: asyncio.Transport | None = None
        self.closed = False

    def usable(self) -> bool:
        """May it carry one more request?"""
        young = self._requests < MAX_REQUESTS and now_ns() < self._expires
        return young and not self.closed

    def send(self, exchange: Exchange) -> None:
        """Write the request."""
        assert self.transport
        self._requests += 1
        self._exchange = exchange
        self._answer = Answer()
        exchange.drop = self.transport.abort
        exchange.written = True
        self.transport.write(exchange.ready.data)

    def close(self) -> None:
        """Close it; it carries no more requests."""
        self.closed = True
        if self.transport:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop connected it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; of no answer at all when nothing was asked."""
        if self._exchange is None:
            self.close()
            return
        try:
            complete = self._answer.feed(data)
        except ValueError:
            self._settle("wrong", self._answer.code)
            self.close()
            return
        if complete:
            self._answered()
            self._pool.release(self, keep=self._answer.keep)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: an answer may end so, a request without one was reset."""
        self.closed = True
        if exc is None and self._exchange and self._ends():
            self._answered()
        self._settle("reset", 0)
        self._pool.lost()

    def _ends(self) -> bool:
        try:
            return self._answer.end()
        except ValueError:
            return False

    def _answered(self) -> None:
        if self._exchange:
            good = self._exchange.script.good(self._answer)
            self._settle("ok" if good else "wrong", self._answer.code)

    def _settle(self, outcome: str, code: int) -> None:
        if self._exchange:
            exchange, self._exchange = self._exchange, None
            self._pool.settle(exchange, outcome, code)


class Pool:
    """The connections to one host. `most` bounds the sockets; what is above it is not connected."""

    def __init__(self, host: str, port: int, most: int, settle: Settle) -> None:
        self._host, self._port, self._most = host, port, most
        self._settle_one = settle
        self._idle: deque[Connection] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets = 0
        self.capped = 0  # requests that found no socket left

    def fill(self) -> None:
        """Open the first connections, of different ages so that they never all end at once."""
        for number in range(1, OPEN + 1):
            self._open(None, MAX_AGE * number // OPEN)

    def tidy(self) -> None:
        """Close idle connections that had their time, and open others: a few at each call."""
        for _ in range(_CLOSE):
            if not self._idle or self._idle[0].usable():
                break
            self._idle.popleft().close()
        for _ in range(min(OPEN - self._sockets, _OPEN)):
            self._open(None, MAX_AGE)

    def send(self, exchange: Exchange) -> None:
        """Send it at once: over an idle connection, else over a new one."""
        exchange.sent_ns = now_ns()
        while self._idle:
            connection = self._idle.popleft()  # the longest idle first, so that all are in use
            if connection.usable():
                connection.send(exchange)
                return
            connection.close()
        if self._sockets >= self._most:
            self.capped += 1
            self.settle(exchange, "connect", 0)
        else:
            exchange.drop = self._open(exchange, MAX_AGE).cancel

    def settle(self, exchange: Exchange, outcome: str, code: int) -> None:
        """Settle it, unless it is settled: an answer after the limit changes nothing."""
        if not exchange.settled:
            exchange.settled = True
            self._settle_one(exchange, outcome, code)

    def release(self, connection: Connection, *, keep: bool) -> None:
        """The connection's answer is complete; it may carry another request."""
        if keep and connection.usable():
            self._idle.append(connection)
        else:
            connection.close()

    def lost(self) -> None:
        """A connection is gone."""
        self._sockets -= 1

    def _open(self, exchange: Exchange | None, max_age: int) -> asyncio.Task[None]:
        self._sockets += 1
        task = asyncio.get_running_loop().create_task(self._connect(exchange, max_age))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _connect(self, exchange: Exchange | None, max_age: int) -> None:
        connection = Connection(self, max_age)
        loop = asyncio.get_running_loop()
        limit = None if exchange else max_age / SECOND  # a request has a limit of its own
        try:
            async with asyncio.timeout(limit):
                await loop.create_connection(lambda: connection, self._host, self._port)
        except OSError:
            pass
        finally:
            if connection.transport is None:  # else connection_lost counts it
                connection.closed = True
                self._sockets -= 1
        if exchange is None:
            self.release(connection, keep=True)
        elif connection.closed:
            self.settle(exchange, "connect", 0)
        else:
            connection.send(exchange)
