"""A trial: a run with one fault, its runner killed at one of the instants K0 to K9."""

import random
from dataclasses import dataclass
from typing import Any

from benchmarks.crash_bench import Bench, Runner, damage
from holdfast.clock import SECOND, now_ns, sleep, ticks

POINTS = {
    "K0": "start",
    "K1": "after the lock",
    "K2": "after the intent, before the request",
    "K3": "request sent",
    "K4": "answer lost",
    "K5": "after the active record",
    "K6": "mid-hold",
    "K7": "undo sent",
    "K8": "undo verified, before its record",
    "K9": "during the report",
}
_UNDER_WAY = ("K2", "K3", "K4")
ACTIONS = ("slow", "cut", "drop")
_SELF = {"K0": "begun", "K2": "intended", "K5": "active", "K8": "verified", "K9": "reporting"}
_NO_WATCHDOG_YET = 0.1  # share of K1 before there is a watchdog: the lock then has to expire
_INJECTS = {
    "slow": (r"POST /proxies/[^/]+/toxics",),
    "cut": (r"POST /proxies/[^/]+/toxics", r"POST /proxies/[^/]+$"),
    "drop": (r"PATCH .*/nodes/",),
}
_UNDOES = {
    "slow": (r"DELETE /proxies/.*/toxics/",),
    "cut": (r"POST /proxies/[^/]+$", r"DELETE /proxies/.*/toxics/"),
    "drop": (r"PATCH .*/nodes/",),
}
LATE_S = 1.0  # for so long at most the network keeps a request back whose sender is dead
_REACH_S = 60.0
_WHOLE_S = 120.0


@dataclass(frozen=True)
class Trial:
    """What came of it.

    `gone_s` counts from the kill, or from when a held request went on if the fault was seen after
    that; None when no fault was seen after the kill.
    """

    number: int
    point: str
    action: str
    how: str
    reached: bool
    left: list[str]
    gone_s: float | None
    log: str
    free_s: float | None

    @property
    def good(self) -> bool:
        """Nothing left, the log whole, the lock free."""
        return self.reached and not self.left and not self.log and self.free_s is not None


@dataclass(frozen=True)
class _Kill:
    """Where: at an instant of the runner's own, at a request that is held, or after so long."""

    instant: str = ""
    after: str = ""
    hold: str = ""
    answer: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        what = f"{'answer to' if self.answer else 'request'} {self.hold}" if self.hold else ""
        return what or self.instant or f"{self.seconds:.2f} s into the hold"


def schedule(trials: int, seed: int) -> list[tuple[str, str]]:
    """Point and action of each trial, in an order that the seed decides.

    Every point as often, but for those where a request may be under way: the lock is kept for five
    seconds there, until none can arrive any more, so they come half as often.
    """
    points = [*POINTS, *(one for one in POINTS if one not in _UNDER_WAY)]
    every = [
        (points[number % len(points)], ACTIONS[number // len(points) % len(ACTIONS)])
        for number in range(trials)
    ]
    random.Random(seed).shuffle(every)
    return every


def trial(bench: Bench, number: int, seed: int, pair: tuple[str, str]) -> Trial:
    """Run it, kill it, watch what is left."""
    point, action = pair
    chance = random.Random(f"{seed}/{number}")
    kill = _kill(point, action, chance)
    runner, faults = bench.runner(), [fault(bench, action, chance)]
    began = now_ns()
    runner.go(faults, 0.2 + chance.uniform(0.0, 0.4), kill.instant)
    try:
        killed = _killed(bench, runner, kill)
    finally:
        runner.end()
    at = killed or now_ns()
    released = at + round(chance.uniform(0.0, LATE_S) * SECOND)

    def pending() -> bool:
        """The network keeps back for a while what it has of a process that is dead."""
        if now_ns() >= released or not kill.hold:
            bench.api.clear()
            bench.proxies.clear()
            return False
        return True

    run = bench.newest(began)
    gone = bench.gone(at, pending, run)
    if gone.left:
        bench.world.clean()
    since = released if kill.hold and gone.last_ns > released else at
    seconds = max(0, gone.last_ns - since) / SECOND
    return Trial(
        number=number,
        point=point,
        action=action,
        how=str(kill),
        reached=killed is not None,
        left=gone.left,
        gone_s=seconds if gone.last_ns else None,
        log=damage(run),
        free_s=bench.free(),
    )


def _killed(bench: Bench, runner: Runner, kill: _Kill) -> int | None:
    """Let it come to its instant; when it was killed, None when it never came there."""
    if kill.instant:
        return runner.passed[kill.instant] if _died(runner, kill.instant) else None
    if kill.after and not runner.wait(kill.after, _REACH_S):
        return None
    if not kill.hold:
        sleep(kill.seconds)
        return runner.kill()
    meddler = bench.api if "nodes" in kill.hold else bench.proxies
    held = (meddler.hold_answer if kill.answer else meddler.hold_request)(kill.hold)
    if not held.reached.wait(_REACH_S):
        return None
    return runner.kill()


def _died(runner: Runner, instant: str) -> bool:
    reached = runner.wait(instant, _REACH_S)
    return reached and runner.process.wait(_REACH_S) < 0


def _kill(point: str, action: str, chance: random.Random) -> _Kill:
    if point == "K1":
        return _Kill("locked" if chance.random() < _NO_WATCHDOG_YET else "watched")
    if point in _SELF:
        return _Kill(_SELF[point])
    if point == "K6":
        return _Kill(after="active", seconds=chance.uniform(0.0, 0.2))
    if point == "K7":
        return _Kill("", "active", chance.choice(_UNDOES[action]), chance.random() < 0.5)
    return _Kill("", "", chance.choice(_INJECTS[action]), point == "K4")


def fault(bench: Bench, action: str, chance: random.Random) -> dict[str, Any]:
    """What to break this time."""
    if action == "drop":
        place = bench.world.workload["namespace"]
        return {"action": action, "arguments": {"zone": _zone(bench), "namespaces": [place]}}
    arguments: dict[str, Any] = {"proxy": chance.choice(bench.world.proxies)}
    if action == "slow":
        arguments["latency_ms"] = 2000
    return {"action": action, "arguments": arguments}


def _zone(bench: Bench) -> str:
    """Wait until the service has recovered from the last drop; a zone that may go next."""
    for _ in ticks(_WHOLE_S, every=0.1):
        if found := bench.world.zone():
            return found
    raise SystemExit(f"the service was not whole again within {_WHOLE_S:.0f} s: look at its pods")
