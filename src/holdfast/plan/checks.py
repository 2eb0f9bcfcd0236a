"""Could this plan show what it is to show? Everything that the files alone can tell."""

from holdfast.arrivals import fewest, words
from holdfast.documents import ObjectiveFile
from holdfast.documents.variants import INSTANT
from holdfast.errors import InvalidInput
from holdfast.measure import needed
from holdfast.plan.made import Plan

MARGIN_S = 5.0  # a hold outlasts promise + stable + longest limit by this much
HOLD_MIN_S = 60.0  # a held fault is never shorter: a slower mechanism might still react
GROWTH = 2.0  # a phase may grow to this many times its length until success can be decided
WINDOW_MIN = 299  # requests a window needs to exclude 1 % bad at 95 % confidence


def check_hold(plan: Plan) -> None:
    place = f"{plan.experiment.path}: method: {plan.experiment.wait().name}"
    at_least, at_most = plan.hold_s()
    if at_least > at_most:
        raise InvalidInput(place, "at_least is longer than at_most", "Swap them")
    extension = plan.experiment.extension
    promises = [one.limit for one in plan.objectives.values() if one.kind == "recovery"]
    promise = max(promises, default=HOLD_MIN_S)
    needs = promise + extension.stable + max(j.limit for j in plan.journeys.values()) + MARGIN_S
    if at_most < needs:
        raise InvalidInput(
            f"{place}: at_most",
            f"{at_most:g} s cannot show a recovery at the promise's edge",
            f"It has to be {needs:g}s or more (promise + stable + longest limit + {MARGIN_S:g} s)",
        )
    slowest = max(plan.environment.periods.values(), default=0.0) + extension.stable
    floor = max(HOLD_MIN_S, slowest)
    held = next(plan.experiment.faults()).calls not in INSTANT
    if held and at_least < floor:
        raise InvalidInput(
            f"{place}: at_least",
            f"{at_least:g} s is shorter than the slowest mechanism that could react",
            f"It has to be {floor:g}s or more (longest of `periods:` + stable, never under 60 s)",
        )


def check_windows(plan: Plan) -> None:
    """A window or a phase that is too short to support its claim is refused beforehand."""
    extension = plan.experiment.extension
    longest = GROWTH * (extension.before + extension.after) + plan.hold_s()[1]
    for name, load in extension.loads().items():
        least = fewest(load, extension.stable, (0.0, longest))
        if least < WINDOW_MIN:
            raise InvalidInput(
                f"{plan.experiment.path}: stable",
                f"{extension.stable:g} s of {name} at {words(load)} is {least:.0f} requests;"
                f" a window needs {WINDOW_MIN} to exclude 1 % bad",
                f"Write {WINDOW_MIN * extension.stable / max(least, 1) + 0.05:.1f}s or more",
            )
    for name, objective in plan.objectives.items():
        if objective.kind in ("success", "latency"):
            _check_phases(plan, name, objective)


def _check_phases(plan: Plan, name: str, objective: ObjectiveFile) -> None:
    """Could the phases ever decide this objective? They grow until `success` is decided."""
    extension, many = plan.experiment.extension, needed(objective.limit, 0)
    load = extension.loads()[objective.journey]
    growth = GROWTH if objective.kind == "success" else 1.0
    shortest = extension.before + plan.hold_s()[0]
    longest = GROWTH * (extension.before + extension.after) + plan.hold_s()[1]
    for phase, length, begins, ends in (
        ("before", extension.before, 0.0, extension.before * growth),
        ("after", extension.after, shortest, longest),
    ):
        least = fewest(load, length * growth, (begins, ends))
        if least < many:
            raise InvalidInput(
                f"{plan.experiment.path}: {phase}",
                f"{length:g} s of {objective.journey} at {words(load)} can never decide `{name}`,"
                f" which needs {many} requests without a failure",
                f"Write {many * length * growth / max(least, 1) + 0.5:.0f}s or more",
            )


def check_objectives(plan: Plan) -> None:
    for name, objective in plan.objectives.items():
        if objective.kind in ("latency", "success") and not objective.journey:
            why = f"a {objective.kind} needs its journey"
            raise InvalidInput(f"objectives.yaml: {name}", why, "Add `journey:`")
        if objective.journey and objective.journey not in plan.journeys:
            raise InvalidInput(
                f"{plan.experiment.path}: objectives: {name}",
                f"it is about {objective.journey}, which is not in the load",
                f"Add {objective.journey} to `load:`, or leave the objective out",
            )
    kinds = {one.kind for one in plan.objectives.values()}
    if "money" in kinds and plan.environment.ledger is None:
        raise InvalidInput(
            f"{plan.experiment.path}: objectives: money",
            "the environment has no `ledger:`, so no transfer can be followed",
            "Add it, or leave the objective out",
        )
    if "failover" in kinds:
        proxy = next(plan.experiment.faults()).provider.arguments.get("proxy")
        breaker = plan.environment.breakers.get(str(proxy))
        if breaker is None or breaker.backup is None:
            raise InvalidInput(
                f"{plan.experiment.path}: objectives: failover",
                f"the environment's `breakers:` does not have {proxy} and its backup",
                "Say there what opens it and who takes over, or leave the objective out",
            )
