"""Which share of a run's wall time is the framework's own, beyond the fault, its waits and windows.

Goal: at most 1 %. The run must not have been collected or judged again since: its last steps end
when their files were written. Planning comes before the folder and is not in it.
"""

import argparse
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.clock import SECOND
from holdfast.documents import seconds
from holdfast.errors import HoldfastError
from holdfast.store import Run

GOAL = 0.01
LOOK_S = 1.0  # a wait that ends later than this after its promised length was extended on purpose
JUDGED_S = 600.0  # a report that was written later is of another judging


@dataclass(frozen=True)
class Step:
    """A stretch of the run, in seconds: in all, and the framework's own part of it."""

    name: str
    wall: float
    own: float


class Instants:
    """The instants of a run, in seconds since its first anchor."""

    def __init__(self, run: Run) -> None:
        self._events = run.records("events.jsonl")
        self._zero = self._events[0]
        journal = run.read_json("journal.json")
        self._wait = next(one for one in journal["run"] if "held_s" in (one["output"] or {}))
        self._run = run

    def phase(self, name: str) -> float:
        """When that phase began."""
        for one in self._events:
            if one["event"] == "phase" and one["name"] == name:
                return self._since(one["mono_ns"])
        raise LookupError(f"the run ended before its phase {name}")

    def event(self, name: str, otherwise: float) -> float:
        """When that event was written down; a kill has no undo."""
        found = (self._since(one["mono_ns"]) for one in self._events if one["event"] == name)
        return next(found, otherwise)

    def written(self, pattern: str) -> float:
        """When the newest of those files was written."""
        newest = max(path.stat().st_mtime for path in self._run.folder.glob(pattern))
        return float(newest - self._zero["wall_ns"] / SECOND)

    def fault(self) -> tuple[float, float]:
        """When the injecting call began, and when it returned."""
        one = next(one for one in self._events if one["event"] == "fault")
        return self._since(one["began_ns"]), self._since(one["returned_ns"])

    def waited(self) -> float:
        """When the wait that holds the fault ended, by Chaos Toolkit's journal."""
        ended = datetime.fromisoformat(self._wait["end"]).timestamp()
        return float(ended - self._zero["wall_ns"] / SECOND)

    def _since(self, mono_ns: int) -> float:
        return float((mono_ns - self._zero["mono_ns"]) / SECOND)


def waiting(name: str, wall: float, promised: float) -> Step:
    """A wait: its own part is what it took beyond its length, unless it was extended on purpose."""
    over = wall - promised
    return Step(name, wall, over if 0 < over < LOOK_S else 0.0)


def steps(run: Run) -> list[Step]:
    """The run, from its folder's first record to its report."""
    when, plan = Instants(run), run.read_json("plan.json")
    before, fault, after, drain, end = (
        when.phase(name) for name in ("before", "fault", "after", "drain", "end")
    )
    began, returned = when.fault()
    undo, waited = when.event("undo_began", after), when.waited()
    undone = when.event("undo_verified", undo)
    collected, judged, told = map(when.written, ("series/*", "findings.json", "report.html"))
    if not end < collected < judged < told < end + JUDGED_S:
        raise LookupError("it was collected or judged again")
    method = plan["experiment"]["method"]
    held = next(one for one in method if one["provider"]["func"] == "wait")
    least = seconds(held["provider"]["arguments"]["at_least"])
    return [
        Step("start the customers", before, before),
        waiting("before", fault - before, plan["extension"]["before"]),
        Step("start Chaos Toolkit, hypothesis", began - fault, began - fault),
        Step("inject", returned - began, 0.0),
        waiting("hold", waited - returned, least - (returned - began)),
        Step("look again, hypothesis", undo - waited, undo - waited),
        Step("undo, read back", undone - undo, 0.0),
        Step("end Chaos Toolkit", after - undone, after - undone),
        waiting("after", drain - after, plan["extension"]["after"]),
        Step("drain, settle, last scrape", end - drain, 0.0),
        Step("collect", collected - end, collected - end),
        Step("read, judge", judged - collected, judged - collected),
        Step("report", told - judged, told - judged),
    ]


def measure(folder: Path) -> list[Step]:
    """The steps of the run in that folder; ends this script when they cannot be told."""
    try:
        return steps(Run.open(folder))
    except (HoldfastError, LookupError, StopIteration, OSError) as error:
        sys.exit(f"cannot be measured: {folder}: {error!r}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/overhead.py runs/slow-gateway/20260102T0304…Z",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    found = measure(parser.parse_args().run)
    wall, own = sum(one.wall for one in found), sum(one.own for one in found)
    rows: list[Any] = [
        [one.name, f"{one.wall:.3f} s", f"{one.own:.3f} s", f"{one.own / wall:.2%}"]
        for one in [*found, Step("in all", wall, own)]
    ]
    print(machine.table(["step", "wall time", "of it our own", "share"], rows))
    print(f"our own {own / wall:.2%}, goal {GOAL:.0%}: {machine.against(own / wall, GOAL)}")
    print(machine.line())


if __name__ == "__main__":
    main()
