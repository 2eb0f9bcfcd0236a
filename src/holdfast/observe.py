"""Measure while somebody else breaks things. Injects nothing and needs no right to."""

import importlib
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from holdfast import customers, pipeline
from holdfast import run as runner
from holdfast.clock import now_ns, ticks
from holdfast.context import KEY, Context
from holdfast.documents import Environment
from holdfast.errors import HoldfastError, InvalidInput
from holdfast.experiment import activities
from holdfast.plan import Plan
from holdfast.probes.landed import READBACKS
from holdfast.reports.record import Report
from holdfast.run import SETTLE_S, Tell
from holdfast.run.interrupts import Signals
from holdfast.run.watch import Sums
from holdfast.store import Run

JUDGED = ("recovery", "availability", "latency", "success", "money")  # what needs no target
_LOOK_S = 5.0
_PROBES = "holdfast.probes."

type Probe = Callable[..., Any]


@dataclass(frozen=True)
class Observation:
    """What is observed, for how long, and the probe that may witness a fault (or none)."""

    plan: Plan
    seconds: float
    witness: str = ""

    def record(self) -> dict[str, Any]:
        """As `plan.json` holds it."""
        kept = {k: one for k, one in self.plan.objectives.items() if one.kind in JUDGED}
        plan = replace(self.plan, objectives=kept, control="observe")
        changes = {"name": "observe", "title": "Observed", "witness": self.witness}
        return {**plan.record(), **changes}


def observe(wanted: Observation, root: Path, tell: Tell, began: Callable[[Run], None]) -> Report:
    """Send customers, keep marks and the probe's looks, judge and report. A signal ends it early.

    `began` hears the run's folder as soon as it is there.
    """
    probe = find(wanted.witness, wanted.plan.environment) if wanted.witness else None
    folder = Run.create(root, "observe")
    folder.write_json("plan.json", wanted.record())
    folder.append("events.jsonl", {"event": "anchor"})
    here = Context(folder, wanted.plan.environment)
    began(folder)
    end = threading.Event()
    with Signals() as signals:
        load = _customers(here, wanted)
        watch = threading.Thread(target=_watch, args=(here, probe, end), daemon=True)
        watch.start()
        sums = Sums(here, signals.interrupt)
        sums.start()
        try:
            folder.append("events.jsonl", {"event": "phase", "name": "observe"})
            tell("observe: Enter marks an instant, Ctrl-C ends", wanted.seconds)
            _stay(load, wanted.seconds)
        except KeyboardInterrupt:
            folder.append("events.jsonl", {"event": "ended", "why": signals.why})
        finally:
            signals.hold_off()
            end.set()
            watch.join(_LOOK_S)
            sums.stop()
            runner.finish(here, load, "", tell)
    tell("collect, judge, report", 5)
    return pipeline.conclude(here)


def mark(folder: Path, text: str) -> None:
    """Write down that something happens now, in the run of that folder.

    Raises:
        InvalidInput: it is no run's folder, or the run has ended.
    """
    run = Run.open(folder)
    if any(one.get("name") == "drain" for one in run.records("events.jsonl")):
        raise InvalidInput(str(folder), "the run has ended", "Mark a run that is under way")
    run.append("events.jsonl", {"event": "mark", "text": text})


def find(name: str, environment: Environment) -> Probe:
    """The probe of that name: holdfast's own (`seen.toxics`), or of a module that is allowed.

    Raises:
        InvalidInput: there is none, or it needs arguments.
    """
    module, _, func = name.rpartition(".")
    full = module if module in environment.modules else _PROBES + module.removeprefix(_PROBES)
    place = f"witness {name}"
    try:
        allowed = full in environment.modules
        loaded = importlib.import_module(full) if allowed else activities.own(full)
    except ImportError as error:
        raise InvalidInput(place, f"no module {full}: {error}", "Correct its name") from None
    if loaded is None or full.startswith("holdfast.actions."):
        step = "Name `module.function` of holdfast.probes, or list it in `modules:`"
        raise InvalidInput(place, f"no module {full}", step)
    if func not in getattr(loaded, "__all__", ()):
        known = ", ".join(getattr(loaded, "__all__", ())) or "none"
        raise InvalidInput(place, f"{full} has no probe {func!r}", f"It has: {known}")
    probe: Probe = getattr(loaded, func)
    try:
        inspect.signature(probe).bind(configuration={})
    except TypeError as error:
        raise InvalidInput(place, str(error), "Name a probe without arguments") from None
    return probe


def _customers(here: Context, wanted: Observation) -> customers.Customers:
    plan = wanted.plan
    return customers.start(
        here.run,
        plan.environment,
        plan.journeys,
        plan.experiment.extension.load,
        seed=int(here.run.id[:8], 16),
        max_seconds=wanted.seconds + SETTLE_S + 60,
    )


def _stay(load: customers.Customers, seconds: float) -> None:
    for _ in ticks(seconds, every=0.5):
        if not load.alive():
            return  # judging says what is missing


def _seen(answer: Any) -> dict[str, Any]:
    """Only false says that no fault is there: a probe without data has seen nothing."""
    if isinstance(answer, bool):
        return {"in_place": answer}
    return {"in_place": None, "error": f"it answered {answer!r}, neither true nor false"[:200]}


def _watch(here: Context, probe: Probe | None, end: threading.Event) -> None:
    """Ask the probe every 5 s whether the fault is there, and write down what it says."""
    where = {KEY: str(here.run.folder)}
    while probe is not None:
        began = now_ns()
        try:
            seen = _seen(probe(configuration=where))
        except HoldfastError as error:
            seen = {"in_place": None, "error": str(error)}
        except Exception as error:  # noqa: BLE001  # a probe of the user may raise anything
            seen = {"in_place": None, "error": repr(error)}
        here.run.append(READBACKS, {"looked_ns": began, **seen})
        if end.wait(_LOOK_S):
            return
