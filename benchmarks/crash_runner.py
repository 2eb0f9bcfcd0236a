"""One run in the way of plain `chaos run`, which can be killed at a named instant.

Chaos Toolkit itself runs an experiment with the rollback strategy `always`, in a folder with an
environment.yaml; holdfast's action takes the lock and starts the watchdog. Reads one JSON line once
it is ready, so that importing does not count; tells each instant that it passes on standard output,
and sends itself SIGKILL at the one that was asked for. The instants are seen through
`sys.monitoring`: no code is replaced.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

from chaoslib.experiment import run_experiment

from benchmarks.crash_plain import slow_step
from holdfast import heal, lock, supervision
from holdfast.actions import gateway, undo, zones
from holdfast.clock import now_ns
from holdfast.cluster import Cluster
from holdfast.toxiproxy import Toxiproxy

START, RETURN = sys.monitoring.events.PY_START, sys.monitoring.events.PY_RETURN
_TOOL = sys.monitoring.PROFILER_ID


def _code(function: Any) -> CodeType:
    code: CodeType = getattr(function, "__wrapped__", function).__code__
    return code


INSTANTS = {
    (_code(lock.acquire), START): "begun",
    (_code(lock.acquire), RETURN): "locked",
    (_code(supervision.ensure), RETURN): "watched",
    (_code(Toxiproxy.add_toxic), START): "intended",
    (_code(Cluster.cordon), START): "intended",
    (_code(heal.injecting), RETURN): "active",
    (_code(heal.undo), START): "undoing",
    (_code(heal.undo), RETURN): "verified",
}
ACTIONS: dict[str, Callable[..., Any]] = {
    "slow": gateway.slow,
    "cut": gateway.cut,
    "drop": zones.drop,
}


def watch(at: Callable[[str], None]) -> None:
    """Call `at` with the name of each instant as it passes."""
    sys.monitoring.use_tool_id(_TOOL, "crash")

    def passed(event: int) -> Callable[..., None]:
        return lambda code, *_: at(INSTANTS[code, event]) if (code, event) in INSTANTS else None

    for event in (START, RETURN):
        sys.monitoring.register_callback(_TOOL, event, passed(event))
    for code in {code for code, _ in INSTANTS}:
        wanted = sum(event for it, event in INSTANTS if it == code)
        sys.monitoring.set_local_events(_TOOL, code, wanted)


def tell(name: str) -> None:
    """Say that an instant has come, and when, on the monotonic clock that all processes share."""
    os.write(1, f"{name} {now_ns()}\n".encode())


def die() -> None:
    """At once: no handler, no `finally`, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)


def experiment(faults: list[dict[str, Any]], hold_s: float) -> dict[str, Any]:
    """Each fault, held for so long after the last, and the undo of everything.

    Held by an activity: a `pauses.after` of Chaos Toolkit is slept to its end also when SIGTERM
    came in its activity (chaoslib 1.45), which is why holdfast refuses pauses.
    """
    method = [_activity(ACTIONS[one["action"]], one["arguments"]) for one in faults]
    method.append(_activity(slow_step, {"seconds": hold_s}))
    return {
        "title": "crash",
        "description": "a fault that is held for a moment",
        "method": method,
        "rollbacks": [_activity(undo.everything, {})],
    }


def _activity(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": "python", "module": function.__module__, "func": function.__name__}
    return {
        "type": "action",
        "name": function.__name__,
        "provider": {**provider, "arguments": arguments},
    }


def main() -> None:
    """Be ready; run what is asked for; leave a journal, as `chaos run` does."""
    tell("ready")
    asked = json.loads(sys.stdin.readline())

    def at(name: str) -> None:
        tell(name)
        if name == asked["die"]:
            die()

    watch(at)
    journal = run_experiment(
        experiment(asked["faults"], asked["hold_s"]),
        settings={"runtime": {"rollbacks": {"strategy": "always"}}},
    )
    text = json.dumps(journal, indent=2, default=str)
    with Path("journal.json").open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        at("reporting")
        file.write(text[len(text) // 2 :])
    tell("ended")
    sys.exit(0 if journal["status"] == "completed" else 1)


if __name__ == "__main__":
    main()
