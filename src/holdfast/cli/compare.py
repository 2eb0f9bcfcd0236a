"""`holdfast compare`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli import options
from holdfast.model import Interval, plain

if TYPE_CHECKING:
    from holdfast.compare import Comparison

_DEFAULT = 10


@click.command(
    epilog="\b\nExample:\n  holdfast compare runs/slow-gateway/20260102T030405.678901Z --gate"
)
@options.run_folder
@click.option(
    "--last",
    type=click.IntRange(5, 1000),
    default=_DEFAULT,
    show_default=True,
    help="With how many earlier accepted runs.",
)
@click.option("--gate", is_flag=True, help="Exit with 1 when it became slower, 3 when untold.")
@options.as_json
def command(run_folder: Path, last: int, gate: bool, as_json: bool) -> None:
    """Has RUN become slower than the last accepted runs of its experiment?

    Accepted runs lie beside it, ended with 0, and have the same experiment, journeys and
    environment; five are needed. Compared are recovery, and the median and 99th percentile of each
    journey before the fault. A run is slower when it is slower than every one of them and than what
    they predict; all quantities together raise a false alarm in about 5 % of unchanged runs.

    This is apart from the promises, which may hold all the while. Exit code 0, unless --gate is
    given: then 1 when something became slower, 3 when it cannot be told.
    """
    import json

    from holdfast import compare
    from holdfast.cli.progress import Progress

    with Progress(f"compare {run_folder.name}") as progress:
        found = compare.compare(run_folder, last, lambda name: progress.tell(f"read {name}", 1))
    if as_json:
        click.echo(json.dumps({**plain(found), "exit_code": found.exit_code}, indent=1))
    else:
        _show(found)
    raise click.exceptions.Exit(found.exit_code if gate else 0)


def _show(found: "Comparison") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("quantity", "this run", "may take up to", "against the median", "slower")
    for one in found.slides:
        bound = "" if one.bound_s is None else f"{one.bound_s:.4f} s"
        word = {True: "YES", False: "no", None: "not told"}[one.slid]
        table.add_row(Text(one.name), _s(one.now), bound, _s(one.slower_by, sign="+"), word)
    Console(highlight=False, markup=False, emoji=False).print(table)
    many = len(found.earlier)
    if found.enough:
        click.echo(
            f"against {many} accepted runs; by ranks alone chance calls {1 / (many + 1):.0%} of"
            " unchanged runs slower in one quantity, with the bound about 5 % in any"
        )
    else:
        click.echo(f"only {many} accepted runs of the same kind lie beside it: 5 are needed")


def _s(value: Interval | None, sign: str = "") -> str:
    if value is None:
        return "unknown"
    return f"{value.low:{sign}.4f} to {value.high:{sign}.4f} s"
