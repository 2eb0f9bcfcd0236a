"""Runners that are started, ended and watched one at a time, with meddlers in between."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crash_world import World
from holdfast.clock import SECOND, now_ns, sleep, until
from holdfast.store import Run
from tests.meddler import Meddler, between

ROOT = Path(__file__).resolve().parent.parent
LEFT_S = 30.0  # a fault that is there for longer after the end is called left behind
_START_S = 60.0
_LOOK_S = 0.01
_QUIET_NS = 100_000_000  # for so long nothing has to be there
_LOCK_S = 45.0


class Runner:
    """A runner's process, ready to begin."""

    def __init__(self, folder: Path) -> None:
        log = (folder / "runner.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "crash_runner.py")],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        self.passed: dict[str, int] = {}
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def go(self, faults: list[dict[str, Any]], hold_s: float, die: str = "") -> None:
        """Begin."""
        self.wait("ready", _START_S)
        assert self.process.stdin is not None
        asked = {"faults": faults, "hold_s": hold_s, "die": die}
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()

    def wait(self, name: str, seconds: float) -> bool:
        """Has it come to that instant within so many seconds? An empty name: its end."""
        end = now_ns() + round(seconds * SECOND)
        while name not in self.passed and "" not in self.passed:
            try:
                said = self._said.get(timeout=max(0.0, (end - now_ns()) / SECOND))
            except queue.Empty:
                return False
            what, _, when = said.partition(" ")
            self.passed.setdefault(what, int(when or now_ns()))
        return name in self.passed

    def kill(self) -> int:
        """SIGKILL; the instant before it."""
        at = now_ns()
        self.process.kill()
        return at

    def end(self) -> None:
        """Whatever it does: no more."""
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.strip())
        self._said.put("")


@dataclass
class Bench:
    """One place to run at: a folder, what an environment names, and meddlers in between."""

    world: World
    environment: Path
    folder: Path
    api: Meddler
    proxies: Meddler
    _next: list[Runner] = field(default_factory=list)

    def runner(self) -> Runner:
        """The next one; the one after it starts now."""
        self._next.append(Runner(self.folder))
        if len(self._next) == 1:
            self._next.append(Runner(self.folder))
        return self._next.pop(0)

    def close(self) -> None:
        """End those that wait."""
        for one in self._next:
            one.end()

    def free(self) -> float | None:
        """Seconds until the lock is free; None when it is not in time."""
        began = now_ns()
        if until(lambda: not self.world.holder(), seconds=_LOCK_S, every=0.05):
            return (now_ns() - began) / SECOND
        return None

    def newest(self, since_ns: int) -> Run | None:
        """The run folder that was made since then, if any was."""
        found = sorted((self.folder / "runs").glob("*/*/events.jsonl"))
        if not found:
            return None
        run = Run(found[-1].parent)
        events = run.sound("events.jsonl")[0]
        return run if events and events[0]["mono_ns"] >= since_ns else None

    def gone(
        self, since_ns: int, pending: Callable[[], bool], run: Run | None, limit_s: float = LEFT_S
    ) -> "Gone":
        """Look until nothing of the fault is left, and stays so.

        `pending` is called at every look, and says whether anything may still happen. As long as
        the run's watchdog lives, a fault that lands late is waited for.
        """
        last = 0
        while (now_ns() - since_ns) / SECOND < limit_s:
            looked, there = now_ns(), self.world.faults()
            if self.world.harm(there):
                last = now_ns()
            elif (
                not pending()
                and not there
                and looked - last > _QUIET_NS
                and watchdog_of(run) is None
            ):
                return Gone(last, [])
            sleep(_LOOK_S)
        return Gone(last, sorted(self.world.faults()))


@dataclass(frozen=True)
class Gone:
    """When the fault was last seen, in ns (0: never), and what is left of it."""

    last_ns: int
    left: list[str]


def watchdog_of(run: Run | None) -> int | None:
    """The process id of a run's watchdog, as the kernel lists it."""
    wanted = f"holdfast.watchdog\0{run.folder.resolve()}" if run else ""
    for path in Path("/proc").glob("[0-9]*/cmdline") if run else ():
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().decode(errors="replace"):
                return int(path.parent.name)
    return None


def damage(run: Run | None) -> str:
    """What is wrong with a run's logs; empty when every line is as it was written."""
    if run is None:
        return ""
    found = [run.sound(name)[1] for name in ("heals.jsonl", "events.jsonl")]
    return "; ".join(str(one) for one in found if one)


@contextlib.contextmanager
def bench(environment: Path, folder: Path) -> Iterator[Bench]:
    """Everything ready, and nothing of it left at the end."""
    with between(environment, folder) as (api, proxies):
        place = Bench(World(environment), environment, folder, api, proxies)
        try:
            yield place
        finally:
            place.close()
            place.free()  # the watchdog of a run that was interrupted ends first
