"""Options that several commands share."""

from pathlib import Path

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
