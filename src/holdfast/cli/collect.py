"""`holdfast collect`."""

from pathlib import Path

import click

from holdfast.cli import options


@click.command(epilog="\b\nExample:\n  holdfast collect runs/slow-gateway/20260102T030405.678901Z")
@options.run_folder
@options.environment
@options.as_json
def command(run_folder: Path, environment_path: Path, as_json: bool) -> None:
    """Ask every system again for its records of RUN, judge and report.

    Only systems that the environment file names, too, are asked.
    """
    from holdfast import context, pipeline
    from holdfast.cli.show import show

    here = context.confirmed(run_folder, environment_path, context.COLLECTS)
    report = pipeline.recollect(here)
    show(report, as_json=as_json)
    raise click.exceptions.Exit(report.exit_code)
