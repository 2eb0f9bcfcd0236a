"""Options that several commands share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

environment = click.option(
    "-e",
    "--environment",
    "environment_path",
    type=click.Path(path_type=Path),
    default=Path("environment.yaml"),
    show_default=True,
    help="Where things are, and what may be broken there.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
experiment = click.argument("experiment", type=click.Path(path_type=Path))
run_folder = click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
runs = click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where run folders are made.",
)


def consent(command: Callable[..., None]) -> Callable[..., None]:
    """What a person says who means to break something; the command takes it as one `Consent`."""

    @click.option(
        "--confirm", default="", help="The environment's name, typed; production needs it."
    )
    @click.option("--operator", default="", help="Who runs it; production needs it.")
    @click.option(
        "--approval",
        type=click.Path(path_type=Path),
        help="A second person's approval, as `holdfast approve` makes it; production needs it.",
    )
    @wraps(command)
    def with_consent(confirm: str, operator: str, approval: Path | None, **rest: Any) -> None:
        from holdfast.guard import Consent

        command(consent=Consent(confirm, operator, approval), **rest)

    return with_consent
