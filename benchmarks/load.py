"""What the customers' process costs, how punctual it is, and whether it tells the truth of a stall.

    python benchmarks/load.py [--quick] [--only stall|costs]

The server is a process of its own on the last core, whoever sends runs on the first. Beside the
customers run vegeta (open, built from pinned modules) and wrk (closed, from the distribution; its
connections pause so that it comes near the same rate, and it estimates what they missed). They
pause in step, so that wrk wakes for 50 requests at once; `apart` it wakes for each, as customers
come, and as wrk2's 50 connections send, each by a schedule of its own: the goal is about that. Who
has wrk2 (from source) on the path sees it, too.
Under six minutes. On a busy machine nothing but the stall table is worth reading.
"""

import argparse
import contextlib
import math
import os
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import machine
from benchmarks.load_others import Reported, Tool, vegeta, wrk, wrk2
from benchmarks.load_server import serving
from holdfast import customers
from holdfast.clock import SECOND, now_ns, sleep, until
from holdfast.documents import Environment, JourneyFile, checked
from holdfast.model import Sample
from holdfast.store import LOAD_REPORT, Run

RATES = (1000, 2000)
STALL_RATE = 500
FREEZE_SHARE = 0.1  # of the stall test: 2 s of 20
CPU_GOAL = 4.0  # times wrk whose requests come one by one
LATE_GOALS = {"p99": 1.0, "p99_9": 5.0}  # ms
STALL_GOAL = 0.01  # of the truth


def environment(url: str) -> Environment:
    """Where the server is."""
    data = {
        "name": "benchmark",
        "kubernetes": {"kubeconfig": "none", "cluster_uid": "none"},
        "prometheus": {"url": url},
        "toxiproxy": [],
        "customers": {"url": url, "values": {"accounts": [f"acc-{n:04}" for n in range(1000)]}},
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


@contextlib.contextmanager
def without_uvloop() -> Iterator[None]:
    """Customers who are started meanwhile find no uvloop, as where the extra is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "uvloop.py").write_text("raise ImportError\n")
        os.environ["PYTHONPATH"] = folder
        try:
            yield
        finally:
            del os.environ["PYTHONPATH"]


@dataclass
class Load:
    """Customers who are sending."""

    run: Run
    customers: customers.Customers

    @classmethod
    def start(cls, root: Path, url: str, rate: int) -> "Load":
        """Start them on the first core."""
        run = Run.create(root, f"load-{rate}")
        rates = {"balance": float(rate)}
        one = customers.start(
            run, environment(url), {"balance": journey()}, rates, seed=1, max_seconds=120
        )
        os.sched_setaffinity(one.process.pid, {min(os.sched_getaffinity(0))})
        return cls(run, one)

    def stop(self) -> tuple[list[Sample], dict[str, Any]]:
        """What they recorded, and their own account."""
        said = self.run.path(customers.LOG)
        assert self.customers.stop(), f"{self.customers.process.returncode}: {said.read_text()}"
        return list(self.run.samples()), self.run.read_json(LOAD_REPORT)


class Holdfast:
    """The customers, as one tool among the others."""

    def __init__(self, root: Path, url: str) -> None:
        self._root, self._url = root, url
        self.account: dict[str, Any] = {}

    def __call__(self, rate: int, seconds: float) -> Reported:
        """Send for so long."""
        load = Load.start(self._root, self._url, rate)
        ends = load.run.read_json(LOAD_REPORT)["start_ns"] + round(seconds * SECOND)
        until(lambda: now_ns() >= ends, seconds=seconds + 1, every=0.01)
        samples, self.account = load.stop()
        outcomes = Counter(one.outcome for one in samples)
        assert outcomes.keys() == {"ok"}, f"not every answer was good: {dict(outcomes)}"
        took = [one.latency for one in samples]
        p95, p99 = quantile(took, 0.95), quantile(took, 0.99)
        return Reported(len(samples), self.account["cpu_seconds"], p95, p99, max(took))


class Plain(Holdfast):
    """The same without uvloop."""

    def __call__(self, rate: int, seconds: float) -> Reported:
        """Send for so long."""
        with without_uvloop():
            return super().__call__(rate, seconds)


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def costs(tools: dict[str, Tool | None], seconds: float) -> None:
    """Print CPU and lateness at each rate."""
    print(f"\n{seconds:g} s at each rate; CPU of the whole process, its start included")
    rows = []
    for rate in RATES:
        found = {name: tried(tool, rate, seconds) for name, tool in tools.items()}
        yardsticks = (found["wrk (closed)"], found["wrk, apart"])
        for name, one in found.items():
            rows.append(_cost([name, str(rate)], tools[name], one, yardsticks))
    times = ("x wrk in step", "x wrk apart", "goal 4")
    head = ("tool", "rate/s", "requests", "CPU s/1000", "of it start", *times)
    late = ("late ms: p50", "p99", "goal 1", "p99.9", "goal 5", "max")
    print(machine.table((*head, *late), rows))


def tried(tool: Tool | None, rate: int, seconds: float) -> Reported | str:
    """What a tool reported, or why there is nothing."""
    if tool is None:
        return "not installed"
    try:
        return tool(rate, seconds)
    except AssertionError as error:
        print(f"{rate}/s: {error}", file=sys.stderr)
        return "failed"


def _cost(
    row: list[str], tool: Tool | None, one: Reported | str, yardsticks: Sequence[Reported | str]
) -> list[str]:
    if isinstance(one, str):
        return [*row, one, *["-"] * 11]
    each = one.cpu / one.requests
    times = [None if isinstance(it, str) else each * it.requests / it.cpu for it in yardsticks]
    step, apart = ("-" if it is None else f"{it:.1f}" for it in times)
    row = [*row, str(one.requests), f"{each * 1000:.3f}"]
    if not isinstance(tool, Holdfast):
        return [*row, "-", step, apart, *["-"] * 7]
    start = tool.account["cpu_seconds_of_start"] / one.requests
    goal = "-" if times[1] is None else machine.against(times[1], CPU_GOAL)
    late = tool.account["lateness_ms"]
    told_late = [f"{late['p50']:.2f}"]
    for key, most in LATE_GOALS.items():
        told_late += [f"{late[key]:.2f}", machine.against(late[key], most)]
    return [*row, f"{start * 1000:.3f}", step, apart, goal, *told_late, f"{late['max']:.1f}"]


def stall(tools: dict[str, Tool | None], server: int, seconds: float) -> None:
    """Freeze the server for a tenth of the time; print what each tool reports, and the truth."""
    print(f"\n{STALL_RATE}/s for {seconds:g} s, server frozen for a tenth of it (seconds)")
    rows = []
    for name, tool in tools.items():
        freezer = Freezer(server, seconds if tool else 0.0)
        found = tried(tool, STALL_RATE, seconds)
        froze = freezer.seconds()
        if isinstance(found, str):
            rows.append([name, found, *["-"] * 7])
            continue
        # as many wait as were scheduled in the freeze, evenly between nothing and all of it
        p95, p99 = (froze - share * seconds for share in (0.05, 0.01))
        off = found.p99 / p99 - 1
        figures = (found.p95, p95, found.p99, p99)
        told = [f"{one:.3f}" for one in figures]
        goal = machine.against(abs(off), STALL_GOAL) if isinstance(tool, Holdfast) else "-"
        rows.append([name, str(found.requests), *told, f"{off:+.1%}", goal, f"{found.most:.3f}"])
    head = ("tool", "requests", "p95", "truth", "p99", "truth", "off by", "goal 1 %", "max")
    print(machine.table(head, rows))


class Freezer:
    """Freezes a process for a tenth of the time, in the middle of it."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid, self._seconds = pid, seconds
        self._froze = 0.0
        self._thread = threading.Thread(target=self._freeze)
        self._thread.start()

    def seconds(self) -> float:
        """For how long it really was, once it is over."""
        self._thread.join()
        return self._froze

    def _freeze(self) -> None:
        sleep(self._seconds * 0.5)
        began = now_ns()
        os.kill(self._pid, signal.SIGSTOP)
        sleep(self._seconds * FREEZE_SHARE)
        os.kill(self._pid, signal.SIGCONT)
        self._froze = (now_ns() - began) / SECOND


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="3 s a rate and a stall of 1 s")
    parser.add_argument("--only", choices=("stall", "costs"), help="one of the two tables")
    options = parser.parse_args()
    print(machine.line())
    with tempfile.TemporaryDirectory() as folder, serving() as (server, url):
        tools: dict[str, Tool | None] = {
            "holdfast": Plain(Path(folder), url),
            "holdfast, uvloop": Holdfast(Path(folder), url),
            "vegeta (open)": vegeta(url),
            "wrk (closed)": wrk(url),
        }
        if options.only != "costs":
            stall(tools, server, 10 if options.quick else 20)
        if options.only != "stall":
            others = {"wrk, apart": wrk(url, apart=True), "wrk2 (open)": wrk2(url)}
            costs({**tools, **others}, 3 if options.quick else 20)
    if tools["wrk (closed)"] is None:
        print("wrk is not installed: nothing was compared with it (apt-get install wrk)")


if __name__ == "__main__":
    main()
