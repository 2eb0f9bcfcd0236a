"""`holdfast observe`."""

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.cli import options
from holdfast.context import packaged
from holdfast.documents import seconds
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.store import Run


@click.command(
    epilog="\b\nExample:\n  holdfast observe --for 5m -e environment.yaml\n"
    "  holdfast observe --for 5m --witness seen.toxics"
)
@options.environment
@options.runs
@click.option("--for", "length", required=True, help="How long, such as 5m; Ctrl-C ends it early.")
@click.option(
    "--load-of",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The experiment whose load and objectives are used; else kill-wallet-pods.",
)
@click.option(
    "--witness", default="", metavar="PROBE", help="A probe that sees the fault: module.function."
)
@options.as_json
def command(
    environment_path: Path, runs: Path, length: str, load_of: Path | None, **how: str
) -> None:
    """Measure while somebody else breaks things: a cloud's fault service, a plug, an incident.

    Customers are sent; nothing is broken, and no right to is needed. Enter, or `holdfast mark RUN`
    in another shell, marks an instant: times count from the first mark, else from the start. The
    same estimates and the same report as of a run. A mark is no witness: findings are unknown, and
    only numbers are printed, unless the probe that --witness names saw the fault come:
    `seen.toxics`, `seen.pods_not_ready`, or one of a module that the environment allows. It is
    asked every 5 s. Exit codes are those of a run.
    """
    from holdfast import observe, plan
    from holdfast.cli.progress import Progress
    from holdfast.cli.show import show

    try:
        long = seconds(length)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    made = plan.read(load_of or packaged("kill-wallet-pods.yaml"), environment_path)
    wanted = observe.Observation(made, long, how["witness"])
    with Progress("observe") as progress:

        def began(run: "Run") -> None:
            progress.say(f'to mark an instant: Enter, or holdfast mark {run.folder} "what happens"')
            if sys.stdin.isatty():
                threading.Thread(target=_marks, args=(run.folder,), daemon=True).start()

        report = observe.observe(wanted, runs, progress.tell, began)
    show(report, as_json=bool(how["as_json"]))
    raise click.exceptions.Exit(report.exit_code)


def _marks(folder: Path) -> None:
    """Each line that is typed is a mark."""
    from holdfast.observe import mark

    for line in sys.stdin:
        try:
            mark(folder, line.strip())
        except HoldfastError:
            return
