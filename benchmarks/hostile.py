"""Files that nobody should be able to hurt with: how soon each is refused, and in what memory.

Each is read as an environment file by a process of its own.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine

GOAL_S, GOAL_MIB = 1.0, 100.0  # issue 4, item 7


def _gigabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "YAML bomb, 9 levels": lambda path: path.write_text(
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        )
    ),
    "1 GB file": _gigabyte,
    "1 MiB of [": lambda path: path.write_text("[" * ((1 << 20) - 1)),
    "1 MiB of values": lambda path: path.write_text("- a\n" * (1 << 18)),
    "1 MiB of words": lambda path: path.write_text("a: " + "x " * ((1 << 19) - 2)),
    "1 MiB of blank lines": lambda path: path.write_text("\n" * (1 << 20)),
    "bad UTF-8": lambda path: path.write_bytes(b"a: \xc3\x28\n"),
    "UTF-16": lambda path: path.write_bytes("a: b\n".encode("utf-16")),
    "zeros": lambda path: path.write_bytes(bytes(1 << 20)),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "endless link": lambda path: path.symlink_to(path),
}

CHILD = """
import resource, sys, time
from pathlib import Path
from holdfast.documents import read_environment
from holdfast.errors import HoldfastError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
try:
    read_environment(Path(sys.argv[1]))
    said = "accepted"
except HoldfastError as error:
    said = error.reason
took = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{took} {peak / 1024} {(peak - before) / 1024} {said[:60]}")
"""


def show(folder: Path) -> bool:
    """Print the table; was each refused within the goals?"""
    rows: list[list[str]] = []
    good = True
    for name, make in HOSTILE.items():
        path = folder / f"{len(rows)}.yaml"
        make(path)
        done = subprocess.run(
            [sys.executable, "-c", CHILD, path],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        took, peak, more, said = done.stdout.strip().split(" ", 3)
        within = float(took) <= GOAL_S and float(peak) <= GOAL_MIB and said != "accepted"
        good = good and within
        rows.append(
            [name, f"{float(took) * 1000:.1f}", f"{float(peak):.0f}", f"{float(more):.1f}", said]
        )
    print(machine.table(["hostile file", "ms", "peak MiB", "of it new", "refused because"], rows))
    return good


if __name__ == "__main__":
    print(machine.line())
    with tempfile.TemporaryDirectory() as place:
        sys.exit(0 if show(Path(place)) else 1)
