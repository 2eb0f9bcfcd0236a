"""A real HTTP server on loopback whose faults are exactly known: the truth that tests compare with.

What it does follows from the path alone, or from windows of time that are set before. It lives in a
thread of its own and remembers every request.
"""

import asyncio
import contextlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from holdfast.clock import SECOND, now_ns
from holdfast.model import Window

_ODD = {
    "/garbage": b"\x16\x03\x01 this is no HTTP\r\n\r\n",
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "/half": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "/until-closed": b'HTTP/1.1 200 OK\r\n\r\n{"state": "settled"}',
    "/reset": b"",
}


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    at_ns: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class SlowServer:
    """`outages` are answered 503, what arrives in `freezes` is answered at their end.

    `reply` answers what was seen with a status line and a body of its own.
    """

    host: str = "127.11.0.1"
    port: int = 0
    outages: list[Window] = field(default_factory=list)
    freezes: list[Window] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    most_at_once: int = 0
    answer: bytes = b'{"state": "settled"}'
    reply: Callable[[Seen], tuple[bytes, bytes]] | None = None
    tls: ssl.SSLContext | None = None
    _now: int = 0
    _connections: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until it closes."""
        self._connections += 1
        number = self._connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer, number):
                pass
        writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        at_ns = now_ns()
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v for k, _, v in (one.partition(": ") for one in head[1:] if one)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append(Seen(at_ns, method, path, headers, body, number))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await self._answer(writer, self.seen[-1])
        finally:
            self._now -= 1

    async def _answer(self, writer: asyncio.StreamWriter, seen: Seen) -> bool:
        path, at_ns = seen.path, seen.at_ns
        for freeze in self.freezes:
            if freeze.holds(at_ns):
                await asyncio.sleep((freeze.end_ns - now_ns()) / SECOND)
        if wait := re.fullmatch(r"/wait/([\d.]+)", path):
            await asyncio.sleep(float(wait[1]))
        if path in _ODD:
            writer.write(_ODD[path])
            await writer.drain()
            return False
        down = any(one.holds(at_ns) for one in self.outages)
        code, answer = b"503 Down" if down else b"200 OK", self.answer
        if self.reply:
            code, answer = self.reply(seen)
        if path == "/chunked":
            await self._chunked(writer)
            return True
        fields = b"Connection: close\r\n" if path == "/close" else b""
        length = b"Content-Length: %d\r\n\r\n" % len(answer)
        writer.write(b"HTTP/1.1 " + code + b"\r\n" + fields + length + answer)
        return path != "/close"

    async def _chunked(self, writer: asyncio.StreamWriter) -> None:
        """The head, and every byte of the body, in a segment of its own."""
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in self.answer:
            await asyncio.sleep(0)
            writer.write(b"1\r\n%c\r\n" % byte)
        writer.write(b"0\r\nX-Trailer: 1\r\n\r\n")


@contextlib.contextmanager
def serving(server: SlowServer) -> Iterator[SlowServer]:
    """Run it in a thread until the block ends."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    ended = asyncio.Event()

    async def run() -> None:
        listener = await asyncio.start_server(
            server.serve, server.host, server.port, backlog=4096, ssl=server.tls
        )
        server.port = listener.sockets[0].getsockname()[1]
        ready.set()
        await ended.wait()
        listener.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(5)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(5)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
