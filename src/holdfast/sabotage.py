"""Plant a defect in a laboratory's platform, and take it out again, by the command it names."""

import contextlib
import re
import subprocess
from collections.abc import Iterator

from holdfast.documents import Environment
from holdfast.errors import InvalidInput, Refused, Unreachable

HEALTHY = "none"
SWITCH_S = 300.0  # a rollout of the platform fits in it


def check(environment: Environment) -> None:
    """May defects be planted here?

    Raises:
        Refused: it is no laboratory, or names no command for it.
    """
    if environment.kind != "laboratory":
        raise Refused(
            f"environment {environment.name}",
            f"it is {environment.kind}, and defects are planted in a laboratory only",
            "Use an environment file with `kind: laboratory`",
        )
    if environment.controls is None:
        raise Refused(
            f"environment {environment.name}",
            "it has no `controls:`, so no defect can be planted",
            "Name there the command that plants one",
        )


@contextlib.contextmanager
def planted(environment: Environment, defect: str) -> Iterator[None]:
    """The platform has the defect until the block ends, however it ends.

    Raises:
        InvalidInput, Refused: it is no defect's name, or none may be planted here.
        Unreachable: the command failed, or was not done in time.
    """
    check(environment)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", defect) or defect == HEALTHY:
        raise InvalidInput(f"defect {defect!r}", "it is no name of a defect", "Name one defect")
    try:
        switch(environment, defect)
        yield
    finally:
        switch(environment, HEALTHY)


def switch(environment: Environment, defect: str) -> None:
    """Run the environment's command with the defect's name, or `none`, as its last argument."""
    if environment.controls is None:
        return
    command = [*environment.controls.command, defect]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SWITCH_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(command, f"{type(error).__name__}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise _failed(command, f"it ended with {done.returncode}: {said[-1]}")


def _failed(command: list[str], why: str) -> Unreachable:
    return Unreachable(" ".join(command), why, "Try it by hand: a defect may still be planted")
