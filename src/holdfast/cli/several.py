"""Print and keep what several runs found together."""

import json
from math import inf
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.model import Interval, plain
from holdfast.store import write_whole
from holdfast.suite import Controls, Outcome, Ran, Repeats

_MARK = {True: "yes", False: "NO", None: "not told"}


def keep(path: Path, record: dict[str, Any]) -> None:
    """Write the summary whole or not at all; what is not finite is written as text."""
    write_whole(path, text(record) + "\n")


def text(record: dict[str, Any]) -> str:
    """The record as JSON."""
    return json.dumps(_finite(plain(record)), indent=1)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if value == inf else value


def line(row: Ran, number: int) -> str:
    """One run as a line of progress."""
    return f"{number}: exit {row.exit_code}, recovery {seconds(row.recovery_s)}"


def seconds(value: Interval | None) -> str:
    """A recovery as it is printed: an interval, never a point."""
    if value is None:
        return "unknown"
    return f"> {value.low:.2f} s" if value.high == inf else f"{value.low:.2f} to {value.high:.2f} s"


def show_repeats(found: Repeats, path: Path | None, *, as_json: bool) -> None:
    """Each repeat's row, then what they show together."""
    if as_json:
        click.echo(text({**found.record(), "summary": str(path)}))
        return
    table = Table("repeat", "exit", "recovery", "bad, s", "not held")
    for number, row in enumerate(found.rows, 1):
        bad = "" if row.bad_seconds is None else f"{row.bad_seconds:.2f}"
        wrong = ", ".join(f"{name} {one}" for name, one in row.verdicts.items() if one != "held")
        cells = (str(number), str(row.exit_code), seconds(row.recovery_s), bad)
        table.add_row(*cells, Text(wrong or ("" if row.verdicts else row.why)))
    _console().print(table)
    for name, counts in found.counts().items():
        click.echo(f"{name}: " + ", ".join(f"{one} {many}" for one, many in counts.items()))
    _show_claim(found)
    if len(found.rows) < found.wanted:
        click.echo(f"ended after {len(found.rows)} of {found.wanted}")
    click.echo(f"exit code {found.exit_code}, the gravest of all; written to {path}")


def _show_claim(found: Repeats) -> None:
    claim = found.claim
    if claim is None:
        return
    click.echo(
        f"recovery: {claim.over} of {claim.trials} over {found.limit_s:g} s, {claim.unknown}"
        f" unknown; at 95 % confidence at most {claim.share_over:.0%} of all recoveries are over it"
    )
    if claim.bound_s is not None and claim.bound_s != inf:
        click.echo(
            f"95 % of all recoveries take at most {claim.bound_s:.2f} s (95 % confidence, if their"
            " logarithms are normally distributed)"
        )


def show_controls(found: Controls, path: Path | None, *, as_json: bool) -> None:
    """Each control run, then what was never red, and the rate of false alarms."""
    if as_json:
        click.echo(text({**found.record(), "summary": str(path)}))
        return
    table = Table("experiment", "control", "exit", "red", "must", "as it must")
    for one in found.outcomes:
        table.add_row(*map(Text, _cells(one)))
    _console().print(table)
    alarms, judged, bound = found.false_alarms()
    click.echo(
        f"false alarms: {alarms} of {judged} runs without a fault; the rate is at most {bound:.0%}"
        " (95 % confidence)"
    )
    click.echo(f"never red: {', '.join(found.never_red()) or 'nothing'}")
    for one in found.outcomes:
        if one.as_it_must is not True:
            click.echo(f"{one.ran.experiment}, {one.ran.control}: {one.ran.why or one.must}")
    if len(found.outcomes) < found.wanted:
        click.echo(f"ended after {len(found.outcomes)} of {found.wanted}")
    click.echo(f"exit code {found.exit_code}; written to {path}")


def _cells(one: Outcome) -> tuple[str, ...]:
    row = one.ran
    red = ", ".join(row.red) or "nothing"
    return (
        row.experiment,
        row.control,
        str(row.exit_code),
        red,
        one.must,
        _MARK[one.as_it_must],
    )


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)
