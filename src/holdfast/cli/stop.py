"""`holdfast stop`."""

from pathlib import Path

import click

from holdfast.cli import options


@click.command(
    epilog="\b\nExample:\n  holdfast stop --reason 'incident 4711'\n"
    "  holdfast stop --lift --reason 'incident 4711 is over'"
)
@options.environment
@click.option("--reason", required=True, help="Who needs it, and why; everybody is shown it.")
@click.option("--lift", is_flag=True, help="Let work begin again.")
def command(environment_path: Path, reason: str, lift: bool) -> None:
    """End and undo the run that is going on, wherever it runs, and refuse new ones.

    Sets an annotation on the lock, which the run's watchdog and the reaper see within seconds.
    Whoever may update that Lease may do the same with kubectl, also without a reason.
    """
    from holdfast import lock
    from holdfast.documents import read_environment
    from holdfast.inert import inert

    environment = read_environment(environment_path)
    if lift:
        lock.lift(environment)
        click.echo("work may begin again")
        return
    running = inert(lock.stop(environment, reason))
    click.echo(f"stopped: {running or 'nothing was running'}; new runs are refused until --lift")
