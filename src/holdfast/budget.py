"""The ledger of what runs have cost of the yearly error budget: one chained row for each run."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.clock import SECOND, wall_ns
from holdfast.documents import RateFile
from holdfast.errors import InvalidInput
from holdfast.measure.budget import BUDGET_S, YEAR_S, Mode, Projection, project
from holdfast.model import Json
from holdfast.store import Run

LEDGER = "budget.jsonl"
_SEED = 1  # the same ledger and the same rates give the same projection


@dataclass
class Account:
    """What the runs in one environment have cost in the last 365 days, in bad seconds.

    `unsure_s` is the part that was not measured for sure: what could be, or else the whole time
    from the fault to the end of the run, is booked for it.
    """

    runs: int = 0
    booked_s: float = 0.0
    unsure_s: float = 0.0
    experiments: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def left_s(self) -> float:
        """What is left of the stricter budget; below zero when it is overdrawn."""
        return BUDGET_S - self.booked_s


def book(root: Path, row: Json) -> None:
    """Append one run: experiment, run, environment, exit_code, bad_seconds, measured."""
    root.mkdir(parents=True, exist_ok=True)
    Run(root).append(LEDGER, dict(row))


def rows(root: Path) -> list[dict[str, Any]]:
    """The rows of the last 365 days, oldest first.

    Raises:
        InvalidInput: the ledger is damaged, or a row of it was changed.
    """
    since = wall_ns() - round(YEAR_S * SECOND)
    return [one for one in Run(root).records(LEDGER) if int(one["wall_ns"]) >= since]


def accounts(booked: Iterable[Json]) -> dict[str, Account]:
    """The account of each environment, by name."""
    found: dict[str, Account] = {}
    for one in booked:
        account = found.setdefault(str(one["environment"]), Account())
        seconds = float(one["bad_seconds"])
        account.runs += 1
        account.booked_s += seconds
        account.unsure_s += 0.0 if one["measured"] else seconds
        account.experiments[str(one["experiment"])].append(seconds)
    return found


def projected(rates: dict[str, RateFile], account: Account, place: str) -> Projection:
    """A coming year, from the written rates and the impacts that runs have measured.

    Raises:
        InvalidInput: a mode names an experiment that has too few booked runs.
    """
    modes = [
        Mode(
            name,
            one.seen,
            one.years,
            one.impacts or account.experiments.get(one.experiment, []),
            one.share,
            testable=bool(one.experiment),
        )
        for name, one in rates.items()
    ]
    try:
        return project(modes, _SEED)
    except ValueError as error:
        step = "Run the experiment more often, or write `impacts:`"
        raise InvalidInput(place, str(error), step) from None
