"""Every guard that can be asked before a run, and what each says."""

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast import calibration, experiment, guard, residue, rights
from holdfast.clock import utc_now
from holdfast.cluster import Cluster
from holdfast.documents import Environment
from holdfast.errors import Refused, Unreachable
from holdfast.guard import Answers, Consent
from holdfast.heal import open_systems
from holdfast.plan.checks import GROWTH
from holdfast.plan.made import Plan
from holdfast.prometheus import Prometheus

_ASK_S = 5.0  # until Prometheus counts as silent
_AROUND_S = 120.0  # beyond the phases and the hold: the undo, the drain, the last scrape


def ask(plan: Plan, consent: Consent, answers: Answers) -> None:
    """Ask every guard that is not about targets; each refusal is kept, and the next one asked."""
    environment, extension = plan.environment, plan.experiment.extension
    prometheus = Prometheus(environment.prometheus.url, _ASK_S)
    now, longest_s = utc_now(), _longest_s(plan)
    hear = answers.hear
    hear(guard.check_environment, environment, extension.environments)
    hear(guard.check_confirmed, environment, consent)
    hear(guard.check_approval, environment, plan.substance(), consent, now)
    hear(guard.check_windows, environment, now, longest_s)
    hear(guard.check_freeze, environment, now, longest_s)
    hear(guard.check_hold, plan.hold_s()[1], environment.policy)
    hear(guard.check_burn, environment)
    hear(guard.check_alerts, environment, prometheus)
    hear(guard.check_error_budget, environment, prometheus)
    hear(_check_rights, plan)
    hear(_check_this_machine, plan)


def _check_rights(plan: Plan) -> str:
    modules = [one.provider.module for one in plan.experiment.faults()]
    return rights.words(rights.granted(plan.environment, modules))


def _check_this_machine(plan: Plan) -> str:
    return calibration.check(plan.calibration, plan.rate())


def resolve(plan: Plan, answers: Answers) -> list[dict[str, Any]]:
    """What the experiment's action would hit, by name; nothing when a guard refuses it.

    Raises:
        InvalidInput: an argument of the action is no good.
    """
    (fault,) = plan.experiment.faults()
    targets: Any = getattr(experiment.module(fault), "targets", lambda *_, **__: [])
    cluster = Cluster(plan.environment.kubernetes.kubeconfig)
    try:
        return list(targets(cluster, plan.environment, answers, **fault.provider.arguments))
    except (Refused, Unreachable) as error:
        answers.keep(error)
        return []


def check_residue(environment: Environment, targets: Iterable[Mapping[str, Any]]) -> str:
    """Is nothing left behind that a run would meet? In production everything has to be asked."""
    systems, watched = open_systems(environment), environment.workload.namespace
    allowed = {watched, *environment.policy.namespaces}
    found = residue.find(systems.cluster, systems.toxiproxies, allowed, systems.tokens)
    hit = {str(one["namespace"]) for one in targets if "namespace" in one}
    whole = environment.kind == "production"
    residue.check(found, targets, {watched, *hit}, needs_all=whole)
    return "; ".join(["nothing in the way", *(f"not asked: {name}" for name in found.not_asked)])


def predict(plan: Plan) -> dict[str, Any] | None:
    """What would become of the replicas that go, where the action can tell."""
    (fault,) = plan.experiment.faults()
    prediction: Any = getattr(experiment.module(fault), "prediction", None)
    if prediction is None:
        return None
    cluster = Cluster(plan.environment.kubernetes.kubeconfig)
    found: guard.Prediction = prediction(cluster, plan.environment, **fault.provider.arguments)
    return found.record()


def _longest_s(plan: Plan) -> float:
    """How long the run takes at most, in seconds."""
    extension = plan.experiment.extension
    return GROWTH * (extension.before + extension.after) + plan.hold_s()[1] + _AROUND_S
