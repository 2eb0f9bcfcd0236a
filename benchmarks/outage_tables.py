"""The tables of `outages.py`: each estimate against the truth, and beside it the usual ways."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.outage_trials import KINDS, RATE, Error, Trial
from holdfast.model import Interval

BEGIN, END = "<!-- outages: begin -->", "<!-- outages: end -->"
CALM_999_S = 0.004  # the 99.9th percentile of a good answer here, at most
OF = {"recovery": Trial.recovered, "duration": Trial.lasted}
# worst error, widest interval in seconds, share covered; issue 5 and the study's section 7
GOALS = {
    "errors": (1.5 / RATE, 2.5 / RATE, 0.99),
    "dead": (1.5 / RATE, 2.5 / RATE, 0.99),
    "hang": (2 / RATE + 2 * CALM_999_S, None, 0.95),
    "partial": (None, None, 0.95),
}


@dataclass(frozen=True)
class Told:
    """One outage; `late` when its customers were late themselves near it; what others said."""

    trial: Trial
    long: bool
    late: bool
    usual: dict[str, float | None]


def text(real: Sequence[Told], made_up: Sequence[Told], before: str) -> str:
    """Everything that is said."""
    late = sum(one.late for one in real)
    left_out = (
        f"{late} of {len(real)} outages are left out: the customers themselves were over 50 ms late"
        " near an end of theirs. A run says unknown then."
    )
    parts = [
        f"Measured with: {before}.",
        "Errors and widths in seconds; the customers sent 100 requests a second.",
        "### holdfast, in real time\n\n" + _own([one for one in real if not one.late]),
        left_out,
        "### holdfast, in simulated time (0.5 to 60 s)\n\n" + _own(made_up),
        "### The usual ways, on the same outages: 5 to 10 s long\n\n"
        + _usual([one for one in real if one.long]),
        "### The usual ways, on the same outages: 0.6 to 2 s long\n\n"
        + _usual([one for one in real if not one.long]),
    ]
    return "\n\n".join(parts) + "\n"


def _own(told: Sequence[Told]) -> str:
    head = [
        "outage",
        "estimate",
        "trials",
        "unknown",
        "bias",
        "worst",
        "median width",
        "widest",
        "covered",
        "goal",
    ]
    rows = []
    for kind in KINDS:
        mine = [one.trial for one in told if one.trial.kind == kind]
        for name, estimate in OF.items():
            error = Error.of((one.seconds, estimate(one)) for one in mine)
            rows.append([kind, name, *_cells(error), _against(kind, error)])
    return _markdown(head, rows)


def _cells(error: Error) -> list[str]:
    return [
        str(error.trials),
        str(error.unknown),
        f"{error.bias:+.4f}",
        f"{error.worst:.4f}",
        f"{error.width:.4f}",
        f"{error.widest:.4f}",
        f"{error.covered:.1%}",
    ]


def _against(kind: str, error: Error) -> str:
    if kind not in GOALS:
        return "none"
    worst, widest, covered = GOALS[kind]
    missed = [
        name
        for name, is_met in (
            ("error", worst is None or error.worst <= worst),
            ("width", widest is None or error.widest <= widest),
            ("covered", error.covered >= covered),
        )
        if not is_met
    ]
    return f"MISSED: {', '.join(missed)}" if missed else "met"


def _usual(told: Sequence[Told]) -> str:
    head = ["way", "noticed", "mean error", "worst error", *KINDS]
    ways: dict[str, Callable[[Told], float | None]] = {
        "holdfast (middle of its interval)": lambda one: _middle(one.trial.lasted())
    }
    for name in dict.fromkeys(name for one in told for name in one.usual):
        ways[name] = lambda one, name=name: one.usual.get(name)  # type: ignore[misc]  # bound
    rows = []
    for name, way in ways.items():
        said = [(one, way(one)) for one in told]
        off = [(one.trial.kind, it - one.trial.seconds) for one, it in said if it is not None]
        each = [[error for kind, error in off if kind == wanted] for wanted in KINDS]
        rows.append(
            [
                name,
                f"{len(off)} of {len(told)}",
                *(_mean([error for _, error in off]), _worst([error for _, error in off])),
                *map(_mean, each),
            ]
        )
    return _markdown(head, rows)


def _middle(one: Interval | None) -> float | None:
    return (one.low + one.high) / 2 if one else None


def _mean(errors: Sequence[float]) -> str:
    return f"{fmean(errors):+.2f}" if errors else "-"


def _worst(errors: Sequence[float]) -> str:
    return f"{max(errors, key=abs):+.2f}" if errors else "-"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; all but the first to the right."""
    widths = [max(len(row[number]) for row in (head, *rows)) for number in range(len(head))]
    marks = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (head, marks, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(page: Path, content: str) -> None:
    """Between the marks of the page."""
    old = page.read_text()
    start, end = old.index(BEGIN) + len(BEGIN), old.index(END)
    page.write_text(f"{old[:start]}\n\n{content}\n{old[end:]}")
