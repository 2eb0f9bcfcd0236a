"""`holdfast calibrate`."""

import json
from pathlib import Path

import click

from holdfast import calibration
from holdfast.calibration import Calibration
from holdfast.cli import options
from holdfast.documents import per_second, read_environment, seconds
from holdfast.model import plain

_RATE, _LENGTH = "200/s", "10s"


@click.command(epilog="\b\nExample:\n  holdfast calibrate -e environment.yaml --rate 200/s")
@options.environment
@options.runs
@click.option("--rate", default=_RATE, show_default=True, help="Requests a second.")
@click.option("--for", "length", default=_LENGTH, show_default=True, help="How long they are sent.")
@options.as_json
def command(environment_path: Path, runs: Path, rate: str, length: str, as_json: bool) -> None:
    """How well can this machine measure: lateness, timer, overhead, and its clock.

    Customers are sent to a server on this machine that does nothing; Prometheus is asked for its
    time up to 300 times. The result lies in the folder of runs; every run keeps a copy. A plan that
    this machine cannot measure is refused with exit code 6: when the load is more than 50 ms late
    (p99), or the clocks may be more than 250 ms apart. Without a calibration, or with one that is
    older than 30 days or another machine's, a plan only says so.
    """
    from holdfast.cli.progress import Progress

    environment = read_environment(environment_path)
    try:
        wanted = per_second(rate), seconds(length)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with Progress("calibrate") as progress:
        found = calibration.measure(environment, *wanted, progress.tell)
    path = calibration.write(runs, found)
    if as_json:
        click.echo(json.dumps(plain(found), indent=1))
        return
    _show(found, path)


def _show(found: Calibration, path: Path) -> None:
    late, own, timer = found.lateness_ms, found.overhead_ms, found.timer_ms
    click.echo(found.machine)
    click.echo(
        f"lateness at {found.rate:g}/s: p50 {late['p50']:g} ms, p99 {late['p99']:g} ms,"
        f" p99.9 {late['p99_9']:g} ms, max {late['max']:g} ms ({found.requests} requests)"
    )
    click.echo(f"overhead of a request: p50 {own['p50']:.3f} ms, p99 {own['p99']:.3f} ms")
    click.echo(
        f"load process: {found.cpu_us_per_request:.0f} µs of CPU a request, its start included"
    )
    click.echo(
        f"timer: a sleep of 1 ms is {timer['p50']:.3f} ms too long, p99 {timer['p99']:.3f} ms"
    )
    if found.clock_bound_ms is None:
        click.echo(f"clock: not compared: {found.clock_why}")
    else:
        click.echo(
            f"clock: Prometheus is {found.clock_offset_ms:+.2f} ms from ours, give or take"
            f" {found.clock_error_ms:.2f} ms"
        )
    click.echo(f"written to {path}")
