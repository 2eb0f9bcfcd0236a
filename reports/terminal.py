"""The findings as one table on a terminal, or as plain text where there is none."""

from io import TextIOWrapper
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.reports.outline import Row, exit_meaning, headline, rows, verdict_word
from holdfast.reports.quantity import shown
from holdfast.reports.record import Proof, Report
from holdfast.reports.words import say
from holdfast.verdict import Verdict

_STYLE = {Verdict.HELD: "green", Verdict.BROKEN: "bold red", Verdict.UNKNOWN: "bold yellow"}
_WIDEST = 120


def show(report: Report, file: TextIO, *, where: str, width: int | None = None) -> None:
    """Print promises, verdict, the exit code's meaning, and where the report lies.

    Without `width`, a terminal's own is used up to 120 columns, which is also what files get.
    """
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="replace")  # a terminal that lacks a letter still gets the verdict
    console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
    if width is None:
        console.width = min(console.width, _WIDEST) if console.is_terminal else _WIDEST
    console.print()
    console.print(Text(shown(report.title, 300), style="bold"))
    if report.findings:
        console.print(_table(report))
    for proof in report.witness:
        if not proof.shown:
            console.print(_proof(proof))
    console.print(_overall(report))
    console.print(Text(exit_meaning(report)))
    path = say("labelled", label=say("terminal.report"), value=shown(where))
    console.print(Text(path), soft_wrap=True)


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 2, 0, 0), leading=1)
    table.add_column(say("column.promise"), ratio=4, overflow="fold")
    table.add_column(say("column.verdict"), no_wrap=True, min_width=9)
    table.add_column(say("column.measured"), ratio=4, overflow="fold")
    table.add_column(say("column.why"), ratio=7, overflow="fold")
    for row in rows(report):
        promise = Text(row.objective, style="bold").append(f"\n{row.promise}", style="not bold")
        verdict = Text(row.word, style=_STYLE[row.verdict])
        table.add_row(promise, verdict, _measured(row), Text(row.why))
    return table


def _measured(row: Row) -> Text:
    """The values one below the other, each with its label where there are several."""
    if len(row.measures) < 2:
        return Text(row.deciding)
    lines = [say("terminal.measure", value=one.value, label=one.label) for one in row.measures]
    return Text("\n".join(lines))


def _proof(proof: Proof) -> Text:
    """Why a proof of the fault is missing."""
    mark = say("proof.none" if proof.shown is None else "proof.no")
    what = say("labelled", label=f"{mark}: {say(f'witness.{proof.name}')}", value=shown(proof.why))
    return Text(what)


def _overall(report: Report) -> Text:
    label = say("labelled", label=say("overall"), value="")
    line = Text(label).append(verdict_word(report.verdict), style=_STYLE[report.verdict])
    return line.append(f"\n{headline(report)}")
