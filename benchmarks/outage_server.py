"""Services that fail exactly when they are told to, and say when that was.

    python benchmarks/outage_server.py

The first line is the plan: each service's address and its outages (kind, at which second, how
long); `ready` answers it. The second is the instant of second 0, on the monotonic clock; until then
all are well. Each outage is printed as a line of JSON once it has ended, with the instants at which
that truly happened. It ends when its standard input does.
"""

import asyncio
import contextlib
import gc
import json
import os
import random
import resource
import socket
import struct
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.outage_trials import FLAP_S, SHARE, WITHIN_S
from holdfast.clock import SECOND, now_ns
from tests.stories import JUST_S

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nbad"
SOCKETS = 300  # of a service: kept open, waiting in a hang, on their way; more, and it is behind


class Service:
    """One address, well until told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.failing = self.hanging = False
        self.share = 1.0
        self.slow_since_ns = 0
        self.steep = 0.0
        self.sunk = 0.0
        self.counted = {"good": 0, "bad": 0}
        self.last_bad_ns = 0  # when the last request came that it answered badly or late
        self.waiting: list[tuple[asyncio.Transport, int]] = []
        self.connections: set[asyncio.Transport] = set()
        self.opening: set[asyncio.Task[object]] = set()
        self.socket: socket.socket | None = None

    def listen(self) -> None:
        """Take connections, which are reset when they are closed: none stays in TIME-WAIT.

        There a connection would stay for a minute, into the next outages. A SYN that meets one is
        answered with an ACK instead of a refusal, and sent again after TCP_TIMEOUT_MIN (8 ms at
        250 Hz; net/ipv4/tcp_input.c of Linux). A service that dies once does not look like that.
        """
        self.socket = socket.create_server((self.host, self.port), backlog=4096)
        reset = struct.pack("ii", 1, 0)  # connections inherit it
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        self.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self.socket, self.accept)

    def accept(self) -> None:
        """Somebody connects."""
        assert self.socket
        loop = asyncio.get_running_loop()
        if len(self.connections) + len(self.opening) > SOCKETS:
            print(
                f"{self.host}: over {SOCKETS} connections: this machine is too busy",
                file=sys.stderr,
            )
            os._exit(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                one, _ = self.socket.accept()
                made = loop.connect_accepted_socket(lambda: Connection(self), one)
                task = loop.create_task(made)
                self.opening.add(task)
                task.add_done_callback(self.opening.discard)

    def die(self) -> None:
        """Refuse connections and reset those that are open; a process's counters die with it."""
        assert self.socket
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()
        self.socket = None
        for one in list(self.connections):
            one.abort()
        self.counted = {"good": 0, "bad": 0}

    def answer(self, transport: asyncio.Transport, came_ns: int, content: bytes = GOOD) -> None:
        """Answer one request, and count it as the service itself sees it."""
        took = (now_ns() - came_ns) / SECOND
        if content is BAD or took > WITHIN_S:
            self.counted["bad"] += 1
            self.last_bad_ns = came_ns
        else:
            self.counted["good"] += 1
        if not transport.is_closing():
            transport.write(content)

    def asked(self, transport: asyncio.Transport) -> None:
        """One request came."""
        came_ns = now_ns()
        if self.hanging:
            self.waiting.append((transport, came_ns))
        elif self.failing and random.random() < self.share:
            self.answer(transport, came_ns, BAD)
        elif (delay := self.delay(came_ns)) > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(delay, self.answer, transport, came_ns)
        else:
            self.answer(transport, came_ns)

    def delay(self, came_ns: int) -> float:
        """How slow it is at this instant, in seconds."""
        if not self.slow_since_ns:
            return 0.0
        return 3 * WITHIN_S - self.steep * (came_ns - self.slow_since_ns) / SECOND - self.sunk

    def metrics(self) -> bytes:
        """Its counters as Prometheus reads them."""
        lines = [f'requests_total{{outcome="{name}"}} {n}\n' for name, n in self.counted.items()]
        text = "# TYPE requests_total counter\n" + "".join(lines)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
        return (head + text).encode()


class Connection(asyncio.Protocol):
    """One connection to a service; requests come one at a time."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.service.socket is None:  # it died while this one was on its way
            transport.abort()
        self.service.connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        """And left."""
        self.service.connections.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        """A request: a customer's, or for the counters."""
        if data.startswith(b"GET /metrics"):
            self.transport.write(self.service.metrics())
            return
        for _ in range(data.count(b"\r\n\r\n")):
            self.service.asked(self.transport)


async def errors(service: Service, lasts: float) -> int:
    """It answers 503."""
    service.failing = True
    await asyncio.sleep(lasts)
    service.failing = False
    return now_ns()


async def partial(service: Service, lasts: float) -> int:
    """A part of its answers is 503."""
    service.share = SHARE
    ended_ns = await errors(service, lasts)
    service.share = 1.0
    return ended_ns


async def dead(service: Service, lasts: float) -> int:
    """Nobody listens."""
    service.die()
    await asyncio.sleep(lasts)
    service.listen()
    return now_ns()


async def hang(service: Service, lasts: float) -> int:
    """It answers nothing; then all at once."""
    service.hanging = True
    await asyncio.sleep(lasts)
    service.hanging = False
    ended_ns = now_ns()
    waiting, service.waiting = service.waiting, []
    for one in waiting:
        service.answer(*one)
    return ended_ns


async def flapping(service: Service, lasts: float) -> int:
    """Bad and good by turns."""
    for _ in range(max(0, round((lasts + FLAP_S) / (2 * FLAP_S)) - 1)):
        await errors(service, FLAP_S)
        await asyncio.sleep(FLAP_S)
    return await errors(service, FLAP_S)


async def slow_start(service: Service, lasts: float) -> int:
    """Dead for the first half, then slow, ever less; well once it answers none too late."""
    await dead(service, lasts / 2)
    service.steep = (2 * WITHIN_S - JUST_S) / (lasts / 2)
    service.slow_since_ns = now_ns()
    await asyncio.sleep(lasts / 2)
    left_s = service.delay(now_ns())
    service.sunk = left_s - (WITHIN_S - JUST_S)
    ended_ns = now_ns()
    await asyncio.sleep(lasts)
    service.slow_since_ns, service.sunk = 0, 0.0
    return max(ended_ns, service.last_bad_ns)  # this process may have been held up


HOW = {
    "errors": errors,
    "dead": dead,
    "hang": hang,
    "partial": partial,
    "flapping": flapping,
    "slow start": slow_start,
}


async def play(name: int, service: Service, outages: list[dict[str, Any]], start_ns: int) -> None:
    """One service through its outages."""
    for outage in outages:
        due_ns = start_ns + round(outage["at"] * SECOND)
        await asyncio.sleep(max(0.0, (due_ns - now_ns()) / SECOND))
        began_ns = now_ns()
        ended_ns = await HOW[outage["kind"]](service, outage["lasts"])
        truth = {"service": name, "kind": outage["kind"], "long": outage["long"]}
        print(json.dumps({**truth, "began_ns": began_ns, "ended_ns": ended_ns}), flush=True)


async def main() -> None:
    """All of them; then on until told to end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.disable()  # a collection holds up all services at once, for up to 13 ms
    plan = json.loads(sys.stdin.readline())
    services = [Service(one["host"], one["port"]) for one in plan]
    for one in services:
        one.listen()
    print("ready", flush=True)
    if start := await asyncio.to_thread(sys.stdin.readline):
        outages = (one["outages"] for one in plan)
        every = enumerate(zip(services, outages, strict=True))
        await asyncio.gather(*(play(name, *one, int(start)) for name, one in every))
        print("done", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
