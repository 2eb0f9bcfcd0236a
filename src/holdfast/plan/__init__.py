"""An experiment after every check that can be made without breaking anything."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast import calibration, customers, documents, experiment
from holdfast.context import RUNS, packaged
from holdfast.documents import AS_WRITTEN, Variant
from holdfast.errors import InvalidInput
from holdfast.guard import Answers, Consent
from holdfast.plan import checks, guards
from holdfast.plan.checks import GROWTH
from holdfast.plan.made import Plan
from holdfast.plan.systems import ask, problems

__all__ = ["GROWTH", "Plan", "ask", "make", "problems", "read", "survey"]

_NOTHING_SAID = Consent()


def read(path: Path, environment_path: Path, variant: Variant = AS_WRITTEN) -> Plan:
    """Read and check every file; no system is asked. A variant is a control run.

    Raises:
        InvalidInput: names the file, the place, the reason and the next step.
    """
    environment = documents.read_environment(environment_path)
    checked = experiment.read(path, environment, variant)
    journeys = documents.read_journeys(_beside(path, "journeys.yaml"))
    objectives = documents.read_objectives(_beside(path, "objectives.yaml"))
    extension = checked.extension
    chosen = _chosen(extension.objectives, objectives, f"{path}: objectives", "objectives.yaml")
    plan = Plan(
        checked,
        environment,
        _chosen(extension.load, journeys, f"{path}: load", "journeys.yaml"),
        {name: one for name, one in chosen.items() if not variant.leaves_out(one.kind)},
        control=variant.control,
    )
    checks.check_objectives(plan)
    checks.check_hold(plan)
    checks.check_windows(plan)
    customers.check(environment, plan.journeys, extension.load)
    return plan


def survey(
    path: Path,
    environment_path: Path,
    consent: Consent = _NOTHING_SAID,
    variant: Variant = AS_WRITTEN,
    runs: Path = RUNS,
) -> Plan:
    """Check the files, ask every system if it is there, resolve the targets, and ask every guard.

    Touches nothing. What guards refuse stands in the plan; who may break something asks `make`.
    `runs` is the folder that holds the calibration of this machine, where there is one.

    Raises:
        InvalidInput, Refused, Unreachable: a file is wrong, or a system is not there.
    """
    plan = read(path, environment_path, variant)
    plan = replace(plan, calibration=calibration.read(runs))
    systems = ask(plan.environment)
    answers = Answers()
    guards.ask(plan, consent, answers)
    targets = guards.resolve(plan, answers)
    answers.hear(guards.check_residue, plan.environment, targets)
    prediction = None if answers.refusals() else guards.predict(plan)
    return replace(
        plan, targets=targets, systems=systems, guards=answers.given, prediction=prediction
    )


def make(
    path: Path,
    environment_path: Path,
    consent: Consent = _NOTHING_SAID,
    variant: Variant = AS_WRITTEN,
    runs: Path = RUNS,
) -> Plan:
    """The same, when no guard refuses.

    Raises:
        InvalidInput, Refused, Unreachable: before anything was touched.
    """
    plan = survey(path, environment_path, consent, variant, runs)
    for refusal in plan.refusals():
        raise refusal
    return plan


def _beside(path: Path, name: str) -> Path:
    """The file of that name beside the experiment, else the one that ships with holdfast."""
    beside = path.parent / name
    return beside if beside.is_file() else packaged(name)


def _chosen[T](names: Any, known: Mapping[str, T], place: str, file: str) -> dict[str, T]:
    for name in names:
        if name not in known:
            step = f"It has: {', '.join(known)}"
            raise InvalidInput(f"{place}: {name}", f"{file} does not have it", step)
    return {name: known[name] for name in names}
