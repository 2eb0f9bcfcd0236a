"""How long the lab takes to start, and how much memory it needs.

Goals, programs cached: at most 20 s and 2.5 GiB in all. With `--cold`, every program is built or
downloaded into an empty cache first, by empty caches of Go and uv: at most 15 min.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.clock import SECOND, now_ns
from lab.cache import Cache, discard
from lab.programs import Sources, wanted_go, wanted_programs
from lab.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
GOAL_S = 20.0
GOAL_GIB = 2.5
GOAL_COLD_S = 900.0


def lab(number: int, folder: Path, *words: str) -> str:
    """What a command of the lab prints; it ends this script when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "lab", "--lab", str(number), *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"lab {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def started(number: int, folder: Path) -> tuple[float, float]:
    """Seconds of the whole command `up`, and GiB of all processes once it is up."""
    lab(number, folder, "down")
    began = now_ns()
    lab(number, folder, "up")
    took = (now_ns() - began) / SECOND
    try:
        rows = json.loads(lab(number, folder, "status", "--json"))
    finally:
        lab(number, folder, "down")
    return took, sum(row["memory"] for row in rows) / (1 << 30)


def cold(folder: Path) -> float:
    """Seconds to bring every program from nothing."""
    os.environ |= {
        "GOPATH": str(folder / "go"),
        "GOCACHE": str(folder / "go-build"),
        "UV_CACHE_DIR": str(folder / "uv"),
    }
    began = now_ns()
    try:
        with Progress() as progress:
            nowhere = folder / "no-distribution"
            sources = Sources(Cache(folder / "bin"), progress, path="", root=nowhere)
            sources.obtain(wanted_programs(), wanted_go())
        return (now_ns() - began) / SECOND
    finally:
        discard(folder / "go")  # Go makes its modules read-only


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/lab.py --lab 7 --times 3",
    )
    parser.add_argument("--lab", type=int, default=7, help="a number that is free (default: 7)")
    parser.add_argument("--times", type=int, default=3, help="how often it is started (default: 3)")
    parser.add_argument("--cold", action="store_true", help="build the programs from nothing, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if options.cold:
            took = cold(folder)
            verdict = machine.against(took, GOAL_COLD_S)
            print(f"programs from nothing: {took:.0f} s, goal {GOAL_COLD_S:.0f} s: {verdict}")
        found = [started(options.lab, folder) for _ in range(options.times)]
    rows = [
        [f"{number}", f"{took:.1f} s", f"{memory:.2f} GiB"]
        for number, (took, memory) in enumerate(found, 1)
    ]
    print(machine.table(["lab up", f"goal {GOAL_S:.0f} s", f"goal {GOAL_GIB} GiB"], rows))
    slowest, largest = (max(those) for those in zip(*found, strict=True))
    print(
        f"slowest: {machine.against(slowest, GOAL_S)};"
        f" largest: {machine.against(largest, GOAL_GIB)}"
    )
    print(machine.line())


if __name__ == "__main__":
    main()
