"""An experiment after every check that can be made without breaking anything."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from holdfast import __version__, customers, documents, experiment, guard, rights
from holdfast.clock import within
from holdfast.cluster import Cluster
from holdfast.context import packaged
from holdfast.documents import Environment, JourneyFile, ObjectiveFile, seconds
from holdfast.errors import HoldfastError, InvalidInput, Unreachable
from holdfast.experiment import Experiment
from holdfast.heal import open_systems
from holdfast.measure import needed
from holdfast.probes.ledger import lines
from holdfast.prometheus import Prometheus

MARGIN_S = 5.0  # a hold outlasts promise + stable + longest limit by this much
HOLD_MIN_S = 60.0  # a held fault is never shorter: a slower mechanism might still react
GROWTH = 2.0  # a phase may grow to this many times its length until success can be decided
WINDOW_MIN = 299  # requests a window needs to exclude 1 % bad at 95 % confidence
_ASK_S = 5.0  # until a system counts as silent
_FAR_S = 9_999_999_999.0  # since then a record holds nothing: only whether it answers is asked
IRREVERSIBLE = {("holdfast.actions.pods", "kill")}


@dataclass(frozen=True)
class Plan:
    """What will be broken, where, measured how, and what every system said when it was asked."""

    experiment: Experiment
    environment: Environment
    journeys: Mapping[str, JourneyFile]
    objectives: Mapping[str, ObjectiveFile]
    targets: list[dict[str, Any]] = field(default_factory=list)
    systems: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The plan as it is written down."""
        return {
            "holdfast": __version__,
            "name": self.experiment.name,
            "title": self.experiment.title,
            "experiment": self.experiment.document,
            "extension": self.experiment.extension.model_dump(mode="json"),
            "environment": self.environment.model_dump(mode="json"),
            "journeys": {k: v.model_dump(mode="json") for k, v in self.journeys.items()},
            "objectives": {k: v.model_dump(mode="json") for k, v in self.objectives.items()},
            "targets": self.targets,
            "systems": self.systems,
        }

    def hold_s(self) -> tuple[float, float]:
        """The shortest and the longest that the fault is held, in seconds."""
        arguments = self.experiment.wait().provider.arguments
        return seconds(arguments["at_least"]), seconds(arguments["at_most"])

    def expected_s(self) -> float:
        """How long the run takes when nothing has to grow, in seconds."""
        extension = self.experiment.extension
        return extension.before + self.hold_s()[0] + extension.after


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
    _check_objectives(plan)
    _check_hold(plan)
    _check_windows(plan)
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


def ask(environment: Environment) -> dict[str, str]:
    """Every system's version; the first that does not answer well is the error."""
    answers = _answered(questions(environment))
    for answer in answers.values():
        if isinstance(answer, HoldfastError):
            raise answer
    return {name: str(answer) for name, answer in answers.items()}


def problems(environment: Environment) -> dict[str, HoldfastError | str]:
    """Each system's version, and the rights, or what is wrong with them, for `holdfast doctor`."""
    return _answered(questions(environment) | {"rights": lambda: _all_rights(environment)})


def _answered(asked: Mapping[str, Callable[[], str]]) -> dict[str, HoldfastError | str]:
    """What each question was answered with, all asked at once."""

    def answer(question: Callable[[], str]) -> HoldfastError | str:
        try:
            return question()
        except HoldfastError as error:
            return error

    with ThreadPoolExecutor(len(asked)) as pool:
        return dict(zip(asked, pool.map(answer, asked.values()), strict=True))


def questions(environment: Environment) -> dict[str, Callable[[], str]]:
    """For each system, the call that tells its version, or raises what is wrong with it."""
    asked: dict[str, Callable[[], str]] = {
        "kubernetes": lambda: _kubernetes(environment),
        "prometheus": lambda: Prometheus(environment.prometheus.url, _ASK_S).version(),
        "entrance": lambda: _entrance(environment.customers.url),
    }
    for url, toxiproxy in open_systems(environment).toxiproxies.items():
        asked[f"toxiproxy {url}"] = toxiproxy.version
    if (ledger := environment.ledger) is not None:
        asked["ledger"] = lambda: _record(ledger.transfers)
        asked["settlements"] = lambda: _record(ledger.settlements)
    return asked


def resolve(plan: Plan) -> list[dict[str, Any]]:
    """What the experiment's action would hit, by name.

    Raises:
        Refused: the policy forbids it, or nothing matches.
    """
    (fault,) = plan.experiment.faults()
    targets: Any = getattr(experiment.module(fault), "targets", lambda *_, **__: [])
    cluster = Cluster(plan.environment.kubernetes.kubeconfig)
    return list(targets(cluster, plan.environment, **fault.provider.arguments))


def _kubernetes(environment: Environment) -> str:
    cluster = Cluster(environment.kubernetes.kubeconfig)
    guard.check_cluster(environment, cluster.uid())
    return cluster.version()


def _all_rights(environment: Environment) -> str:
    rights.check(environment, ["holdfast.actions.zones", "holdfast.actions.pods"])
    return "every action, and its undo"


def _entrance(url: str) -> str:
    def send() -> int:
        session = requests.Session()
        session.trust_env = False  # no proxy between us and it
        with (
            session,
            session.get(url, timeout=_ASK_S, allow_redirects=False, stream=True) as answer,
        ):
            return answer.status_code

    try:
        code = within(_ASK_S, send)
    except (requests.RequestException, TimeoutError) as error:
        why = f"no answer ({type(error).__name__})"
        raise Unreachable(url, why, "Is the customers' entrance running?") from None
    if code >= 500:
        raise Unreachable(url, f"it answered {code}", "Look at the log of the customers' entrance")
    return "answers"


def _record(url: str) -> str:
    try:
        within(_ASK_S, lambda: lines(url, _FAR_S))
    except TimeoutError:
        raise Unreachable(url, f"no answer within {_ASK_S:g} s", "Is it running?") from None
    return "answers"


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


def _check_hold(plan: Plan) -> None:
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
    held = next(plan.experiment.faults()).calls not in IRREVERSIBLE
    if held and at_least < floor:
        raise InvalidInput(
            f"{place}: at_least",
            f"{at_least:g} s is shorter than the slowest mechanism that could react",
            f"It has to be {floor:g}s or more (longest of `periods:` + stable, never under 60 s)",
        )


def _check_windows(plan: Plan) -> None:
    """A window or a phase that is too short to support its claim is refused beforehand."""
    extension = plan.experiment.extension
    for name, rate in extension.load.items():
        if rate * extension.stable < WINDOW_MIN:
            raise InvalidInput(
                f"{plan.experiment.path}: stable",
                f"{extension.stable:g} s of {name} at {rate:g}/s is {rate * extension.stable:.0f}"
                f" requests; a window needs {WINDOW_MIN} to exclude 1 % bad",
                f"Write {WINDOW_MIN / rate + 0.05:.1f}s or more",
            )
    for name, objective in plan.objectives.items():
        if objective.kind in ("success", "latency"):
            _check_phases(plan, name, objective)


def _check_phases(plan: Plan, name: str, objective: ObjectiveFile) -> None:
    """Could the phases ever decide this objective? They grow until `success` is decided."""
    extension, many = plan.experiment.extension, needed(objective.limit, 0)
    rate = extension.load[objective.journey]
    growth = GROWTH if objective.kind == "success" else 1.0
    for phase, length in (("before", extension.before), ("after", extension.after)):
        if rate * length * growth < many:
            raise InvalidInput(
                f"{plan.experiment.path}: {phase}",
                f"{length:g} s of {objective.journey} at {rate:g}/s can never decide `{name}`,"
                f" which needs {many} requests without a failure",
                f"Write {many / rate + 0.5:.0f}s or more",
            )


def _check_objectives(plan: Plan) -> None:
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
