"""How long `holdfast --help` takes, against `chaos --help`: whole processes, in pairs.

Goals: at most 0.35 s, and at most 1.3 times as long as `chaos --help`.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.clock import SECOND, now_ns

GOAL_S = 0.35
GOAL_RATIO = 1.3
PROGRAMS = Path(sys.executable).parent


def seconds(program: str) -> float:
    """Wall time of one call."""
    began = now_ns()
    subprocess.run(
        [PROGRAMS / program, "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return (now_ns() - began) / SECOND


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/startup.py --pairs 20",
    )
    parser.add_argument("--pairs", type=int, default=15, help="at least 10 (default: 15)")
    pairs = max(10, parser.parse_args().pairs)
    for program in ("holdfast", "chaos"):
        seconds(program)  # the first call of all reads from the disk
    found = [(seconds("holdfast"), seconds("chaos")) for _ in range(pairs)]
    ours, theirs = zip(*found, strict=True)
    rows = [
        [f"{name} --help", *(f"{of(those):.3f} s" for of in (min, statistics.median, max))]
        for name, those in (("holdfast", ours), ("chaos", theirs))
    ]
    print(machine.table(["whole process", "min", "median", "max"], rows))
    middle = statistics.median(ours)
    ratio = middle / statistics.median(theirs)
    print(
        f"median {middle:.3f} s, goal {GOAL_S} s: {machine.against(middle, GOAL_S)};"
        f" ratio of medians {ratio:.2f}, goal {GOAL_RATIO}: {machine.against(ratio, GOAL_RATIO)}"
        f" ({pairs} pairs)"
    )
    print(machine.line())


if __name__ == "__main__":
    main()
