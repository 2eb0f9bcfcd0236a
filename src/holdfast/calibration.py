"""How well can this machine measure: lateness, timer, overhead, and its clock against Prometheus'.

A machine that cannot measure what a plan claims is told so before the fault, not after it.
"""

import asyncio
import contextlib
import json
import os
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from holdfast import customers
from holdfast.clock import SECOND, deadline, now_ns, sleep, wall_ns
from holdfast.documents import Environment, JourneyFile, recorded
from holdfast.errors import HoldfastError, InvalidInput, Refused, Unreachable
from holdfast.model import plain
from holdfast.prometheus import Prometheus
from holdfast.store import LOAD_REPORT, Run, write_whole

FILE = "calibration.json"
LATE_MAX_MS = 50.0  # as judging has it: beyond it times are not to be trusted
CLOCK_MAX_MS = 250.0  # as judging has it: beyond it the second source cannot be aligned
OLD_S = 30 * 86_400.0
_READINGS = 300  # of Prometheus' clock; the quickest one counts
_READING_S = 3.0  # in all: a Prometheus that is slow to answer is asked less often
_CLOCK_MS = 1.0  # Prometheus tells the time in milliseconds
_SLEEPS = 300
_SLEEP_S = 0.001
_LIMIT_S = 5.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(frozen=True)
class Calibration:
    """What was measured on one machine; times in milliseconds.

    `clock_offset_ms` is how far Prometheus' clock is ahead of ours, give or take `clock_error_ms`;
    both are None when it could not be asked, and `clock_why` says the reason.
    """

    machine: str
    taken_wall_ns: int
    rate: float
    requests: int
    lateness_ms: Mapping[str, float]
    overhead_ms: Mapping[str, float]
    timer_ms: Mapping[str, float]
    cpu_us_per_request: float
    clock_offset_ms: float | None
    clock_error_ms: float | None
    clock_why: str

    @property
    def clock_bound_ms(self) -> float | None:
        """The most that the two clocks can be apart."""
        if self.clock_offset_ms is None or self.clock_error_ms is None:
            return None
        return abs(self.clock_offset_ms) + self.clock_error_ms


def measure(
    environment: Environment, rate: float, seconds: float, tell: Callable[[str, float], None]
) -> Calibration:
    """Send customers to a server in this process that answers at once; time sleeps and clocks.

    Raises:
        Unreachable: the customers' process did not start or did not end well.
    """
    tell("timer: short sleeps", _SLEEPS * _SLEEP_S)
    timer = _quantiles(list(_oversleeps()))
    tell("clock: Prometheus' own time", 1)
    clock = _clock(Prometheus(environment.prometheus.url))
    tell(f"load: {rate:g} requests a second to a server that does nothing", seconds)
    load, latencies = _send(environment, rate, seconds)
    return Calibration(
        machine=machine(),
        taken_wall_ns=wall_ns(),
        rate=rate,
        requests=len(latencies),
        lateness_ms=load["lateness_ms"],
        overhead_ms=_quantiles(latencies),
        timer_ms=timer,
        cpu_us_per_request=1e6 * load["cpu_seconds"] / max(1, len(latencies)),
        **clock,
    )


def check(found: Calibration | None, rate: float) -> str:
    """Can this machine measure a plan of so many requests a second?

    Without a calibration, or with one that is old or another machine's, this only says so.

    Raises:
        Refused: it cannot.
    """
    again = "Run `holdfast calibrate`"
    if found is None:
        return f"this machine was not calibrated. {again}"
    if found.machine != machine():
        return f"the calibration is another machine's ({found.machine}). {again}"
    age_s = (wall_ns() - found.taken_wall_ns) / SECOND
    if age_s > OLD_S:
        return f"the calibration is {age_s / 86_400:.0f} days old. {again}"
    late = found.lateness_ms["p99"]
    if late > LATE_MAX_MS and found.rate <= rate:
        reason = f"its load is {late:g} ms late (p99) at {found.rate:g}/s, {LATE_MAX_MS:g} allowed"
        raise Refused("this machine", reason, "Free it, lower the load, and calibrate again")
    bound = found.clock_bound_ms
    if bound is not None and bound > CLOCK_MAX_MS:
        reason = f"its clock may be {bound:.0f} ms off Prometheus', {CLOCK_MAX_MS:g} allowed"
        raise Refused("this machine", reason, "Synchronise the clocks, and calibrate again")
    words = f"late by {late:g} ms (p99) at {found.rate:g}/s"
    words += f", clocks within {bound:.1f} ms" if bound is not None else ", clocks not compared"
    if found.rate < rate:
        words += f"; {rate:g}/s was not tried: `holdfast calibrate --rate {ceil(rate)}/s`"
    return words


def machine() -> str:
    """What tells this machine apart: its name, its processors, its kernel."""
    return f"{platform.node()}, {os.cpu_count()} CPU, {platform.system()} {platform.release()}"


def write(root: Path, found: Calibration) -> Path:
    """Keep it where runs are kept; the newest one counts."""
    root.mkdir(parents=True, exist_ok=True)
    write_whole(root / FILE, json.dumps(plain(found), indent=1) + "\n")
    return root / FILE


def read(root: Path) -> Calibration | None:
    """The calibration that lies there.

    Raises:
        InvalidInput: it is damaged.
    """
    path = root / FILE
    if not path.is_file():
        return None
    try:
        return Calibration(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise InvalidInput(str(path), str(error), "Run `holdfast calibrate` again") from None


def _oversleeps() -> Iterator[float]:
    """By how many ms each short sleep was too long."""
    for _ in range(_SLEEPS):
        began = now_ns()
        sleep(_SLEEP_S)
        yield (now_ns() - began) / 1e6 - 1000 * _SLEEP_S


def _clock(prometheus: Prometheus) -> dict[str, Any]:
    """Offset and error from the quickest of many readings: half its round trip, and 1 ms."""
    best, end = (float("inf"), 0.0), deadline(_READING_S)
    try:
        for number in range(_READINGS):
            if number and now_ns() > end:
                break
            began, wall = now_ns(), wall_ns()
            theirs = prometheus.now()
            trip = now_ns() - began
            best = min(best, (trip / 1e6, theirs * 1000 - (wall + trip / 2) / 1e6))
    except HoldfastError as error:
        return {"clock_offset_ms": None, "clock_error_ms": None, "clock_why": str(error)}
    trip_ms, offset_ms = best
    return {
        "clock_offset_ms": offset_ms,
        "clock_error_ms": trip_ms / 2 + _CLOCK_MS,
        "clock_why": "",
    }


def _send(environment: Environment, rate: float, seconds: float) -> tuple[Any, list[float]]:
    """The load's own account, and each request's ms from being sent to being answered."""
    journey = {
        "request": {"method": "GET", "path": "/"},
        "good": {"status": [200]},
        "within": _LIMIT_S,
        "limit": _LIMIT_S,
    }
    journeys = {"null": recorded(JourneyFile, journey, "calibration")}
    with _null_server() as url, tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), "calibrate")
        nowhere = environment.customers.model_copy(update={"url": url})
        here = environment.model_copy(update={"customers": nowhere})
        load = customers.start(
            run, here, journeys, {"null": rate}, seed=1, max_seconds=seconds + 2 * _LIMIT_S
        )
        try:
            sleep(seconds)
            load.stop()
        finally:
            load.kill()
        sent = [(one.done_ns - one.sent_ns) / 1e6 for one in run.samples() if one.outcome == "ok"]
        account = run.read_json(LOAD_REPORT)
    if account["ended"] != "stop" or not sent:
        why = f"it ended with {account['ended']!r} after {len(sent)} answers"
        raise Unreachable("the customers' process", why, "Calibrate again, or at a lower rate")
    return account, sent


@contextlib.contextmanager
def _null_server() -> Iterator[str]:
    """A server that answers every request at once, in a thread; yields its URL."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, name="null server", daemon=True)
    thread.start()
    try:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_end())
        loop.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_ANSWER)
        finally:
            writer.close()
            await writer.wait_closed()


async def _end() -> None:
    """Close each connection that nobody closed, and wait until it is."""
    serving = asyncio.all_tasks() - {asyncio.current_task()}
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    wanted = {"p50": 0.5, "p99": 0.99}
    last = len(ordered) - 1
    return {
        name: ordered[round(share * last)] if ordered else 0.0 for name, share in wanted.items()
    }
