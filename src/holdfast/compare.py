"""A run against the last accepted runs of the same experiment in the same environment."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import InvalidInput
from holdfast.judge import timeline
from holdfast.measure.regression import RUNS_MIN, Slide, quantile, slide
from holdfast.model import Interval, Record, Window
from holdfast.store import Run

_JUDGED = ("findings.json", "observations.json")
_QUANTILES = {"p50": 0.5, "p99": 0.99}


@dataclass(frozen=True)
class Comparison:
    """What became of each quantity, and the runs that it was compared with, newest first."""

    run: str
    earlier: tuple[str, ...]
    slides: tuple[Slide, ...]

    @property
    def enough(self) -> bool:
        """Were there enough earlier runs?"""
        return len(self.earlier) >= RUNS_MIN

    @property
    def exit_code(self) -> int:
        """Of the gate: 1 when something slid, 3 when it cannot be told, 0 when nothing did."""
        if any(one.slid for one in self.slides):
            return 1
        return 0 if self.enough and all(one.slid is False for one in self.slides) else 3


def compare(folder: Path, last: int, tell: Callable[[str], None]) -> Comparison:
    """Compare a run with the last accepted ones beside it; `tell` hears each run that is read.

    Raises:
        InvalidInput: the folder holds no judged run, or a control run; or what is compared was
            changed since it was judged.
    """
    run = Run.open(folder)
    plan = run.read_json("plan.json")
    if plan.get("control"):
        step = "Compare a run of the experiment itself"
        raise InvalidInput(str(folder), f"it is a control run ({plan['control']})", step)
    tell(folder.name)
    now = quantities(run, plan)
    earlier: list[tuple[str, Mapping[str, Interval | None]]] = []
    for other in accepted(folder, plan):
        if len(earlier) == last:
            break
        tell(other.folder.name)
        earlier.append((str(other.folder), quantities(other, other.read_json("plan.json"))))
    slides = tuple(
        slide(name, now[name], [v for _, one in earlier if (v := one.get(name))], len(now))
        for name in now
    )
    return Comparison(str(folder), tuple(name for name, _ in earlier), slides)


def accepted(folder: Path, plan: Mapping[str, Any]) -> Iterator[Run]:
    """The earlier runs beside a run that ended with 0, of the same kind, newest first."""
    kind = same(plan)
    for other in sorted(folder.resolve().parent.iterdir(), reverse=True):
        if other.name >= folder.resolve().name or not (other / "findings.json").is_file():
            continue
        run = Run.open(other)
        findings, theirs = run.read_json("findings.json"), run.read_json("plan.json")
        held = bool(findings) and all(one["verdict"] == "held" for one in findings)
        if held and not theirs.get("control") and same(theirs) == kind:
            yield run


def same(plan: Mapping[str, Any]) -> str:
    """A hash of what has to be the same for runs to be compared: experiment, journeys, where."""
    parts = plan.get("experiment"), plan.get("journeys"), plan["environment"].get("name")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def quantities(run: Run, plan: Mapping[str, Any]) -> dict[str, Interval | None]:
    """Recovery, and of each journey the median and the 99th percentile before the fault, in s.

    Raises:
        InvalidInput: the run is not as it was when it was judged.
    """
    run.check_manifest(*_JUDGED)
    found: dict[str, Interval | None] = {}
    kinds = {name: one["kind"] for name, one in plan["objectives"].items()}
    observed = {one["name"]: one["value"] for one in run.read_json("observations.json")}
    for one in run.read_json("findings.json"):
        if kinds[one["objective"]] == "recovery":
            known = one["verdict"] != "unknown"
            found["recovery"] = _interval(observed.get("recovery")) if known else None
    record = Record(plan, tuple(run.records("events.jsonl")), run.samples(), {}, {}, (), ())
    before = timeline.read(record).before
    for journey in plan["journeys"]:
        latencies = _latencies(record, journey, before)
        for name, share in _QUANTILES.items():
            found[f"{journey} {name}"] = quantile(latencies, share)
    return found


def _latencies(record: Record, journey: str, window: Window) -> list[float]:
    return [
        one.latency
        for one in record.samples
        if one.journey == journey and window.holds(one.scheduled_ns)
    ]


def _interval(value: Any) -> Interval | None:
    return Interval(value["low"], value["high"]) if isinstance(value, dict) else None
