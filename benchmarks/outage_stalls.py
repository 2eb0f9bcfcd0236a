"""When this machine stood still: on each core a process wants to run every 2 ms, and says when not.

    python benchmarks/outage_stalls.py CORE

It knows nothing of customers and services. Another machine on the same host that takes the core,
or work of this one that holds it, is seen alike.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from holdfast.clock import now_ns, sleep
from holdfast.model import Window
from lab.processes import die_with_parent

EVERY_S = 0.002
STILL_NS = 6_000_000  # between two turns: by so much a width may be beyond two intervals of sending


@dataclass(frozen=True)
class Stalls:
    """The watchers, and the folder of their notes."""

    folder: Path
    pids: list[int] = field(default_factory=list)

    def seen(self) -> list[Window]:
        """Each time that a core stood still, so far."""
        lines = [line for path in self.folder.iterdir() for line in path.read_text().splitlines()]
        return [Window(*map(int, line.split())) for line in lines]


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[Stalls]:
    """A watcher on each core that this process may use."""
    folder.mkdir()
    found = Stalls(folder)
    with contextlib.ExitStack() as stack:
        for core in os.sched_getaffinity(0):
            with (folder / str(core)).open("w") as notes:
                process = subprocess.Popen(
                    [sys.executable, __file__, str(core)],
                    stdout=notes,
                    process_group=0,
                    preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509  # no thread runs yet
                )
            stack.enter_context(process)
            stack.callback(process.kill)
            found.pids.append(process.pid)
        yield found


def main() -> None:
    """Watch one core until killed."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    last_ns = now_ns()
    while True:
        sleep(EVERY_S)
        if (at_ns := now_ns()) - last_ns >= STILL_NS:
            print(last_ns, at_ns, flush=True)
        last_ns = at_ns


if __name__ == "__main__":
    main()
