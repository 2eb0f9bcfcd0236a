"""`holdfast judge`."""

from pathlib import Path

import click

from holdfast.cli import options


@click.command(epilog="\b\nExample:\n  holdfast judge runs/slow-gateway/20260102T030405.678901Z")
@options.run_folder
@options.as_json
def command(run_folder: Path, as_json: bool) -> None:
    """Judge RUN again from its folder, offline. The findings are the same each time."""
    from holdfast import pipeline
    from holdfast.cli.show import show

    report = pipeline.rejudge(run_folder)
    show(report, as_json=as_json)
    raise click.exceptions.Exit(report.exit_code)
