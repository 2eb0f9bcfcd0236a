"""`python -m lab`: the whole wallet platform on one machine: started, looked at, broken, ended."""

import asyncio
import json
import os
import time
from pathlib import Path

import click

from lab import state
from lab.addresses import Lab
from lab.errors import LabError

_MIB = 1 << 20
_NUMBERS = click.IntRange(1, 254)


class _Commands(click.Group):
    """Says what is wrong with a lab in a line, and exits with 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except* LabError as group:
            for each in _flat(group):
                click.echo(f"error: {each}", err=True)
        return ctx.exit(1)


def _flat(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The errors of a group and of the groups in it."""
    found: list[BaseException] = []
    for each in group.exceptions:
        found += _flat(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


@click.group(cls=_Commands)
@click.option("--lab", "number", type=_NUMBERS, default=1, envvar="HOLDFAST_LAB", show_default=True)
@click.pass_context
def main(ctx: click.Context, number: int) -> None:
    """The reference wallet on real infrastructure, on this machine, on loopback addresses only."""
    ctx.obj = Lab.of(number)


@main.command()
@click.option(
    "--environment",
    type=click.Path(dir_okay=False, path_type=Path),
    default="environment.yaml",
    show_default=True,
    help="Where to write the file that tells holdfast of this lab.",
)
@click.pass_obj
def up(lab: Lab, environment: Path) -> None:
    """Start everything; harmless when it runs already."""
    from lab.programs import programs
    from lab.status import settled_problems
    from lab.up import Start, write_environment

    with state.locked(lab):
        if state.read(lab).complete:
            wrong = asyncio.run(settled_problems(lab))
            if not wrong:
                asyncio.run(write_environment(lab, environment))
                click.echo(f"lab {lab.number} runs already: {environment} is up to date")
                return
            click.echo(f"lab {lab.number} is damaged ({', '.join(wrong)}): starting it afresh")
        if cleared := state.end(lab):
            click.echo(f"ended {cleared} processes of an earlier lab {lab.number}")
        found = programs()
        began = time.monotonic()
        try:
            asyncio.run(Start(lab, found, _told).run(environment))
        except BaseException:
            state.end(lab)
            raise
    click.echo(f"lab {lab.number} is up in {time.monotonic() - began:.1f} s: http://{lab.entrance}")


def _told(name: str, seconds: float) -> None:
    click.echo(f"  {name:<20} {seconds:5.1f} s")


@main.command()
@click.pass_obj
def down(lab: Lab) -> None:
    """End every process of the lab and remove its data; its logs stay."""
    with state.locked(lab):
        ended = state.end(lab)
    click.echo(f"lab {lab.number} is down: {ended} processes ended; logs in {lab.logs}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Every piece with its address, version, memory and state; exit 1 unless all are healthy."""
    from lab.status import observe, problems, table

    lab: Lab = ctx.obj
    rows = asyncio.run(observe(lab))
    if as_json:
        click.echo(json.dumps([row.plain() for row in rows], indent=1))
    elif rows:
        from rich.console import Console

        Console().print(table(rows))
        total = sum(row.memory for row in rows) / _MIB
        click.echo(f"{len(rows)} processes or families of them, {total:.0f} MiB in all")
    else:
        click.echo(f"lab {lab.number} is down")
    ctx.exit(0 if rows and not problems(rows) else 1)


@main.command()
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def defect(lab: Lab, names: tuple[str, ...]) -> None:
    """Switch the running wallet to these planted defects, or to `none`."""
    from lab.defects import parse, switch

    wanted = parse(names)
    with state.locked(lab):
        if not state.read(lab).complete:
            raise LabError(f"lab {lab.number}", "it does not run", "Start it with `up`")
        began = time.monotonic()
        asyncio.run(switch(lab, wanted))
    said = ", ".join(sorted(wanted)) or "healthy"
    click.echo(f"the wallet is {said}, {time.monotonic() - began:.1f} s after the switch")


@main.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on as it grows.")
@click.pass_obj
def logs(lab: Lab, name: str, follow: bool) -> None:
    """Print the log of a piece, or of a pod by the beginning of its name."""
    found = [lab.logs / f"{name}.log", *sorted(lab.logs.glob(f"pod-{name}*.log"))]
    files = [str(path) for path in found if path.is_file()]
    if not files:
        known = ", ".join(sorted(path.stem for path in lab.logs.glob("*.log"))) or "none"
        raise LabError(name, "no such log", f"There are: {known}")
    command = ("tail", *(("-f",) if follow else ()), "-n", "+1", *files)
    os.execvp(command[0], command)  # noqa: S606
