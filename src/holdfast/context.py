"""What an action or a probe needs to know: the run's folder and the environment.

`holdfast run` puts the folder into Chaos Toolkit's configuration. Under plain `chaos run` the
first activity of the process makes a folder from `./environment.yaml`, and the others find it
again: such a run injects and heals safely and gives no verdict.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from holdfast.documents import (
    Environment,
    JourneyFile,
    Kubernetes,
    Toxiproxy,
    read_environment,
    read_journeys,
    recorded,
)
from holdfast.errors import Refused
from holdfast.model import Journey
from holdfast.signals import Named
from holdfast.store import Run

ENVIRONMENT = Path("environment.yaml")
RUNS = Path("runs")
KEY = "holdfast_run"
UNDOES = ("kubernetes", "toxiproxy")  # the parts of an environment that an undo calls
COLLECTS = ("prometheus", "ledger")  # and those that are asked for their records
_PLAIN_RATE = 40.0  # requests/s of each journey under plain `chaos run`


@dataclass(frozen=True)
class Context:
    """One run and the environment that it happens in."""

    run: Run
    environment: Environment

    def plan(self) -> Mapping[str, Any]:
        """The plan as it was written down before anything was touched."""
        plan: Mapping[str, Any] = self.run.read_json("plan.json")
        return plan

    def journeys(self) -> dict[str, JourneyFile]:
        """The journeys of this run, by name."""
        return {
            name: recorded(JourneyFile, one, f"plan.json: {name}")
            for name, one in self.plan()["journeys"].items()
        }

    def judged_journeys(self) -> dict[str, Journey]:
        """The journeys of this run as judging knows them."""
        return {name: one.judged(name) for name, one in self.journeys().items()}

    def faults(self) -> list[dict[str, Any]]:
        """The faults that took effect so far, as the actions recorded them."""
        return [one for one in self.run.records("events.jsonl") if one["event"] == "fault"]

    def named(self, signal: str) -> Named:
        """How a signal is named in this environment."""
        return self.environment.named(signal)


def of(configuration: Mapping[str, Any] | None) -> Context:
    """The context that Chaos Toolkit's configuration names, or this process's own.

    Raises:
        InvalidInput: the folder is not a run's, or there is no readable `environment.yaml`.
    """
    folder = (configuration or {}).get(KEY) or os.environ.get(_remembered())
    run = Run.open(Path(folder)) if folder else _plain()
    plan = run.read_json("plan.json")
    written = plan.get("environment") if isinstance(plan, dict) else None
    place = f"{run.path('plan.json')}: environment"
    return Context(run, recorded(Environment, written, place))


def confirmed(folder: Path, path: Path, parts: Sequence[str]) -> Context:
    """The context of a run's folder, for who calls these parts of its environment later.

    A folder may come from anywhere, and what it holds cannot prove where it was made. A kubeconfig
    can run a program, and a `token_env` sends a variable's value: so whatever the run's plan names
    has to be named by the environment file of whoever works here, and is called as that file says.

    Raises:
        Refused: that file names something else, or is not there; nothing was called.
        InvalidInput: one of the two cannot be read.
    """
    here, step = of({KEY: str(folder)}), "Name the run's own environment file: -e FILE"
    step += "; `holdfast undo RUN --by-hand` prints lines and calls nothing"
    if not path.is_file():
        raise Refused(str(folder), f"only its plan.json says whom to call: no {path} is here", step)
    mine = read_environment(path)
    for part in parts:
        known = [*_named(mine, part)]
        places = [_place(one) for one in known]
        for one in _named(here.environment, part):
            if _place(one) not in places:
                says = " and ".join(map(str, known)) or "none"
                why = f"its plan.json names {part} {one}, and {path} names {says}"
                raise Refused(str(folder), why, step)
    ours = {part: getattr(mine, part) for part in parts}
    return Context(here.run, here.environment.model_copy(update=ours))


def _named(environment: Environment, part: str) -> Iterator[Any]:
    found = getattr(environment, part)
    yield from found if isinstance(found, list) else [found] if found else []


def _place(one: Any) -> Any:
    """Which system it is, whatever way leads there: a cluster has a uid, Toxiproxy its URL."""
    match one:
        case Kubernetes():
            return one.cluster_uid, one.namespace
        case Toxiproxy():
            return one.url
    return one


def packaged(name: str) -> Path:
    """The path of a file that ships with holdfast's own experiments."""
    return Path(str(resources.files("holdfast.experiments").joinpath(name)))


def _remembered() -> str:
    return f"HOLDFAST_RUN_OF_{os.getpid()}"


def _check_plain(environment: Environment) -> None:
    """Nobody asks the guards of a plan there: hours, alerts, approval."""
    if environment.kind != "laboratory":
        raise Refused(
            f"environment {environment.name}",
            f"it is {environment.kind}, and plain `chaos run` asks no guard of a plan",
            "Use `holdfast run`",
        )


def _plain() -> Run:
    environment = read_environment(ENVIRONMENT)
    _check_plain(environment)
    journeys = read_journeys(packaged("journeys.yaml"))
    names = [name for name in ("pix-transfer", "balance") if name in journeys]
    run = Run.create(RUNS, "chaos-run")
    run.write_json(
        "plan.json",
        {
            "environment": environment.model_dump(mode="json"),
            "journeys": {name: journeys[name].model_dump(mode="json") for name in names},
            "extension": {"load": dict.fromkeys(names, _PLAIN_RATE), "stable": 10.0},
            "verdict": False,
        },
    )
    run.append("events.jsonl", {"event": "anchor"})
    os.environ[_remembered()] = str(run.folder.resolve())
    return run
