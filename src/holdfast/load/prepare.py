"""Write the load plan that several processes or machines share; sends nothing."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from holdfast import customers, documents, experiment
from holdfast.context import packaged
from holdfast.documents import seconds
from holdfast.errors import HoldfastError, InvalidInput
from holdfast.store import Run

_ABOUT = """Write FOLDER/load_plan.json from an experiment. Then start, before --start, each of
`python -m holdfast.load FOLDER --shard 0/4` to `3/4`, and at the end `--merge`."""


def main(arguments: list[str]) -> None:
    """Prepare it, or say why not."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.load.prepare", description=_ABOUT)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--environment", "-e", type=Path, default=Path("environment.yaml"))
    parser.add_argument("--start", required=True, metavar="2026-11-25T20:00:00Z")
    parser.add_argument("--for", dest="length", required=True, metavar="10m")
    options = parser.parse_args(arguments)
    try:
        environment = documents.read_environment(options.environment)
        read = experiment.read(options.experiment, environment)
        beside = options.experiment.parent / "journeys.yaml"
        file = beside if beside.is_file() else packaged("journeys.yaml")
        options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        run = Run(options.folder)
        customers.prepare(
            run,
            environment,
            documents.read_journeys(file),
            read.extension.loads(),
            seed=int(run.id[:8], 16),
            max_seconds=_seconds(options.length),
            start_wall_ns=_instant(options.start),
        )
    except (HoldfastError, OSError) as error:
        sys.exit(str(error))


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise InvalidInput("--for", str(error), "Write such as 10m") from None


def _instant(text: str) -> int:
    """Nanoseconds since 1970 of an instant with its zone."""
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError("it has no zone")
    except ValueError as error:
        raise InvalidInput(f"--start {text}", str(error), "Write 2026-11-25T20:00:00Z") from None
    return round(instant.astimezone(UTC).timestamp() * 1e9)


if __name__ == "__main__":
    main(sys.argv[1:])
