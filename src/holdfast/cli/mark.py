"""`holdfast mark`."""

from pathlib import Path

import click

from holdfast.cli import options


@click.command(
    epilog='\b\nExample:\n  holdfast mark runs/observe/20260102T030405.678901Z "pulled the plug"'
)
@options.run_folder
@click.argument("text", default="")
def command(run_folder: Path, text: str) -> None:
    """Write down in RUN, which is under way, that something happens now.

    `holdfast observe` measures from the first mark. It is no witness of a fault.
    """
    from holdfast.observe import mark

    mark(run_folder, text)
    click.echo(f"marked in {run_folder}")
