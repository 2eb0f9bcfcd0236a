"""What the lab carries: 60 transfers and 40 balance queries a second, by holdfast's own customers.

Goals: transfers' p99 at most 250 ms, and the customers' own lateness p99 at most 5 ms.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from benchmarks.load import quantile
from holdfast import customers
from holdfast.clock import sleep
from holdfast.context import packaged
from holdfast.documents import Environment, read_environment, read_journeys
from holdfast.model import Sample
from holdfast.store import LOAD_REPORT, Run

GOAL_P99_MS = 250.0
GOAL_LATE_MS = 5.0


@dataclass(frozen=True)
class Measured:
    """What customers saw, their process's own account, and the machine's busy share meanwhile."""

    samples: list[Sample]
    account: dict[str, Any]
    busy: float


def measure(environment: Environment, rates: dict[str, float], seconds: float) -> Measured:
    """Send for so long; nothing is left out as warming up."""
    journeys = read_journeys(packaged("journeys.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), "capacity")
        before = ticks()
        sent = customers.start(run, environment, journeys, rates, seed=1, max_seconds=seconds + 30)
        sleep(seconds)
        after = ticks()
        if not sent.stop():
            sys.exit(f"the customers failed: {run.path(customers.LOG).read_text()}")
        busy, everything = (b - a for a, b in zip(before, after, strict=True))
        return Measured(list(run.samples()), run.read_json(LOAD_REPORT), busy / everything)


def ticks() -> tuple[int, int]:
    """Clock ticks in which the machine's cores were busy, and all of them."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def milliseconds(samples: Iterable[Sample], journey: str) -> list[float]:
    """The latencies of a journey, from the scheduled instant."""
    return [one.latency * 1000 for one in samples if one.journey == journey]


def show(found: Measured, seconds: float) -> None:
    """Print the table."""
    rows = []
    for journey in sorted(found.account["journeys"]):
        those = milliseconds(found.samples, journey)
        wrong = sum(one.outcome != "ok" for one in found.samples if one.journey == journey)
        figures = [*(quantile(those, share) for share in (0.5, 0.99, 0.999)), max(those)]
        cells = [f"{len(those) / seconds:.1f}/s", str(len(those)), str(wrong)]
        rows.append([journey, *cells, *(f"{figure:.0f} ms" for figure in figures)])
    head = ["journey", "rate", "requests", "not ok", "p50", "p99", "p99.9", "max"]
    print(machine.table(head, rows))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/capacity.py -e environment.yaml --seconds 60",
    )
    parser.add_argument("-e", "--environment", type=Path, default=Path("environment.yaml"))
    parser.add_argument("--seconds", type=float, default=60.0, help="default: 60")
    parser.add_argument("--transfers", type=float, default=60.0, help="a second (default: 60)")
    parser.add_argument("--balances", type=float, default=40.0, help="a second (default: 40)")
    options = parser.parse_args()
    rates = {"pix-transfer": options.transfers, "balance": options.balances}
    found = measure(read_environment(options.environment), rates, options.seconds)
    if not found.samples:
        sys.exit("the customers recorded no request")
    show(found, options.seconds)
    p99 = quantile(milliseconds(found.samples, "pix-transfer"), 0.99)
    late = float(found.account["lateness_ms"]["p99"])
    print(
        f"transfers' p99 {p99:.0f} ms, goal {GOAL_P99_MS:.0f} ms:"
        f" {machine.against(p99, GOAL_P99_MS)}; lateness p99 {late:.2f} ms,"
        f" goal {GOAL_LATE_MS:.0f} ms: {machine.against(late, GOAL_LATE_MS)}"
    )
    cpu = float(found.account["cpu_seconds"]) / options.seconds
    print(
        f"the customers took {cpu:.0%} of one core; all {os.cpu_count()} were busy {found.busy:.0%}"
    )
    print(machine.line())


if __name__ == "__main__":
    main()
