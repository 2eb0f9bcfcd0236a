"""`holdfast approve`."""

import json
from datetime import timedelta
from pathlib import Path

import click

from holdfast.cli import options


@click.command(
    epilog="\b\nExample:\n"
    "  openssl genpkey -algorithm ed25519 -out me.pem    (once; keep it to yourself)\n"
    "  openssl pkey -in me.pem -pubout                   (its middle line: `policy.approvers`)\n"
    "  holdfast approve experiments/slow-gateway.yaml -e environment.yaml --key me.pem"
)
@options.experiment
@options.environment
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    help="Your Ed25519 private key, PEM.",
)
@click.option("--hours", type=float, default=8.0, show_default=True, help="For how long, up to 24.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.  [default: beside the experiment, as NAME.approval.json]",
)
def command(
    experiment: Path, environment_path: Path, key: Path, hours: float, out: Path | None
) -> None:
    """Approve EXPERIMENT as the second person that production needs.

    The approval is for this experiment with its journeys and objectives as they are now, in this
    environment, and for so long. You cannot run what you have approved: that is for somebody else,
    who gives the file with `--approval`.
    """
    from holdfast import guard, plan
    from holdfast.clock import utc_now

    read = plan.read(experiment, environment_path)
    environment, lasts = read.environment, timedelta(hours=hours)
    given = guard.approve(read.substance(), environment, key, utc_now(), lasts)
    path = out or experiment.with_suffix(".approval.json")
    path.write_text(json.dumps(given, indent=1) + "\n", "utf-8")
    click.echo(
        f"{given['approver']} approves {experiment} in {environment.name} until {given['expires']}:"
        f" {path}"
    )
