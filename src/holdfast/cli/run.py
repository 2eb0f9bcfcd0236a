"""`holdfast run`."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli import options
from holdfast.documents import Variant
from holdfast.guard import Consent

if TYPE_CHECKING:
    from holdfast.plan import Plan

_CLAIM = 10  # repeats that a claim takes by default


@click.command(
    epilog="\b\nExample:\n  holdfast run experiments/slow-gateway.yaml --runs runs\n"
    "  holdfast run experiments/kill-wallet-pods.yaml --repeat 10\n"
    "  holdfast run experiments/slow-gateway.yaml --null --short\n\n"
    "Ctrl-C heals the fault, then judges what was seen until then (exit code 4)."
)
@options.experiment
@options.environment
@options.runs
@click.option(
    "--repeat",
    "times",
    type=click.IntRange(1, 1000),
    is_flag=False,
    flag_value=_CLAIM,
    help=f"Run it so often and bound its recovery; {_CLAIM} where no number follows.",
)
@click.option("--null", is_flag=True, help="A control run without a fault: nothing may break.")
@click.option(
    "--sabotage", default="", metavar="DEFECT", help="A control run with a planted defect."
)
@click.option(
    "--short", is_flag=True, help="Short phases, for control runs; `success` is left out."
)
@options.consent
@options.as_json
def command(
    experiment: Path, environment_path: Path, runs: Path, consent: Consent, **how: Any
) -> None:
    """Run EXPERIMENT: break, measure, heal, judge, report.

    With --repeat each run is planned afresh and has its own steady state; a run that failed or is
    unknown counts, and the exit code is the gravest of 5, 4, 1, 3, 6, 2, 0.

    A control run (--null, --sabotage) never ends with 0, so that no pipeline takes it for a pass:
    1 when a promise broke (without a fault that is a false alarm; with a defect it has to), 3 when
    none did. It is neither booked nor compared.
    """
    variant = Variant(how["null"], how["sabotage"], how["short"])
    if variant.null and variant.sabotage:
        raise click.UsageError("--null and --sabotage are two control runs: choose one")
    if variant.short and not variant.control:
        raise click.UsageError("--short is for control runs: add --null or --sabotage")
    from holdfast import plan, sabotage
    from holdfast.documents import read_environment

    def make() -> "Plan":
        return plan.make(experiment, environment_path, consent, variant, runs)

    with contextlib.ExitStack() as stack:
        if variant.sabotage:
            environment = read_environment(environment_path)
            stack.enter_context(sabotage.planted(environment, variant.sabotage))
        run = _once if how["times"] is None else _often
        code = run(make, runs, how["times"] or 1, as_json=how["as_json"])
    raise click.exceptions.Exit(code)


def _once(make: "Callable[[], Plan]", runs: Path, _: int, *, as_json: bool) -> int:
    from holdfast import pipeline
    from holdfast.cli.progress import Progress
    from holdfast.cli.show import show

    made = make()
    with Progress(made.experiment.title) as progress:
        report = pipeline.run(made, runs, progress.tell)
    show(report, as_json=as_json)
    return report.exit_code


def _often(make: "Callable[[], Plan]", runs: Path, times: int, *, as_json: bool) -> int:
    from holdfast import suite
    from holdfast.cli import several
    from holdfast.cli.progress import Progress

    path = None
    with Progress(f"{times} repeats") as progress:
        for found in suite.repeat(make, times, runs, progress.tell):
            path = path or suite.stamped(runs / found.experiment, "repeat")
            several.keep(path, found.record())
            progress.say(several.line(found.rows[-1], len(found.rows)))
    several.show_repeats(found, path, as_json=as_json)
    return found.exit_code
