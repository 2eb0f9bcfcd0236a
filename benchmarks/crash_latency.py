"""How long a fault stays after a first signal, the emergency lever, or the loss of a host."""

import os
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

from benchmarks.crash_bench import Bench, Gone, Runner, watchdog_of
from benchmarks.crash_trials import ACTIONS, fault
from holdfast import lock
from holdfast.clock import SECOND, now_ns, sleep, until
from holdfast.documents import read_environment
from holdfast.store import Run

AGAIN_S = 0.05
HOST_S = 60.0
_HOLD_S = 60.0
_REACH_S = 60.0


def _signals(*numbers: int) -> Callable[[Bench, Runner], int]:
    """Each in turn, the next one while the first heals; answers with when the first was sent."""

    def send(_: Bench, runner: Runner) -> int:
        at = now_ns()
        for place, number in enumerate(numbers):
            threading.Timer(place * AGAIN_S, runner.process.send_signal, [number]).start()
        return at

    return send


def _stop(bench: Bench, _: Runner) -> int:
    """What `holdfast stop --reason` does, without the second that Python needs to start."""
    at = now_ns()
    lock.stop(read_environment(bench.environment), "a benchmark")
    return at


ENDS: dict[str, Callable[[Bench, Runner], int]] = {
    "SIGTERM": _signals(signal.SIGTERM),
    "SIGINT": _signals(signal.SIGINT),
    "SIGTERM, and again 50 ms later": _signals(signal.SIGTERM, signal.SIGTERM),
    "SIGINT, SIGTERM 50 ms later": _signals(signal.SIGINT, signal.SIGTERM),
    "holdfast stop": _stop,
}


def ended(bench: Bench, number: int, seed: int, kind: str) -> dict[str, Any]:
    """A run that is ended in mid-hold."""
    chance, began = random.Random(f"{seed}/{kind}/{number}"), now_ns()
    runner, faults = bench.runner(), [fault(bench, ACTIONS[number % len(ACTIONS)], chance)]
    try:
        runner.go(faults, _HOLD_S)
        reached = runner.wait("active", _REACH_S)
        sleep(chance.uniform(0.05, 1.0))
        run = bench.newest(began)
        at = ENDS[kind](bench, runner)
        gone = bench.gone(at, lambda: False, run)
        runner.wait("", _REACH_S)
        code = runner.process.wait(_REACH_S)
    finally:
        runner.end()
        if kind == "holdfast stop":
            lock.lift(read_environment(bench.environment))
    more = {"exit": code, "verified_s": _verified(run, at)}
    return _said(bench, (kind, reached), at, gone) | more


def lost(bench: Bench, number: int, seed: int) -> dict[str, Any]:
    """Every process of a run is gone at once: three faults are left to the reaper."""
    chance, began = random.Random(f"{seed}/host/{number}"), now_ns()
    first, second, *_ = chance.sample(bench.world.proxies, 2)
    faults = [
        {"action": "slow", "arguments": {"proxy": first, "latency_ms": 2000}},
        {"action": "cut", "arguments": {"proxy": second}},
        fault(bench, "drop", chance),
    ]
    runner = bench.runner()
    try:
        runner.go(faults, _HOLD_S)
        reached = until(
            lambda: any("cordoned" in one for one in bench.world.faults()), seconds=_REACH_S
        )
        sleep(chance.uniform(0.5, 3.0))
        watchdog = watchdog_of(bench.newest(began))
        at = now_ns()
        if watchdog:
            os.kill(watchdog, signal.SIGKILL)
    finally:
        runner.end()
    gone = bench.gone(at, lambda: False, None, HOST_S)
    return _said(bench, ("host gone", reached and bool(watchdog)), at, gone)


def _said(bench: Bench, what: tuple[str, bool], at: int, gone: Gone) -> dict[str, Any]:
    """What came of it; `what` is its kind, and whether the run came to where it was ended."""
    if gone.left:
        bench.world.clean()
    free = bench.free()
    return {
        "kind": what[0],
        "reached": what[1],
        "gone_s": max(0, gone.last_ns - at) / SECOND,
        "left": gone.left,
        "free_s": free,
        "good": what[1] and not gone.left and free is not None,
    }


def _verified(run: Run | None, at: int) -> float | None:
    """Seconds until the run itself had read back that all is undone."""
    for one in run.sound("events.jsonl")[0] if run else ():
        if one["event"] == "undo_verified" and one["mono_ns"] >= at:
            return float((one["mono_ns"] - at) / SECOND)
    return None
