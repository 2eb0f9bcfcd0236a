"""The tables of `outages.py`: each estimate against the truth, and beside it the usual ways."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import fmean, median

from benchmarks.outage_stalls import STILL_NS
from benchmarks.outage_trials import KINDS, RATE, Errors, Trial
from holdfast.model import Interval

BEGIN, END = "<!-- outages: begin -->", "<!-- outages: end -->"
SIMULATED_USUAL_S = 0.002  # the same of the simulated ones
OF = {"recovery": Trial.recovered, "duration": Trial.lasted}
# worst error, widest interval in seconds, share covered; issue 5 and the study's section 7
GOALS = {
    "errors": (1.5 / RATE, 2.5 / RATE, 0.99),
    "dead": (1.5 / RATE, 2.5 / RATE, 0.99),
    "hang": (2 / RATE, inf, 0.95),  # and twice the 99.9th percentile of the calm time's answers
    "partial": (inf, inf, 0.95),
}


@dataclass(frozen=True)
class Told:
    """One outage; `late` when its customers were late themselves near it; what others said.

    `stood_still` when this machine did while it began or ended.
    """

    trial: Trial
    long: bool
    late: bool
    stood_still: bool
    usual: dict[str, float | None]


@dataclass(frozen=True)
class Machine:
    """What the real time was measured with: the machine's line before it, and how busy it then was.

    `usual_s` is the 99.9th percentile of what an answer took while nothing was broken.
    """

    before: str
    services: int
    cores_busy: float
    usual_s: float


def text(real: Sequence[Told], made_up: Sequence[Told], about: Machine) -> str:
    """Everything that is said."""
    late = sum(one.late for one in real)
    sure = [one for one in real if not one.late]
    measured = (
        f"Customers sent {RATE:.0f} requests a second to each service. In real time,"
        f" {about.services} services ran at once, and with everything about them"
        f" {about.cores_busy:.2f} cores were busy; while nothing was broken, 99.9 % of answers took"
        f" at most {1000 * about.usual_s:.1f} ms. Errors and widths of holdfast's own estimates are"
        " in milliseconds, of the usual ways in seconds."
    )
    still = sum(one.stood_still for one in real)
    stood_still = (
        f"While {still} of them began or ended, a core of this machine stood still for"
        f" {STILL_NS / 1e6:.0f} ms or more, as a watcher on each core noticed; who misses a goal"
        " then is marked so, and has missed it all the same."
    )
    left_out = (
        f"{late} of the {len(real)} are left out of errors, widths and shares: customers were over"
        " 50 ms late themselves near an edge of theirs, and a run says unknown then."
    )
    parts = [
        f"Measured with: {about.before}.",
        measured,
        f"### holdfast, {len(real)} outages in real time (0.6 to 10 s)",
        _own(real, about.usual_s),
        left_out,
        stood_still,
        f"### holdfast, {len(made_up)} outages in simulated time (0.5 to 60 s)",
        _own(made_up, SIMULATED_USUAL_S),
        "### The usual ways, on the same real outages: 5 to 10 s long",
        _usual([one for one in sure if one.long]),
        "### The usual ways, on the same real outages: 0.6 to 2 s long",
        _usual([one for one in sure if not one.long]),
    ]
    return "\n\n".join(parts) + "\n"


def _own(told: Sequence[Told], usual_s: float) -> str:
    head = ["outage", "estimate", "trials", "late", "unknown"]
    head += ["mean error", "worst error", "median width", "widest", "covered", "goal"]
    rows = []
    for kind in KINDS:
        mine = [one for one in told if one.trial.kind == kind]
        sure = [one for one in mine if not one.late]
        for name, estimate in OF.items():
            found = [(one, estimate(one.trial)) for one in sure]
            errors = Errors.of((one.trial.seconds, said) for one, said in found)
            counts = [str(len(mine)), str(len(mine) - len(sure)), str(errors.unknown)]
            goal = _against(kind, found, errors.covered, usual_s)
            rows.append([kind, name, *counts, *_cells(errors), goal])
    return _markdown(head, rows)


def _cells(errors: Errors) -> list[str]:
    if not errors.off:
        return ["-"] * 5
    return [
        f"{1000 * fmean(errors.off):+.1f}",
        f"{1000 * max(map(abs, errors.off)):.1f}",
        f"{1000 * median(errors.widths):.1f}",
        f"{1000 * max(errors.widths):.1f}",
        f"{errors.covered:.1%}",
    ]


def _against(
    kind: str, found: Sequence[tuple[Told, Interval | None]], covered: float, usual_s: float
) -> str:
    told = [(one, said) for one, said in found if said is not None and said.high < inf]
    if kind not in GOALS or not told:
        return "-"
    worst, widest, least = GOALS[kind]
    if kind == "hang":
        worst += 2 * usual_s
    beyond = {
        "error": [
            one for one, said in told if abs((said.low + said.high) / 2 - one.trial.seconds) > worst
        ],
        "width": [one for one, said in told if said.high - said.low > widest],
    }
    missed = [_times(name, ones, len(told)) for name, ones in beyond.items() if ones]
    missed += ["covered"] if covered < least else []
    return f"MISSED: {', '.join(missed)}" if missed else "met"


def _times(name: str, beyond: Sequence[Told], told: int) -> str:
    """How often, and in how many of these the machine was not there to be right."""
    still = sum(one.stood_still for one in beyond)
    return f"{name} in {len(beyond)} of {told}" + (f" ({still} stood still)" if still else "")


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
