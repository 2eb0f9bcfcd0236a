"""What the customers' process costs, how punctual it is, and whether it tells the truth of a stall.

    python benchmarks/load.py [--quick]

The server is a process of its own on another core: it answers each request at once with 27 bytes.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast import customers
from holdfast.clock import now_ns, sleep, until
from holdfast.documents import Environment, JourneyFile, checked
from holdfast.model import Sample
from holdfast.store import LOAD_REPORT, Run

HOST, PORT = "127.11.0.20", 18080
URL = f"http://{HOST}:{PORT}"
RATES = (100, 1000, 2000)
STALL_RATE = 500
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"balance_cents": 10000000}'


class Server(asyncio.Protocol):
    """Answers each request that arrives, at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A customer connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """One or more whole requests: the customers write each with one call."""
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def serve() -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, HOST, PORT, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """The server's process id."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        try:
            yield process.pid
        finally:
            process.kill()


def environment() -> Environment:
    """Where the server is."""
    data = {
        "name": "benchmark",
        "kubernetes": {"kubeconfig": "none", "cluster_uid": "none"},
        "prometheus": {"url": URL},
        "toxiproxy": [],
        "customers": {"url": URL, "values": {"accounts": [f"acc-{n:04}" for n in range(1000)]}},
        "workload": {"namespace": "none", "selector": "none=none"},
        "policy": {"namespaces": []},
    }
    return checked(Environment, data, "benchmark")


def journey() -> JourneyFile:
    """A balance query."""
    data = {
        "request": {"method": "GET", "path": "/accounts/${account}/balance"},
        "good": {"status": [200]},
        "within": "2s",
        "limit": "10s",
        "values": {"account": {"pick": "accounts"}},
    }
    return checked(JourneyFile, data, "benchmark")


@dataclass
class Load:
    """Customers who are sending."""

    run: Run
    customers: customers.Customers

    @classmethod
    def start(cls, root: Path, rate: int) -> "Load":
        """Start them on the first core."""
        run = Run.create(root, f"load-{rate}")
        rates = {"balance": float(rate)}
        one = customers.start(
            run, environment(), {"balance": journey()}, rates, seed=1, max_seconds=120
        )
        os.sched_setaffinity(one.process.pid, {min(os.sched_getaffinity(0))})
        return cls(run, one)

    def stop(self) -> tuple[list[Sample], dict[str, Any]]:
        """What they recorded, and their own account."""
        assert self.customers.stop(), "the customers failed"
        return list(self.run.samples()), self.run.read_json(LOAD_REPORT)


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def costs(root: Path, seconds: float) -> None:
    """Print cost and lateness at each rate."""
    print("\nrate/s  requests  not ok  CPU s/1000  lateness ms: p50   p99  p99.9    max")
    for rate in RATES:
        load = Load.start(root, rate)
        sleep(seconds)
        samples, account = load.stop()
        late = account["lateness_ms"]
        wrong = sum(one.outcome != "ok" for one in samples)
        cost = account["cpu_seconds"] / len(samples) * 1000
        print(
            f"{rate:6}  {len(samples):8}  {wrong:6}  {cost:10.3f}  {late['p50']:16.2f} "
            f"{late['p99']:5.2f}  {late['p99_9']:5.2f}  {late['max']:5.1f}"
        )


def stall(root: Path, server: int, seconds: float) -> None:
    """Freeze the server for a tenth of the time; print the p99 that is reported, and the truth."""
    freeze = seconds / 10
    load = Load.start(root, STALL_RATE)
    started = load.run.read_json(LOAD_REPORT)["start_ns"]
    sleep((started - now_ns()) / 1e9 + seconds * 0.4)
    os.kill(server, signal.SIGSTOP)
    sleep(freeze)
    os.kill(server, signal.SIGCONT)
    until(lambda: now_ns() > started + seconds * 1e9, seconds=seconds)
    samples, account = load.stop()
    latencies = [one.latency for one in samples]
    # a tenth of the requests wait evenly between nothing and the whole freeze
    print(f"\n{STALL_RATE}/s for {seconds:g} s, server frozen for {freeze:g} s of them (seconds)")
    print("            p95    p99    max   sent  answered")
    counts = account["journeys"]["balance"]
    print(
        f"reported  {quantile(latencies, 0.95):5.3f}  {quantile(latencies, 0.99):5.3f}  "
        f"{max(latencies):5.3f}  {counts['sent']:5}  {counts['answered']:8}"
    )
    print(f"truth     {freeze / 2:5.3f}  {freeze * 0.9:5.3f}  {freeze:5.3f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="3 s a rate and a stall of 1 s")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    print(
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}, "
        f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.2f}"
    )
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        costs(Path(folder), 3 if options.quick else 10)
        stall(Path(folder), server, 10 if options.quick else 20)


if __name__ == "__main__":
    main()
