"""`holdfast undo`."""

from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.cli import options
from holdfast.errors import HoldfastError, InvalidInput


@click.command(
    epilog="\b\nExample:\n  holdfast undo runs/slow-gateway/20260102T030405.678901Z\n"
    "  holdfast undo --all-mine --runs runs"
)
@click.argument(
    "run_folder", metavar="[RUN]", type=click.Path(path_type=Path), required=False, default=None
)
@click.option(
    "--all-mine",
    is_flag=True,
    help="Every run below --runs, and every mark on the systems that belongs to no run alive.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where --all-mine looks for runs.",
)
@options.environment
@click.option("--by-hand", is_flag=True, help="Only print the kubectl and curl lines that do it.")
def command(
    run_folder: Path | None, all_mine: bool, runs: Path, environment_path: Path, by_hand: bool
) -> None:
    """Undo whatever RUN has left behind, and read it back.

    Works from any process, also after the runner was killed; doing it twice is harmless. Exit code
    0: nothing is left; 5: something may remain, and is named.
    """
    if (run_folder is None) != all_mine:
        raise InvalidInput("undo", "it needs a run's folder, or --all-mine", "Name one of them")
    folders = [run_folder] if run_folder else list(_all(runs))
    clean = [_undone(folder, by_hand=by_hand) for folder in folders]
    if all_mine:
        click.echo(f"{len(folders)} runs looked at")
        clean.append(_marked(environment_path, by_hand=by_hand))
    if not all(clean):
        raise click.exceptions.Exit(5)


def _all(runs: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(runs.glob("*/*/plan.json")))


def _undone(folder: Path, *, by_hand: bool) -> bool:
    from holdfast import context, heal

    here = context.of({context.KEY: str(folder)})
    pending = heal.pending(here.run)
    for one in pending:
        if by_hand:
            click.echo("\n".join(heal.by_hand(one)))
        else:
            click.echo(f"undoing: {one.operation} {dict(one.arguments)}")
    if by_hand:
        return True
    failures = heal.undo_all(here.run, here.environment, by="person")
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if not failures:
        click.echo(
            f"{len(pending)} undone, nothing is left" if pending else "nothing was left to undo"
        )
    return not failures


def _marked(environment_path: Path, *, by_hand: bool) -> bool:
    """Undo what carries a mark of a run that is not alive, whether its folder is here or not."""
    from holdfast import heal, lock
    from holdfast.documents import read_environment

    environment = read_environment(environment_path)
    systems, living = heal.open_systems(environment), lock.living(environment)
    found, not_asked = heal.found.everything(systems)
    for why in not_asked:
        click.echo(f"error: {why}", err=True)
    clean = not not_asked
    for one in found:
        if one.run == living:
            click.echo(f"left alone: {one.heal.operation} of run {one.run}, which is alive")
            continue
        if by_hand:
            click.echo("\n".join(heal.by_hand(one.heal)))
            continue
        click.echo(f"undoing: {one.heal.operation} {dict(one.heal.arguments)} of run {one.run}")
        try:
            heal.undo(one.heal, systems)
        except (HoldfastError, TimeoutError) as error:
            click.echo(f"error: {error}", err=True)
            clean = False
    return clean
