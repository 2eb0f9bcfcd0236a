"""`holdfast undo`."""

from pathlib import Path

import click

from holdfast.cli import options


@click.command(epilog="\b\nExample:\n  holdfast undo runs/slow-gateway/20260102T030405.678901Z")
@options.run_folder
def command(run_folder: Path) -> None:
    """Undo whatever RUN has left behind, and read it back.

    Works from any process, also after the runner was killed; doing it twice is harmless. Exit code
    0: nothing is left; 5: something may remain, and is named.
    """
    from holdfast import context, heal

    here = context.of({context.KEY: str(run_folder)})
    pending = heal.pending(here.run)
    for one in pending:
        click.echo(f"undoing: {one.operation} {dict(one.arguments)}")
    failures = heal.undo_all(here.run, here.environment)
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if failures:
        raise click.exceptions.Exit(5)
    click.echo(f"{len(pending)} undone, nothing is left" if pending else "nothing was left to undo")
