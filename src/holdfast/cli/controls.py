"""`holdfast controls`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli import options
from holdfast.documents import Variant

if TYPE_CHECKING:
    from holdfast.plan import Plan

_MATRIX = Path("experiments/controls.yaml")


@click.command(
    epilog="\b\nExample:\n  holdfast controls --short\n"
    "  holdfast controls --only slow-gateway --nulls 10"
)
@options.environment
@options.runs
@click.option(
    "--matrix",
    type=click.Path(path_type=Path, dir_okay=False),
    default=_MATRIX,
    show_default=True,
    help="Which defect has to turn what red; the experiments lie beside it.",
)
@click.option("--only", multiple=True, metavar="EXPERIMENT", help="Only these experiments.")
@click.option(
    "--nulls",
    type=click.IntRange(0, 1000),
    default=1,
    show_default=True,
    help="How often each experiment runs without a fault.",
)
@click.option("--short", is_flag=True, help="Short phases; `success` is left out.")
@options.as_json
def command(
    environment_path: Path,
    runs: Path,
    matrix: Path,
    only: tuple[str, ...],
    as_json: bool,
    **how: int,
) -> None:
    """Run every experiment without a fault and against its planted defects.

    Says which objective and which proof of the witness has never gone red, and the rate of false
    alarms with its exact 95 % bound. Laboratories only: `kind: laboratory` and `controls:` of the
    environment file. Exit code 0: each control did as it must; 1: one did not; 3: it cannot be
    told; else the gravest of 5, 4, 6, 2.
    """
    from holdfast import plan, suite
    from holdfast.cli import several
    from holdfast.cli.progress import Progress
    from holdfast.documents import read_controls, read_environment

    environment, wanted = read_environment(environment_path), read_controls(matrix)
    if unknown := set(only) - set(wanted):
        raise click.UsageError(f"{matrix} does not have {', '.join(sorted(unknown))}")
    chosen = {name: wanted[name] for name in only or wanted}
    short = bool(how["short"])

    def make(name: str, defect: str) -> "Plan":
        variant = Variant(null=not defect, sabotage=defect, short=short)
        return plan.make(
            matrix.parent / f"{name}.yaml", environment_path, variant=variant, runs=runs
        )

    path, found = suite.stamped(runs, "controls"), suite.Controls((), 0)
    with Progress("controls") as progress:
        for found in suite.controls(chosen, environment, how["nulls"], make, (runs, progress.tell)):
            several.keep(path, found.record())
    several.show_controls(found, path, as_json=as_json)
    raise click.exceptions.Exit(found.exit_code)
