"""An experiment after every check that can be made without breaking anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast import customers, documents, experiment, rights
from holdfast.cluster import Cluster
from holdfast.context import packaged
from holdfast.errors import InvalidInput
from holdfast.plan import checks
from holdfast.plan.checks import GROWTH
from holdfast.plan.made import Plan
from holdfast.plan.systems import ask, problems

__all__ = ["GROWTH", "Plan", "ask", "make", "problems", "read", "resolve"]


def read(path: Path, environment_path: Path) -> Plan:
    """Read and check every file; no system is asked.

    Raises:
        InvalidInput: names the file, the place, the reason and the next step.
    """
    environment = documents.read_environment(environment_path)
    checked = experiment.read(path, environment)
    journeys = documents.read_journeys(_beside(path, "journeys.yaml"))
    objectives = documents.read_objectives(_beside(path, "objectives.yaml"))
    extension = checked.extension
    plan = Plan(
        checked,
        environment,
        _chosen(extension.load, journeys, f"{path}: load", "journeys.yaml"),
        _chosen(extension.objectives, objectives, f"{path}: objectives", "objectives.yaml"),
    )
    checks.check_objectives(plan)
    checks.check_hold(plan)
    checks.check_windows(plan)
    customers.check(environment, plan.journeys, extension.load)
    return plan


def make(path: Path, environment_path: Path) -> Plan:
    """Check the files, ask every system if it is there, and resolve the targets. Touches nothing.

    Raises:
        InvalidInput, Refused, Unreachable: before anything was touched.
    """
    plan = read(path, environment_path)
    systems = ask(plan.environment)
    rights.check(plan.environment, [one.provider.module for one in plan.experiment.faults()])
    targets = resolve(plan)
    return Plan(plan.experiment, plan.environment, plan.journeys, plan.objectives, targets, systems)


def resolve(plan: Plan) -> list[dict[str, Any]]:
    """What the experiment's action would hit, by name.

    Raises:
        Refused: the policy forbids it, or nothing matches.
    """
    (fault,) = plan.experiment.faults()
    targets: Any = getattr(experiment.module(fault), "targets", lambda *_, **__: [])
    cluster = Cluster(plan.environment.kubernetes.kubeconfig)
    return list(targets(cluster, plan.environment, **fault.provider.arguments))


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
