"""The same ends of a run, by Chaos Toolkit as a user would use it, and with holdfast.

Chaos Toolkit itself runs each (`chaos run`), with an action of the user's own or with holdfast's;
some are run by `holdfast run`, too. The fault is the same: a proxy that answers 2 s late.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.crash_bench import ROOT, Bench
from holdfast.clock import SECOND, now_ns, sleep, until

STEP_S = 6.0  # a rollback before the one that matters, where a second signal comes meanwhile
AGAIN_S = 2.0
LEFT_S = 10.0  # once every process is gone, nobody undoes what is there after so long
_HOLD_S = 8.0
_REACH_S = 90.0
_END_S = 120.0
_PLAIN = "benchmarks.crash_plain"


@dataclass(frozen=True)
class End:
    """How a run ends: signals to its process, each two seconds after the one before."""

    name: str
    signals: tuple[int, ...] = ()
    probe_fails: bool = False

    @property
    def slow_step(self) -> bool:
        """Does a rollback take long, so that the second signal comes while rollbacks run?"""
        return len(self.signals) > 1


@dataclass(frozen=True)
class Way:
    """A way to run it."""

    name: str
    strategy: str = ""
    ours: bool = False


ENDS = (
    End("SIGTERM in the hold", (signal.SIGTERM,)),
    End("SIGINT in the hold", (signal.SIGINT,)),
    End("SIGINT, then SIGTERM 2 s later", (signal.SIGINT, signal.SIGTERM)),
    End("SIGTERM twice", (signal.SIGTERM, signal.SIGTERM)),
    End("SIGKILL", (signal.SIGKILL,)),
    End("probe's source gone after the fault", probe_fails=True),
)
FULL = Way("holdfast run")
WAYS = (
    Way("chaos run, default", "default"),
    Way("chaos run, always", "always"),
    Way("chaos run, always, holdfast's actions", "always", ours=True),
    FULL,
)


def pairs() -> list[tuple[End, Way]]:
    """Every row and column; `holdfast run` has no step of a user's own, and takes no such probe."""
    return [(end, way) for end in ENDS for way in WAYS if way is not FULL or not end.probe_fails]


def ended(bench: Bench, end: End, way: Way) -> dict[str, Any]:
    """Run it in a folder of its own, end it, and look at what is left."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shutil.copy(bench.folder / "environment.yaml", folder)
        command = _full(folder) if way is FULL else _chaos(bench, folder, end, way)
        with _started(command, folder) as process:
            until(
                lambda: bool(bench.world.faults()) or process.poll() is not None, seconds=_REACH_S
            )
            reached = process.poll() is None
            sleep(0.5)
            at = now_ns()
            _send(process, end)
            last, code = _watched(bench, process)
            if (told := folder / "asked.failed").exists():
                at = int(told.read_text())
            journal = _journal(folder)
        left = sorted(bench.world.faults())
        bench.free()  # a watchdog may still write into the folder
    if left:
        bench.world.clean()
    gone_s = None if left or not reached else max(0, last - at) / SECOND
    found = {"end": end.name, "way": way.name, "exit": code, "journal": journal, "left": left}
    good = reached and not (left and (way.ours or way is FULL))
    return {**found, "reached": reached, "gone_s": gone_s, "good": good}


@contextlib.contextmanager
def _started(command: list[str], folder: Path) -> Any:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _send(process: subprocess.Popen[bytes], end: End) -> None:
    for place, number in enumerate(end.signals):
        threading.Timer(place * AGAIN_S, process.send_signal, [number]).start()


def _watched(bench: Bench, process: subprocess.Popen[bytes]) -> tuple[int, int | None]:
    """When the fault was last seen, and how the process ended."""
    last = began = now_ns()
    over = 0
    while now_ns() - began < _END_S * SECOND:
        there = bool(bench.world.faults())
        last = now_ns() if there else last
        if process.poll() is not None:
            over = over or now_ns()
            if not there or now_ns() - over > LEFT_S * SECOND:
                break
        sleep(0.02)
    return last, process.poll()


def _journal(folder: Path) -> str:
    """What the journal says of how it ended; `missing` when there is none."""
    found = [folder / "journal.json", *(folder / "runs").glob("*/*/journal.json")]
    for path in found:
        if path.exists():
            return str(json.loads(path.read_text()).get("status", "?"))
    return "missing"


def _chaos(bench: Bench, folder: Path, end: End, way: Way) -> list[str]:
    where = {"url": bench.proxies.url, "proxy": bench.world.proxies[0]}
    fault = _activity(_PLAIN, "slow", where)
    undo = _activity(_PLAIN, "restore", where)
    if way.ours:
        arguments = {"proxy": where["proxy"], "latency_ms": 2000}
        fault = _activity("holdfast.actions.gateway", "slow", arguments)
        undo = _activity("holdfast.actions.undo", "everything", {})
    fault["pauses"] = {"after": 1.0 if end.probe_fails else _HOLD_S}
    first = [_activity(_PLAIN, "slow_step", {"seconds": STEP_S})] if end.slow_step else []
    document: dict[str, Any] = {
        "title": "t",
        "description": "d",
        "method": [fault],
        "rollbacks": [*first, undo],
    }
    if end.probe_fails:
        probe = _activity(_PLAIN, "works_once", {"path": str(folder / "asked")})
        probe |= {"type": "probe", "tolerance": True}
        document["steady-state-hypothesis"] = {"title": "it answers", "probes": [probe]}
    (folder / "experiment.json").write_text(json.dumps(document))
    chaos = str(Path(sys.executable).parent / "chaos")
    options = ["--rollback-strategy", way.strategy]
    return [chaos, "--no-version-check", "run", *options, "experiment.json"]


def _activity(module: str, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": function, "arguments": arguments}
    return {"type": "action", "name": function, "provider": provider}


def _full(folder: Path) -> list[str]:
    """The shipped experiment, with short phases: it ends long before they do."""
    shipped = ROOT / "experiments"
    document = yaml.safe_load((shipped / "slow-gateway.yaml").read_text())
    short = {"before": "10s", "after": "10s", "objectives": ["recovery", "availability", "money"]}
    document["extensions"][0].update(short)
    (folder / "slow-gateway.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    for name in ("journeys.yaml", "objectives.yaml"):
        shutil.copy(shipped / name, folder)
    return [str(Path(sys.executable).parent / "holdfast"), "run", "slow-gateway.yaml"]
