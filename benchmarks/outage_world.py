"""Services, their customers, and the usual ways beside them: all that runs during the real time."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import outage_stalls, outage_usual
from benchmarks.outage_customers import Sending
from benchmarks.outage_stalls import Stalls
from benchmarks.outage_usual import Watched
from holdfast.clock import SECOND, deadline, now_ns, sleep
from holdfast.judge.finding import too_late
from lab.processes import die_with_parent

SERVER = Path(__file__).with_name("outage_server.py")
_START_S = 2.0  # from the order to begin until the first second of the plan
_SPARE_S = 60.0  # customers end by themselves so long after the plan's end

type Plan = list[dict[str, Any]]  # of each service: host, port, outages


@dataclass
class World:
    """What runs."""

    services: subprocess.Popen[str]
    prometheus: subprocess.Popen[bytes]
    sending: Sequence[Sending]
    watched: Watched
    stalls: Stalls
    zero_ns: int = 0  # the plan's second 0, once it is ordered: everybody has started by then

    def truths(self, took_s: float) -> Iterator[dict[str, Any]]:
        """Every outage, once it has ended; exits when somebody is gone who should be there."""
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        assert self.services.stdin
        self.zero_ns = deadline(_START_S)
        self.services.stdin.write(f"{self.zero_ns}\n")
        self.services.stdin.flush()
        began_ns, seen = now_ns(), 0
        while True:
            self.look()
            passed = (now_ns() - began_ns) / SECOND
            print(
                f"\rreal time: {passed:.0f} of about {took_s:.0f} s, {seen} outages ended ",
                end="",
                file=sys.stderr,
                flush=True,
            )
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=1.0)
                if line == "done\n":
                    print(file=sys.stderr)
                    return
                seen += 1
                yield json.loads(line)

    def _read(self, lines: queue.SimpleQueue[str]) -> None:
        assert self.services.stdout
        for line in self.services.stdout:
            lines.put(line)

    def look(self) -> None:
        """Exit when somebody is gone who should be there."""
        for name, process in (("services", self.services), ("Prometheus", self.prometheus)):
            if process.poll() is not None:
                sys.exit(f"\nthe process of the {name} ended early: exit code {process.poll()}")
        for one in self.sending:
            one.look()

    def cpu_s(self) -> float:
        """Seconds of CPU that all of it has used so far, this process included."""
        pids = [os.getpid(), self.services.pid, self.prometheus.pid, *self.stalls.pids]
        return sum(map(_cpu_s, [*pids, *(one.customers.process.pid for one in self.sending)]))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def world(plan: Plan, took_s: float) -> Iterator[World]:
    """All of it; nothing of it is left when it ends, however that is."""
    addresses = ["{host}:{port}".format(**one) for one in plan]
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stalls = stack.enter_context(outage_stalls.watching(root / "stalls"))
        services = stack.enter_context(_serving(plan))
        prometheus = stack.enter_context(outage_usual.prometheus(addresses))
        sending = []
        for number, address in enumerate(addresses):
            most_s = took_s + _SPARE_S + len(plan)
            sending.append(Sending.start(root, number, address, most_s))
            stack.callback(sending[-1].customers.kill)
        watched = stack.enter_context(outage_usual.watching(addresses))
        yield World(services, prometheus, sending, watched, stalls)


@contextlib.contextmanager
def _serving(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """The services, in a process of their own, which Ctrl-C does not reach."""
    with subprocess.Popen(
        [sys.executable, str(SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509  # no thread runs yet
    ) as process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(plan) + "\n")
            process.stdin.flush()
            if process.stdout.readline() != "ready\n":
                sys.exit("the services did not start: does another one of this benchmark run?")
            yield process
        finally:
            process.kill()


def cores_per_service(plan: Plan) -> float:
    """The share of a core that a service needs, its customers and watchers included; measured.

    Exits when customers are late already while nothing is broken.
    """
    print("measuring what a service costs: 8 s", file=sys.stderr)
    with world(plan, 60.0) as it:
        sleep(2.0)
        before_s, at_ns = it.cpu_s(), now_ns()
        sleep(6.0)
        cores = (it.cpu_s() - before_s) * SECOND / (now_ns() - at_ns)
        it.look()
        for one in it.sending:
            if why := too_late(one.stop()[1], []):
                sys.exit(f"this machine is too busy to measure anything: {why}")
    return cores / len(plan)
