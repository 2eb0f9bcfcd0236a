"""Print what a run found, as a table or as JSON."""

import json
import os
import sys
from pathlib import Path

import click

from holdfast.model import plain
from holdfast.reports import terminal
from holdfast.reports.record import Report


def show(report: Report, *, as_json: bool) -> None:
    """The findings on stdout. A reader that has gone changes nothing about the exit code."""
    try:
        _show(report, as_json=as_json)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich would end with 1, which says broken
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        found = {
            "experiment": report.experiment,
            "control": report.control,
            "run": report.folder,
            "verdict": report.verdict,
            "exit_code": report.exit_code,
            "findings": plain(report.findings),
        }
        click.echo(json.dumps(found, indent=1))
        return
    terminal.show(report, sys.stdout, where=str(Path(report.folder) / "report.html"))
