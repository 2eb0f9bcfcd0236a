"""`holdfast undo`."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli import options
from holdfast.errors import HoldfastError, InvalidInput
from holdfast.inert import inert

if TYPE_CHECKING:
    from holdfast.documents import Environment
    from holdfast.heal import Systems
    from holdfast.heal.found import Found
    from holdfast.model import Heal


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

    Works from any process, also after the runner was killed; doing it twice is harmless. Only
    systems that the environment file names, too, are called; --by-hand needs no such file. Exit
    code 0: nothing is left; 5: something may remain, and is named.
    """
    if (run_folder is None) != all_mine:
        raise InvalidInput("undo", "it needs a run's folder, or --all-mine", "Name one of them")
    one = partial(_printed if by_hand else _undone, environment_path=environment_path)
    if run_folder:
        clean = one(run_folder)
    else:
        folders = list(_all(runs))
        each = [_tried(str(folder), partial(one, folder)) for folder in folders]
        click.echo(f"{len(folders)} runs looked at", err=by_hand)
        marked = partial(_marked, environment_path, by_hand=by_hand)
        clean = all([*each, _tried("marks on the systems", marked)])
    if not clean:
        raise click.exceptions.Exit(5)


def _all(runs: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(runs.glob("*/*/plan.json")))


def _tried(what: str, work: Callable[[], bool]) -> bool:
    """Is nothing left there? Whatever one folder holds keeps nobody from undoing the others."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # it is named, and counts as something that remains
        known = isinstance(error, HoldfastError | OSError)
        click.echo(f"error: {inert(what)}: {inert(str(error if known else repr(error)))}", err=True)
        return False


def _undone(folder: Path, *, environment_path: Path) -> bool:
    from holdfast import context, heal
    from holdfast.store import Run

    run = Run.open(folder)
    if heal.settled(run, "person"):
        click.echo("nothing was left to undo")
        return True
    pending = heal.pending(run)
    here = context.confirmed(folder, environment_path, context.UNDOES)
    for one in pending:
        click.echo(inert(f"undoing: {one.operation} {dict(one.arguments)}"))
    failures = heal.undo_all(here.run, here.environment, by="person")
    for failure in failures:
        click.echo(inert(f"error: {failure}"), err=True)
    if not failures:
        click.echo(f"{len(pending)} undone, nothing is left" if pending else "nothing is left")
    return not failures


def _printed(folder: Path, *, environment_path: Path) -> bool:
    """The lines that undo a run by hand: from its log alone, whatever else is lost."""
    from holdfast import heal
    from holdfast.store import Run

    run = Run.open(folder)
    pending = heal.pending(run)
    tokens = _tokens(environment_path) if pending else {}
    whole = not heal.damaged(run)
    if not whole:
        click.echo(
            f"error: {inert(str(run.path('heals.jsonl')))} is not whole; the marks on the systems "
            "tell the rest: holdfast undo --all-mine --by-hand",
            err=True,
        )
    lines = [_tried(one.id, partial(_lines, one, tokens)) for one in pending]
    return whole and all(lines)


def _lines(heal: "Heal", tokens: Mapping[str, str]) -> bool:
    from holdfast.heal import by_hand

    for line in by_hand(heal, tokens):
        click.echo(inert(line))
    return True


def _tokens(environment_path: Path) -> Mapping[str, str]:
    """Which Toxiproxy wants the token of which variable; nobody knows without the file."""
    from holdfast.documents import read_environment
    from holdfast.heal import Systems

    try:
        return Systems(read_environment(environment_path)).tokens
    except InvalidInput:
        click.echo(
            f"no {inert(str(environment_path))} tells which Toxiproxy wants a token: add "
            '-H "Authorization: Bearer $TOKEN" where one does',
            err=True,
        )
        return {}


def _marked(environment_path: Path, *, by_hand: bool) -> bool:
    """Undo what carries a mark of a run that is not alive, whether its folder is here or not."""
    from holdfast import heal
    from holdfast.documents import read_environment

    environment = read_environment(environment_path)
    systems, living = heal.open_systems(environment), _living(environment)
    found, not_asked = heal.found.everything(systems)
    for why in not_asked:
        click.echo(f"error: {why}", err=True)
    mark = partial(_mark, systems=systems, living=living, by_hand=by_hand)
    each = [_tried(one.heal.id, partial(mark, one)) for one in found]
    return not not_asked and living is not None and all(each)


def _living(environment: "Environment") -> str | None:
    """The run that is alive, or an empty text; None when nobody can tell."""
    from holdfast import lock

    try:
        return lock.living(environment)
    except HoldfastError as error:
        click.echo(f"error: whether a run is alive: {inert(str(error))}", err=True)
        return None


def _mark(one: "Found", *, systems: "Systems", living: str | None, by_hand: bool) -> bool:
    from holdfast import heal
    from holdfast.clock import utc_now

    what = f"{one.heal.operation} {dict(one.heal.arguments)} of run {one.run}"
    if one.run == living:
        click.echo(inert(f"left alone: {one.heal.operation} of run {one.run}, which is alive"))
        return True
    unsure = living is None and (one.expires is None or one.expires > utc_now())
    if unsure and not by_hand:
        click.echo(inert(f"error: {what}: it may be alive; once it is not:"), err=True)
    if unsure or by_hand:
        return _lines(one.heal, systems.tokens) and not unsure
    click.echo(inert(f"undoing: {what}"))
    heal.undo(one.heal, systems)
    return True
