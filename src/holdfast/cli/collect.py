"""`holdfast collect`."""

from pathlib import Path

import click

from holdfast.cli import options


@click.command(epilog="\b\nExample:\n  holdfast collect runs/slow-gateway/20260102T030405.678901Z")
@options.run_folder
@options.as_json
def command(run_folder: Path, as_json: bool) -> None:
    """Ask every system again for its records of RUN, judge and report."""
    from holdfast import pipeline
    from holdfast.cli.show import show

    report = pipeline.recollect(run_folder)
    show(report, as_json=as_json)
    raise click.exceptions.Exit(report.exit_code)
