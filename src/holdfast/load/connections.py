"""Keep-alive connections: many, short-lived, and never a reason for a request to wait."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from holdfast.clock import SECOND, now_ns
from holdfast.load.answers import Answer, whole
from holdfast.load.scripts import Exchange

OPEN = 50  # connections that are kept open at least
MAX_AGE = 5 * SECOND
MAX_REQUESTS = 100
# At most so many at one `tidy`: no request waits for them, and a refusing server is not flooded.
_OPEN = 2
_CLOSE = 50


_buffer = memoryview(bytearray(1 << 18))  # what arrives: for all of them, one at a time

type Settle = Callable[[Exchange, str, int], None]


class Connection(asyncio.BufferedProtocol):
    """One connection. It carries one request at a time, and none twice."""

    def __init__(self, pool: "Pool", max_age: int) -> None:
        self._pool = pool
        self._expires = now_ns() + max_age
        self._requests = 0
        self._exchange: Exchange | None = None
        self._answer: Answer | None = None  # from the first bytes that are not a whole one
        self.transport: asyncio.Transport | None = None
        self.closed = False

    def usable(self, now: int) -> bool:
        """May it carry one more request?"""
        return self._requests < MAX_REQUESTS and now < self._expires and not self.closed

    def send(self, exchange: Exchange) -> None:
        """Write the request."""
        assert self.transport
        self._requests += 1
        self._exchange = exchange
        exchange.drop = self.transport.abort
        exchange.written = True
        self._pool.requests += 1
        self.transport.write(exchange.data)

    def close(self) -> None:
        """Close it; it carries no more requests."""
        self.closed = True
        if self.transport:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop connected it."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass of it

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's name
        """Where the next bytes are put."""
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the answer; of no answer at all when nothing was asked."""
        if self._exchange is None:
            self.close()
            return
        data = bytes(_buffer[:nbytes])
        found = whole(data) if self._answer is None else None
        if found:
            self._answered(*found)
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        answer = self._answer = self._answer or Answer()
        try:
            complete = answer.feed(data)
        except ValueError:
            self._settle("wrong", answer.code)
            self.close()
            return
        if complete:
            self._answered(answer.code, answer.body, answer.keep)

    def _answered(self, code: int, body: bytes, keep: bool) -> None:
        exchange, self._exchange, self._answer = self._exchange, None, None
        assert exchange
        self._pool.release(self, keep=keep)
        self._pool.answered(exchange, code, body)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: an answer may end so, a request without one was reset."""
        self.closed = True
        self._pool.lost()
        exchange, answer = self._exchange, self._answer
        if exc is None and exchange and answer and _ends(answer):
            self._exchange = None
            self._pool.answered(exchange, answer.code, answer.body)
        self._settle("reset", 0)

    def _settle(self, outcome: str, code: int) -> None:
        if self._exchange:
            exchange, self._exchange = self._exchange, None
            self._pool.settle(exchange, outcome, code)


def _ends(answer: Answer) -> bool:
    try:
        return answer.end()
    except ValueError:
        return False


def told_already(context: Mapping[str, Any]) -> bool:
    """Is it no failure of ours that the event loop reports, but the end of a connection?

    uvloop reports a failed TLS handshake also to whoever asked for it; and bytes that came for a
    connection which was given up during its handshake.
    """
    error = context.get("exception")
    if "future" in context and isinstance(error, OSError):
        return True
    closed = isinstance(error, RuntimeError) and "the handler is closed" in str(error)
    return closed and "protocol" in context


@dataclass(frozen=True)
class Entrance:
    """Where customers enter; with `tls`, which always verifies, over HTTPS."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str, ca: str | None) -> "Entrance":
        """The entrance at a URL, verified with the authorities in `ca`, else the system's."""
        where = urlsplit(url)
        if where.scheme == "http":
            return cls(where.hostname or "", where.port or 80)
        return cls(where.hostname or "", where.port or 443, ssl.create_default_context(cafile=ca))


class Pool:
    """The connections to one host. `most` bounds the sockets; what is above it is not connected."""

    def __init__(self, entrance: Entrance, most: int, settle: Settle) -> None:
        self._entrance, self._most = entrance, most
        self._settle_one = settle
        self._idle: deque[Connection] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spare: deque[tuple[int, asyncio.Task[None]]] = deque()  # being opened, until when
        self._sockets = 0
        self.requests = 0  # that were written
        self.opened = 0  # connections, since the start
        self.most_open = 0  # at a time
        self.capped = 0  # requests that found no socket left: refused, never made to wait

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How the entrance is verified; None without TLS."""
        return self._entrance.tls

    def fill(self) -> None:
        """Open the first connections, of different ages so that they never all end at once."""
        for number in range(1, OPEN + 1):
            self._open_spare(MAX_AGE * number // OPEN)

    def tidy(self) -> None:
        """Close idle connections that had their time, and open others: a few at each call."""
        for _ in range(_CLOSE):
            if not self._idle or self._idle[0].usable(now_ns()):
                break
            self._idle.popleft().close()
        while self._spare and (self._spare[0][1].done() or self._spare[0][0] <= now_ns()):
            self._spare.popleft()[1].cancel()
        for _ in range(min(OPEN - self._sockets, _OPEN)):
            self._open_spare(MAX_AGE)

    def send(self, exchange: Exchange) -> None:
        """Send it at once: over an idle connection, else over a new one."""
        now = now_ns()
        exchange.sent_ns = exchange.sent_ns or now
        exchange.step_ns = exchange.step_ns or now
        while self._idle:
            connection = self._idle.popleft()  # the longest idle first, so that all are in use
            if connection.usable(now):
                connection.send(exchange)
                return
            connection.close()
        if self._sockets >= self._most:
            self.capped += 1
            self.settle(exchange, "connect", 0)
        else:
            exchange.drop = self._open(exchange, MAX_AGE).cancel

    def answered(self, exchange: Exchange, code: int, body: bytes) -> None:
        """An answer is complete: the journey is over, or its next request is sent."""
        if exchange.settled:
            return
        outcome = exchange.script.outcome(exchange, code, body)
        if outcome == "next":
            self.send(exchange)
        elif outcome == "again":
            pause_s = exchange.script.pause_s(exchange)
            later = asyncio.get_running_loop().call_later(pause_s, self.send, exchange)
            exchange.drop = later.cancel
        else:
            self.settle(exchange, outcome, code)

    def settle(self, exchange: Exchange, outcome: str, code: int) -> None:
        """Settle it, unless it is settled: an answer after the limit changes nothing."""
        if not exchange.settled:
            exchange.settled = True
            self._settle_one(exchange, outcome, code)

    def release(self, connection: Connection, *, keep: bool) -> None:
        """The connection's answer is complete; it may carry another request."""
        if keep and connection.usable(now_ns()):
            self._idle.append(connection)
        else:
            connection.close()

    def lost(self) -> None:
        """A connection is gone."""
        self._sockets -= 1

    def _open_spare(self, max_age: int) -> None:
        self._spare.append((now_ns() + MAX_AGE, self._open(None, max_age)))

    def _open(self, exchange: Exchange | None, max_age: int) -> asyncio.Task[None]:
        self._sockets += 1
        self.most_open = max(self.most_open, self._sockets)
        self.opened += 1
        task = asyncio.get_running_loop().create_task(self._connect(exchange, max_age))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _connect(self, exchange: Exchange | None, max_age: int) -> None:
        connection = Connection(self, max_age)
        loop = asyncio.get_running_loop()
        to = self._entrance
        try:
            await loop.create_connection(lambda: connection, to.host, to.port, ssl=to.tls)
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
