"""The machine that figures were measured on; `python benchmarks/machine.py` prints it in a line."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path


def line() -> str:
    """Cores, memory, kernel, Python, and how busy it is now."""
    found = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    memory = f"{int(found[1]) / (1 << 20):.0f} GiB" if found else "memory unknown"
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {memory}, {platform.system()} {platform.release()} {platform.machine()},"
        f" Python {platform.python_version()}, load average {os.getloadavg()[0]:.2f}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; all but the first to the right."""
    widths = [max(len(row[number]) for row in (head, *rows)) for number in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def against(value: float, goal: float) -> str:
    """Is a figure within its goal?"""
    return "met" if value <= goal else "MISSED"


if __name__ == "__main__":
    print(line())
