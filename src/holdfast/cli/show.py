"""Print what a run found, as a table or as JSON."""

import json
import sys
from pathlib import Path

import click

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
    terminal.show(report, sys.stdout, where=str(Path(report.folder) / "report.html"))
