"""`holdfast doctor`."""

import json
from pathlib import Path

import click

from holdfast import plan
from holdfast.cli import options
from holdfast.cluster.deployed import HIDDEN
from holdfast.documents import read_environment
from holdfast.errors import HoldfastError
from holdfast.inert import inert


@click.command(epilog="\b\nExample:\n  holdfast doctor -e environment.yaml")
@options.environment
@options.as_json
def command(environment_path: Path, as_json: bool) -> None:
    """Is everything reachable, are versions good, may I do what is needed?

    Asks every system that the environment file names, and Kubernetes for each right that an action
    or its undo needs; the undo's come first. Tries, without changing anything, whether the
    admission policy of deploy/ holds. Exit code 0: nothing is wrong; 6: something is.
    """
    environment = read_environment(environment_path)
    found = plan.problems(environment)
    wrong = [name for name, answer in found.items() if isinstance(answer, HoldfastError)]
    if as_json:
        click.echo(json.dumps({name: str(answer) for name, answer in found.items()}, indent=1))
    else:
        for name, answer in found.items():
            mark = "WRONG" if name in wrong else "note" if _is_note(answer) else "ok"
            click.echo(inert(f"{mark:6}{name}: {answer}"))
    raise click.exceptions.Exit(6 if wrong else 0)


def _is_note(answer: HoldfastError | str) -> bool:
    """Is it something of deploy/ that is not there, or that nobody lets us see?"""
    return str(answer).startswith(("absent", HIDDEN))
