"""The process itself: paces the requests, gives up at their limits, ends when it is told to.

It ends on the line `stop` (after a drain), when its standard input closes or on SIGTERM (at once),
and after `max_seconds` (after a drain). It ignores SIGINT, which is for the runner.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from holdfast.arrivals import Load as Shape
from holdfast.arrivals import peak
from holdfast.clock import SECOND, now_ns
from holdfast.errors import HoldfastError
from holdfast.load.connections import OPEN, Entrance, Pool, told_already
from holdfast.load.flows import Flow
from holdfast.load.merge import merge
from holdfast.load.pacing import pacer
from holdfast.load.record import Account, Rows, about_this_process, cpu_seconds
from holdfast.load.schedule import schedule
from holdfast.load.scripts import Exchange, Script
from holdfast.load.shards import Shard
from holdfast.model import plain
from holdfast.store import LOAD_PLAN, Run, open_private

_ABOUT = "Send the requests of a load plan; started by holdfast, or as one shard of several."
_TICK = SECOND // 40  # between looks at limits, connections and rows
_NEVER = (1 << 63) - 1
_AHEAD = 8  # requests that are made together, as they cost half then
_ROWS_EVERY = SECOND // 5  # each time, another thread takes the interpreter for a moment
_REPORT_EVERY = 5 * SECOND
_HEAD_START = SECOND // 4  # for the first connections
_BATCH = 200  # requests sent before answers are looked at again, after this process was held up
_SOCKETS_APART = 64  # descriptors for everything that is not a connection


def socket_bound(loads: Mapping[str, Shape], limits: Mapping[str, float], seconds: float) -> int:
    """The most connections: what can be open when nothing is answered, as the system allows it.

    `seconds` is how long customers send at most. Raises the soft limit of open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = sum(peak(load, limits[name], seconds) for name, load in loads.items())
    wanted = 2_000 + round(1.1 * waiting)
    ceiling = wanted + _SOCKETS_APART
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
    return min(wanted, ceiling - _SOCKETS_APART)


def script(name: str, journey: Mapping[str, Any], plan: Mapping[str, Any], run_id: str) -> Script:
    """A journey, ready to be sent."""
    kind = Flow if journey.get("python") else Script
    return kind(name, journey, plan, run_id)


class Load:
    """One run of the customers; made inside a running event loop."""

    def __init__(self, run: Run, plan: dict[str, Any], shard: Shard) -> None:
        self._run, self._seed, self._shard = run, plan["seed"], shard
        journeys = {name: plan["journeys"][name] for name in plan["loads"]}
        self._scripts = {
            name: script(name, journey, shard.plan(plan), plan["run"])
            for name, journey in journeys.items()
        }
        self._open: dict[str, deque[Exchange]] = {name: deque() for name in journeys}
        self._unsettled = 0
        self._sending = False
        self._rows = Rows(run.path(shard.samples))
        self._account = Account(journeys, self._rows)
        limits = {name: journey["limit"] for name, journey in journeys.items()}
        self._most = socket_bound(plan["loads"], limits, plan["max_seconds"])
        self._pool = Pool(Entrance.of(plan["url"], plan["ca"]), self._most, self._settle)

        self._loop = asyncio.get_running_loop()
        self._start_ns = shard.start_ns(plan, _HEAD_START)
        self._last_ns = self._start_ns + round(plan["max_seconds"] * SECOND)
        self._end_ns = 0  # when the scheduling ended; 0 while it goes on
        self._tick_ns = self._rows_ns = self._report_ns = 0  # when each is due
        self._schedule = shard.mine(schedule(plan["loads"], self._start_ns))
        self._ready: deque[Exchange] = deque()
        self._prepare()
        self._next_ns = self._ready[0].scheduled_ns  # when there is something to send, or to stop
        self._pacer = pacer(self._loop, self._due)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._why = ""
        self._heard = b""
        self._start_cpu_s = round(cpu_seconds(), 3)

    async def main(self) -> str:
        """Send until told to stop; returns why it ended: stop, max_seconds, pipe, signal, error."""
        self._loop.set_exception_handler(self._failed)
        self._loop.add_signal_handler(signal.SIGTERM, self._end, "signal")
        if not self._shard.named:
            self._loop.add_reader(sys.stdin.fileno(), self._listen)
        self._pool.fill()
        self._due()
        await self._ended
        self._pacer.close()
        self._account.write_up()
        self._rows.close()
        self._run.write_json(self._shard.report, self._report())
        return self._why

    def _due(self) -> None:
        """Send what is due; look after everything else when it is time to."""
        self._send_due()
        if self._tick_ns <= now_ns():
            self._tick()
        if not self._ended.done():
            self._pacer.arm(min(self._next_ns, self._tick_ns))

    def _send_due(self) -> None:
        self._sending = True
        for _ in range(_BATCH):
            if self._next_ns > now_ns():
                break
            if self._next_ns >= self._last_ns:
                self._stop("stop" if self._shard.named else "max_seconds")
                break
            self._send(self._ready.popleft())
            if not self._ready:
                self._prepare()
            self._next_ns = min(self._ready[0].scheduled_ns, self._last_ns)
        self._sending = False

    def _prepare(self) -> None:
        self._ready += [
            self._scripts[name].request(due_ns) for due_ns, name in islice(self._schedule, _AHEAD)
        ]

    def _send(self, exchange: Exchange) -> None:
        self._unsettled += 1
        self._account.sent.append(exchange)
        if isinstance(exchange.script, Flow):
            exchange.script.send(exchange, self._pool.tls, self._pool.settle)
        else:
            self._pool.send(exchange)

    def _settle(self, exchange: Exchange, outcome: str, code: int) -> None:
        exchange.done_ns, exchange.outcome, exchange.code = now_ns(), outcome, code
        self._account.settled.append(exchange)
        self._unsettled -= 1
        if self._end_ns:
            if not self._unsettled:
                self._end(self._why)
        elif not self._sending:
            if self._next_ns <= exchange.done_ns:
                self._send_due()  # answers after a stall come all at once: what is due cannot wait
            elif len(self._ready) == 1:
                self._prepare()  # now, rather than when the next one has been sent

    def _tick(self) -> None:
        now = now_ns()
        self._tick_ns = now + _TICK
        for one in self._account.write_up():
            self._open[one.script.name].append(one)
        for waiting in self._open.values():
            self._give_up(waiting, now)
        self._pool.tidy()
        if now >= self._rows_ns:
            self._rows_ns = now + _ROWS_EVERY
            self._rows.flush()
        if self._rows.error:
            self._fail(f"the samples cannot be written: {self._rows.error}")
        if now >= self._report_ns:
            self._report_ns = now + _REPORT_EVERY
            self._write_report()

    def _give_up(self, waiting: deque[Exchange], now: int) -> None:
        """Drop what has reached its limit; requests of one journey reach it in order."""
        while waiting:
            first = waiting[0]
            if not first.settled:
                if first.scheduled_ns + first.script.limit_ns > now:
                    return
                self._pool.settle(first, "timeout" if first.written else "connect", 0)
                first.drop()
            waiting.popleft()

    def _listen(self) -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            self._end("pipe")
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        if b"stop" in lines:
            self._stop("stop")

    def _stop(self, why: str) -> None:
        """Schedule no more; end once every request is settled."""
        if not self._end_ns:
            self._why = why
            self._end_ns = now_ns()
            self._next_ns = _NEVER
            if not self._unsettled:
                self._end(why)

    def _end(self, why: str) -> None:
        """End now; requests that are still open are left out."""
        self._end_ns = self._end_ns or now_ns()
        self._next_ns = _NEVER
        if not self._ended.done():
            self._why = why
            if not self._shard.named:
                self._loop.remove_reader(sys.stdin.fileno())
            self._ended.set_result(None)

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not told_already(context):
            loop.default_exception_handler(context)
            self._fail(str(context.get("exception") or context["message"]))

    def _fail(self, what: str) -> None:
        print(f"holdfast.load: {what}", file=sys.stderr)
        self._end("error")

    def _report(self) -> dict[str, Any]:
        return {
            "ended": self._why,
            "start_ns": self._start_ns,
            "end_ns": self._end_ns or now_ns(),
            "seed": self._seed,
            "journeys": self._account.counts,
            "open": self._unsettled,
            "requests": self._pool.requests,
            "connections": {
                "limit": self._most,
                "most_open": self._pool.most_open,
                "opened": self._pool.opened,
                "kept_open": OPEN,
            },
            "no_socket_left": self._pool.capped,
            **self._account.lateness.report(),
            "event_loop": type(self._loop).__module__.partition(".")[0],
            **about_this_process(),
            "cpu_seconds_of_start": self._start_cpu_s,
            **plain(self._shard.about()),
        }

    def _write_report(self) -> None:
        """Whole, but not forced to the disk, which may take longer than a request can wait."""
        path = self._run.path(self._shard.report)
        part = path.with_name(f".{path.name}")
        part.unlink(missing_ok=True)
        with open_private(part) as file:
            file.write(json.dumps(self._report()).encode() + b"\n")
        part.replace(path)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where the extra `fast` is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _customers(run: Run, shard: Shard) -> str:
    load = Load(run, run.read_json(LOAD_PLAN), shard)
    gc.collect()
    gc.freeze()
    return await load.main()


def main(arguments: list[str]) -> None:
    """Run the customers of a run folder; exit 1 if they failed."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.load", description=_ABOUT)
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="it holds load_plan.json")
    parser.add_argument("--shard", default="", metavar="I/N", help="such as 0/4: every fourth")
    parser.add_argument("--merge", action="store_true", help="make one record of all shards'")
    options = parser.parse_args(arguments)
    run = Run(options.folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if options.merge:
            print(f"{merge(run)} requests, each of them once")
            return
        shard = Shard.read(options.shard) if options.shard else Shard()
        runner = asyncio.Runner(loop_factory=_loop_factory())
        why = runner.run(_customers(run, shard))
    except (HoldfastError, OSError) as error:
        sys.exit(str(error))
    sys.stderr.flush()
    os._exit(1 if why == "error" else 0)  # a name lookup that hangs in a thread cannot hold it up
