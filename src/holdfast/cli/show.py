"""Print what a run found, as a table or as JSON."""

import json

import click
from rich.console import Console

from holdfast.model import plain
from holdfast.reports import terminal
from holdfast.reports.record import Report


def show(report: Report, *, as_json: bool) -> None:
    """The findings on stdout."""
    if as_json:
        found = {
            "experiment": report.experiment,
            "run": report.folder,
            "verdict": report.verdict,
            "exit_code": report.exit_code,
            "findings": plain(report.findings),
        }
        click.echo(json.dumps(found, indent=1))
        return
    terminal.show(report, Console(highlight=False))
