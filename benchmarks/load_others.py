"""What a user would take instead, run as load.py runs the customers: wrk, wrk2, vegeta."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import golang
from lab.cache import Cache
from lab.errors import LabError
from lab.programs import Sources, Wanted, wanted_go
from lab.progress import Progress
from lab.versions import Executable

PATH = "/accounts/acc-0001/balance"
CONNECTIONS = 50


@dataclass(frozen=True)
class Reported:
    """What a tool used and said: CPU and latencies in seconds."""

    requests: int
    cpu: float
    p95: float
    p99: float
    most: float


type Tool = Callable[[int, float], Reported]


def wrk(url: str, *, apart: bool = False) -> Tool | None:
    """Closed: each of 50 connections waits for its answer, then pauses, then sends again.

    All pause equally long and so stay in step: 50 requests at once, at one waking of the processor.
    With `apart` each pause is drawn, with the same mean: requests come one by one, as customers'
    do.
    """
    program = shutil.which("wrk")
    if program is None:
        return None

    def run(rate: int, seconds: float) -> Reported:
        pause = round(1000 * CONNECTIONS / rate)
        delay = f"math.random(0, {2 * pause})" if apart else str(pause)
        return _told([program], seconds, f"function delay() return {delay} end\n{_TELL}", url)

    return run


_TELL = """
function done(summary, latency, requests)
  print(string.format("RESULT %d %d %d %d", summary.requests, latency:percentile(95),
                      latency:percentile(99), latency.max))
end
"""


def _told(command: Sequence[str], seconds: float, lua: str, url: str) -> Reported:
    """What wrk, or its kin, reports; it takes its behaviour from a script."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(lua)
        script.flush()
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", script.name]
        said, cpu = _run([*command, *options, url + PATH])
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", said)
    assert found, said
    requests, p95, p99, most = (int(one) for one in found.groups())
    return Reported(requests, cpu, p95 / 1e6, p99 / 1e6, most / 1e6)


def wrk2(url: str) -> Tool | None:
    """Open: each of 50 connections sends by its own schedule, and makes up for late ones."""
    program = shutil.which("wrk2")
    if program is None:
        return None

    def run(rate: int, seconds: float) -> Reported:
        return _told([program, f"-R{rate}"], seconds, _TELL, url)

    return run


def vegeta(url: str) -> Tool | None:
    """Open: built once from pinned modules, into the lab's cache."""
    program = _vegeta()
    if program is None:
        return None

    def run(rate: int, seconds: float) -> Reported:
        with tempfile.TemporaryDirectory() as folder:
            targets, results = Path(folder, "targets"), Path(folder, "results")
            targets.write_text(f"GET {url}{PATH}\n")
            attack = ["attack", f"-rate={rate}/s", f"-duration={seconds:.0f}s"]
            files = [f"-targets={targets}", f"-output={results}", "-max-workers=10000"]
            _, cpu = _run([str(program), *attack, *files])
            said, _ = _run([str(program), "report", "-type=json", str(results)])
        told = json.loads(said)
        p95, p99, most = (told["latencies"][name] / 1e9 for name in ("95th", "99th", "max"))
        return Reported(told["requests"], cpu, p95, p99, most)

    return run


def _vegeta() -> Path | None:
    version = golang.VEGETA.version
    executable = Executable(
        "vegeta", "-version", r"Version: v?([\d.]+)", lambda found: found == version, version
    )
    wanted = Wanted(executable, golang.VEGETA)
    try:
        with Progress() as progress:
            return Sources(Cache.of_user(), progress).obtain([wanted], wanted_go())["vegeta"].path
    except LabError as error:
        print(f"vegeta cannot be built: {error}")
        return None


def _run(command: Sequence[str]) -> tuple[str, float]:
    """What a command printed, and the CPU seconds that it used; it runs on the first core."""
    first = {min(os.sched_getaffinity(0))}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, first),  # noqa: PLW1509  # no threads here
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    assert process.returncode == 0, said
    return said, used.ru_utime + used.ru_stime
