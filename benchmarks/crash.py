"""What is left behind when a run ends at the wrong moment, and for how long.

Parts, each with real processes against the environment that an environment file names:
  kills    a runner is killed with SIGKILL at one of the instants K0 to K9 that the seed chooses
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.progress import track

from benchmarks import crash_results, machine
from benchmarks.crash_bench import ROOT, Bench, bench
from benchmarks.crash_results import Table
from benchmarks.crash_trials import POINTS, schedule, trial
from holdfast.clock import utc_now

GOAL_KILLED_S = 2.0

type Found = list[dict[str, Any]]


def kills(place: Bench, trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """Part 1."""
    for number, pair in enumerate(schedule(trials, seed)):
        found = trial(place, number, seed, pair)
        yield {**asdict(found), "good": found.good}


def kill_tables(found: Found) -> list[Table]:
    """A row for each instant."""
    rows = []
    for point, words in [*POINTS.items(), ("all", "")]:
        mine = [one for one in found if point in (one["point"], "all")]
        rows.append([f"{point} {words}".strip(), str(len(mine)), *_counts(mine), *_gone(mine)])
    head = ["killed", "trials", "not there", "fault left", "log damaged", "lock kept", "fault seen"]
    every = [one["gone_s"] for one in found if one["gone_s"] is not None]
    late = crash_results.percentile(every, 0.99)
    verdict = machine.against(late, GOAL_KILLED_S)
    notes = [
        "gone: seconds until the fault was gone, of those trials in which one was seen afterwards",
        f"p99 {late:.3f} s, goal {GOAL_KILLED_S:.0f} s: {verdict}",
    ]
    return [Table("SIGKILL of the runner", [*head, "gone p50", "p99", "max"], rows, notes)]


def _counts(mine: Found) -> list[str]:
    wrong = [
        [one for one in mine if not one["reached"]],
        [one for one in mine if one["left"]],
        [one for one in mine if one["log"]],
        [one for one in mine if one["free_s"] is None],
    ]
    return [str(len(one)) for one in wrong]


def _gone(mine: Found) -> list[str]:
    seen = [one["gone_s"] for one in mine if one["gone_s"] is not None]
    return [str(len(seen)), *crash_results.spread(seen)]


TABLES: dict[str, Callable[[Found], list[Table]]] = {"kills": kill_tables}


@contextlib.contextmanager
def lab(number: int | None) -> Iterator[Path | None]:
    """A lab of our own, if one is asked for; down at the end."""
    if number is None:
        yield None
        return
    command = [sys.executable, "-m", "lab", "--lab", str(number)]
    with tempfile.TemporaryDirectory() as folder:
        place, env = Path(folder), os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([*command, "up"], cwd=place, env=env, check=True, stdout=sys.stderr)
        try:
            yield place / "environment.yaml"
        finally:
            subprocess.run([*command, "down"], cwd=place, env=env, check=True, stdout=sys.stderr)


def measure(part: str, place: Bench, asked: argparse.Namespace) -> Found:
    """Run a part; what was found before Ctrl-C counts."""
    found: Found = []
    steps = kills(place, asked.trials, asked.seed)
    shown = track(steps, part, asked.trials, console=Console(stderr=True), disable=asked.quiet)
    with contextlib.suppress(KeyboardInterrupt):
        found.extend(shown)
    return found


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/crash.py --lab 11 --trials 500 --seed 1",
    )
    parser.add_argument("--trials", type=int, default=500, help="of part `kills`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--environment", type=Path, default=Path("environment.yaml"))
    parser.add_argument("--lab", type=int, help="start a lab of this number, and end it")
    parser.add_argument("--parts", nargs="+", choices=[*TABLES], default=["kills"])
    parser.add_argument("--json", type=Path, help="keep what was measured in this file")
    parser.add_argument("--write", type=Path, help="write a page of all that --json keeps")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    asked = arguments()
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(lab(asked.lab))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        place = stack.enter_context(bench(own or asked.environment, Path(folder)))
        if there := place.world.faults():
            sys.exit(f"something is broken already: {', '.join(sorted(there))}")
        for part in asked.parts:
            found = measure(part, place, asked)
            print("\n\n".join(one.text() for one in TABLES[part](found)))
            for one in found:
                if not one["good"]:
                    print(f"WRONG: {one}")
    print(f"seed {asked.seed}, {utc_now():%Y-%m-%d %H:%M} UTC; {machine.line()}")


if __name__ == "__main__":
    main()
