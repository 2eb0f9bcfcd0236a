"""`holdfast run`."""

from pathlib import Path

import click

from holdfast.cli import options
from holdfast.guard import Consent


@click.command(
    epilog="\b\nExample:\n  holdfast run experiments/slow-gateway.yaml --runs runs\n\n"
    "Ctrl-C heals the fault, then judges what was seen until then (exit code 4)."
)
@options.experiment
@options.environment
@options.runs
@options.consent
@options.as_json
def command(
    experiment: Path, environment_path: Path, runs: Path, consent: Consent, as_json: bool
) -> None:
    """Run EXPERIMENT: break, measure, heal, judge, report."""
    from holdfast import pipeline, plan
    from holdfast.cli.progress import Progress
    from holdfast.cli.show import show

    made = plan.make(experiment, environment_path, consent)
    with Progress(made.experiment.title) as progress:
        report = pipeline.run(made, runs, progress.tell)
    show(report, as_json=as_json)
    raise click.exceptions.Exit(report.exit_code)
