"""Several runs: repeats of one experiment, and the controls of all of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast import pipeline, sabotage
from holdfast.clock import utc_now
from holdfast.documents import Control, Environment
from holdfast.errors import HoldfastError, Refused
from holdfast.measure import Claim, claim, upper_bound
from holdfast.model import Interval
from holdfast.plan import Plan
from holdfast.reports.record import Report
from holdfast.run import Tell
from holdfast.verdict import Verdict

PRECEDENCE = (5, 4, 1, 3, 6, 2, 0)  # the gravest first (DESIGN section 4)
_STOPS = (5, 4)  # after these the world is not what the next run expects


@dataclass(frozen=True)
class Ran:
    """How one run ended: a refused one has no folder and no findings.

    `recovery_s` is None where it is unknown; its upper end is infinite when customers had not
    recovered before the undo.
    """

    experiment: str
    control: str
    exit_code: int
    run: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    unshown: tuple[str, ...] = ()
    recovery_s: Interval | None = None
    bad_seconds: float | None = None
    why: str = ""
    refused: bool = False  # by a guard; not because a system is missing, which ends with 6 as well

    @property
    def red(self) -> tuple[str, ...]:
        """The objectives that are broken."""
        return tuple(name for name, one in self.verdicts.items() if one is Verdict.BROKEN)


def combined(codes: Sequence[int]) -> int:
    """The exit code over several runs; without a run, or with an unknown one, nothing is known."""
    known = [code if code in PRECEDENCE else 3 for code in codes]
    return next((code for code in PRECEDENCE if code in known), 3)


def ran(plan: Plan, report: Report) -> Ran:
    """What a repeat keeps of a finished run."""
    verdicts = {one.objective: one.verdict for one in report.findings}
    recovery = None
    for one in report.findings:
        if plan.objectives[one.objective].kind == "recovery" and one.observations:
            value = next(o.value for o in report.observations if o.name == one.observations[0])
            unknown = one.verdict is Verdict.UNKNOWN or not isinstance(value, Interval)
            recovery = None if unknown else value
    seconds = [one.value for one in report.observations if one.name == "bad-seconds"]
    return Ran(
        experiment=report.experiment,
        control=report.control,
        exit_code=report.exit_code,
        run=report.folder,
        verdicts=verdicts,
        unshown=tuple(one.name for one in report.witness if one.shown is not True),
        recovery_s=recovery if isinstance(recovery, Interval) else None,
        bad_seconds=seconds[0] if seconds and isinstance(seconds[0], float) else None,
        why="; ".join(one.why for one in report.findings if one.verdict is not Verdict.HELD),
    )


def once(make: Callable[[], Plan], root: Path, tell: Tell, named: tuple[str, str]) -> Ran:
    """Plan afresh and run; what is refused is an end like another. `named`: experiment, control."""
    try:
        plan = make()
        return ran(plan, pipeline.run(plan, root, tell))
    except HoldfastError as error:
        refused = isinstance(error, Refused)
        return Ran(*named, exit_code=error.exit_code, why=str(error), refused=refused)


@dataclass(frozen=True)
class Repeats:
    """Repeats of one experiment so far, and what they show together about its recovery."""

    experiment: str
    wanted: int
    limit_s: float | None
    rows: tuple[Ran, ...]

    @property
    def exit_code(self) -> int:
        """The gravest of all."""
        return combined([one.exit_code for one in self.rows])

    @property
    def claim(self) -> Claim | None:
        """What all of them show of recovery; a repeat that failed or is unknown is not dropped."""
        if self.limit_s is None or not self.rows:
            return None
        highs = [one.recovery_s.high if one.recovery_s else None for one in self.rows]
        return claim([one if one is not None and one > 0 else None for one in highs], self.limit_s)

    def counts(self) -> dict[str, Counter[Verdict]]:
        """How often each objective was held, broken and unknown."""
        found: dict[str, Counter[Verdict]] = {}
        for row in self.rows:
            for name, verdict in row.verdicts.items():
                found.setdefault(name, Counter())[verdict] += 1
        return found

    def record(self) -> dict[str, Any]:
        """As it is written down."""
        return {
            "experiment": self.experiment,
            "wanted": self.wanted,
            "exit_code": self.exit_code,
            "claim": self.claim,
            "objectives": self.counts(),
            "repeats": self.rows,
        }


def repeat(make: Callable[[], Plan], times: int, root: Path, tell: Tell) -> Iterator[Repeats]:
    """Run an experiment so often, each time from its own plan and steady state.

    Yields all repeats so far after each; ends early when a run was aborted or a fault may remain.

    Raises:
        HoldfastError: the first plan is refused: nothing was touched.
    """
    first = make()
    limits = [one.limit for one in first.objectives.values() if one.kind == "recovery"]
    name = first.experiment.name
    rows: tuple[Ran, ...] = ()
    for number in range(1, times + 1):
        heard = _numbered(tell, f"{number} of {times}")
        rows = (*rows, once(make, root, heard, (name, first.control)))
        yield Repeats(name, times, limits[0] if limits else None, rows)
        if rows[-1].exit_code in _STOPS:
            return


def stamped(root: Path, name: str) -> Path:
    """A file for several runs together, named after this instant."""
    root.mkdir(parents=True, exist_ok=True)
    return root / f"{name}-{utc_now():%Y%m%dT%H%M%S.%fZ}.json"


def _numbered(tell: Tell, prefix: str) -> Tell:
    return lambda phase, seconds: tell(f"[{prefix}] {phase}", seconds)


@dataclass(frozen=True)
class Outcome:
    """One control run, and whether it did as it must; None when that cannot be told."""

    ran: Ran
    must: str
    as_it_must: bool | None


def judged_null(row: Ran) -> Outcome:
    """Without a fault no promise may break; one that is unknown tells nothing of false alarms."""
    return Outcome(row, "nothing red", False if row.red else True if _is_quiet(row) else None)


def _is_quiet(row: Ran) -> bool:
    verdicts = set(row.verdicts.values())
    return row.exit_code == 3 and verdicts == {Verdict.HELD}  # a control run never ends with 0


def judged_defect(row: Ran, expected: Control) -> Outcome:
    """With the defect exactly what is stated has to happen: red, unknown, or refused.

    Unknown has to be so because the fault was not shown: a late load generator makes all unknown,
    too, and a missing system refuses a run, too.
    """
    if expected.exit_code == 6:
        return Outcome(row, "refused", True if row.refused else _blind(row))
    if expected.exit_code == 3:
        unknown = bool(row.verdicts) and set(row.verdicts.values()) == {Verdict.UNKNOWN}
        untold = None if unknown else _blind(row)
        return Outcome(row, "all unknown", True if unknown and row.unshown else untold)
    must = f"red: {', '.join(expected.broken)}"
    return Outcome(row, must, True if set(expected.broken) <= set(row.red) else _blind(row))


def _blind(row: Ran) -> bool | None:
    """It did not do as it must: surely, if the run was judged at all."""
    return False if row.exit_code in (0, 1, 3) and row.verdicts else None


@dataclass(frozen=True)
class Controls:
    """All control runs so far, of so many that are wanted."""

    outcomes: tuple[Outcome, ...]
    wanted: int

    @property
    def exit_code(self) -> int:
        """0 when all were made and each did as it must; 1 when one did not; else the gravest.

        A run that was aborted, or that may have left a fault, decides, whatever it has shown.
        """
        done = self.outcomes
        codes = [one.ran.exit_code for one in done if one.ran.exit_code in _STOPS]
        codes += [1 for one in done if one.as_it_must is False]
        codes += [one.ran.exit_code for one in done if one.as_it_must is None]
        codes += [3] if len(done) < self.wanted or not done else []
        return combined(codes or [0])

    def false_alarms(self) -> tuple[int, int, float]:
        """Null runs with a broken promise, null runs judged, and the rate's 95 % upper bound."""
        nulls = [one.ran for one in self.outcomes if one.ran.control == "null"]
        judged = [one for one in nulls if one.red or _is_quiet(one)]
        alarms = sum(bool(one.red) for one in judged)
        return alarms, len(judged), upper_bound(alarms, len(judged))

    def never_red(self) -> list[str]:
        """Objectives that no defect has broken, and proofs of the witness that never failed."""
        sabotaged = [one.ran for one in self.outcomes if one.ran.control != "null"]
        names = {name for one in self.outcomes for name in one.ran.verdicts}
        red = {name for one in sabotaged for name in one.red}
        unshown = {name for one in sabotaged for name in one.unshown}
        proofs = {"exposed", "struck", "lasting"} - unshown
        return [*sorted(names - red), *(f"witness {name}" for name in sorted(proofs))]

    def record(self) -> dict[str, Any]:
        """As it is written down."""
        alarms, judged, bound = self.false_alarms()
        return {
            "exit_code": self.exit_code,
            "wanted": self.wanted,
            "false_alarms": {"alarms": alarms, "runs": judged, "rate_at_most_95": bound},
            "never_red": self.never_red(),
            "controls": self.outcomes,
        }


type Make = Callable[[str, str], Plan]  # experiment, and the defect or nothing for a null run


def controls(
    matrix: Mapping[str, Mapping[str, Control]],
    environment: Environment,
    nulls: int,
    make: Make,
    root_tell: tuple[Path, Tell],
) -> Iterator[Controls]:
    """Every experiment without a fault, `nulls` times, and against each of its planted defects.

    Yields all control runs so far after each; ends early as repeats do.

    Raises:
        Refused: defects may not be planted here.
    """
    sabotage.check(environment)
    root, tell = root_tell
    todo = [(name, "") for name in matrix for _ in range(nulls)]
    todo += [(name, defect) for name, defects in matrix.items() for defect in defects]
    outcomes: tuple[Outcome, ...] = ()
    for number, (name, defect) in enumerate(todo, 1):
        heard = _numbered(tell, f"{number} of {len(todo)}: {name}, {defect or 'null'}")
        if defect:
            heard("planting the defect", 10)
            with sabotage.planted(environment, defect):
                row = once(lambda: make(name, defect), root, heard, (name, f"sabotage {defect}"))  # noqa: B023  # called at once
            outcomes = (*outcomes, judged_defect(row, matrix[name][defect]))
        else:
            row = once(lambda: make(name, ""), root, heard, (name, "null"))  # noqa: B023  # called at once
            outcomes = (*outcomes, judged_null(row))
        yield Controls(outcomes, len(todo))
        if row.exit_code in _STOPS:
            return
