"""`holdfast budget`."""

import json
from pathlib import Path
from typing import Any

import click

from holdfast import budget
from holdfast.budget import Account
from holdfast.cli import options
from holdfast.documents import read_rates
from holdfast.measure.budget import BY_HOURS_S, BY_SHARE_S, Projection, Year
from holdfast.model import plain


@click.command(
    epilog="\b\nExample:\n  holdfast budget --runs runs\n  holdfast budget --rates rates.yaml"
)
@options.runs
@click.option(
    "--rates",
    type=click.Path(path_type=Path, dir_okay=False),
    help="How often each way to fail happens: adds a projection of a year.",
)
@options.as_json
def command(runs: Path, rates: Path | None, as_json: bool) -> None:
    """What runs have cost of the yearly error budget in the last 365 days, and what is left.

    99.95 % of a year allows 15,768 s, "at most 4 hours" 14,400 s; the stricter one is applied, both
    are printed. Control runs and observed incidents are not booked. With --rates, the projection of
    a year prints apart what chaos runs can test and what they cannot.
    """
    found = budget.accounts(budget.rows(runs))
    read = read_rates(rates) if rates else {}
    ahead = {
        name: budget.projected(read, account, str(rates))
        for name, account in (found or {"": Account()}).items()
        if read
    }
    if as_json:
        click.echo(json.dumps(_record(found, ahead), indent=1))
        return
    if not found:
        click.echo(f"No run is booked in {runs / budget.LEDGER}: all of 14,400 s is left.")
    for name, account in found.items():
        _show(name, account)
    for name, projection in ahead.items():
        _show_year(name, projection)


def _record(found: dict[str, Account], ahead: dict[str, Projection]) -> dict[str, Any]:
    return {
        "budget_s": {"4_h": BY_HOURS_S, "99_95": BY_SHARE_S},
        "environments": {
            name: {
                **plain(account),
                "left_s": account.left_s,
                "left_of_99_95_s": BY_SHARE_S - account.booked_s,
            }
            for name, account in found.items()
        },
        "projection": plain(ahead),
    }


def _show(name: str, account: Account) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("experiment", "runs", "booked, s", "of 4 h", "of 99.95 %", title=Text(name))
    for experiment, each in sorted(account.experiments.items()):
        table.add_row(Text(experiment), str(len(each)), *_costs(sum(each)))
    table.add_section()
    table.add_row("all", str(account.runs), *_costs(account.booked_s))
    table.add_row("left", "", *_costs(account.left_s))
    Console(highlight=False, markup=False, emoji=False).print(table)
    if account.unsure_s:
        click.echo(f"Of it {account.unsure_s:.2f} s were not measured for sure, and are booked.")


def _costs(seconds: float) -> tuple[str, str, str]:
    return f"{seconds:.2f}", f"{seconds / BY_HOURS_S:.3%}", f"{seconds / BY_SHARE_S:.3%}"


def _show_year(name: str, projection: Projection) -> None:
    click.echo(f"A coming year{f' in {name}' if name else ''}, {projection.simulated} simulated:")
    parts = {
        "everything": projection.everything,
        "what chaos runs can test": projection.testable,
        "what they cannot": projection.other,
    }
    for words, year in parts.items():
        if year:
            click.echo(f"  {words}: {_sentence(year)}")


def _sentence(year: Year) -> str:
    return (
        f"{year.median_s:.0f} s bad (90 %: {year.low_s:.0f} to {year.high_s:.0f} s),"
        f" {year.within_share:.0%} chance of 99.95 %, {year.within_hours:.0%} of 4 h"
    )
