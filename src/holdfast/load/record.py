"""What the customers' process leaves behind: a row for each request, and how late it was itself."""

import os
import platform
import queue
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from holdfast.load.scripts import Exchange, quoted
from holdfast.model import Sample

LATE_MS = 50.0
MAX_LATE = 10_000  # instants of great lateness that are listed; all are counted
_BIN_NS = 10_000  # resolution of the percentiles


class Rows:
    """Appends rows to a file that must not exist yet, from a thread: a slow disk delays no request.

    Only whole rows stay in the file, also when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._rows = [",".join(Sample.__dataclass_fields__) + "\n"]
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        self.error: OSError | None = None

    def add(self, settled: Iterable[Exchange]) -> None:
        """Settled requests, many at once: each costs half of what it costs by itself."""
        self._rows += [
            f"{one.script.field},{one.scheduled_ns},{one.sent_ns},{one.done_ns},{one.outcome},"
            f"{one.code},{one.id},{quoted(one.account)},{one.amount}\n"
            for one in settled
        ]

    def flush(self) -> None:
        """Hand over what was added; it is in the file a moment later."""
        if self._rows:
            self._queue.put("".join(self._rows).encode())
            self._rows = []

    def close(self) -> None:
        """Write all, and wait until it is on disk."""
        self.flush()
        self._queue.put(None)
        self._thread.join()
        os.fsync(self._fd)
        os.close(self._fd)

    def _write(self) -> None:
        size = 0
        while (data := self._queue.get()) is not None:
            try:
                written = 0
                while written < len(data):
                    written += os.write(self._fd, data[written:])
                size += len(data)
            except OSError as error:
                os.ftruncate(self._fd, size)
                self.error = error
                return


class Account:
    """Counts and records requests, many at once: one by one, each costs twice as much."""

    def __init__(self, journeys: Iterable[str], rows: Rows) -> None:
        self.sent: list[Exchange] = []  # since the last `write_up`, as are the settled
        self.settled: list[Exchange] = []
        self.rows = rows
        self.lateness = Lateness()
        self.counts = {
            name: dict.fromkeys(("scheduled", "sent", "answered"), 0) for name in journeys
        }

    def write_up(self) -> list[Exchange]:
        """Count and record what was sent and settled since the last time; what was sent."""
        sent, self.sent = self.sent, []
        for one in sent:
            self.counts[one.script.name]["scheduled"] += 1
            self.lateness.add(one.scheduled_ns, one.sent_ns)
        settled, self.settled = self.settled, []
        for one in settled:
            counts = self.counts[one.script.name]
            counts["sent"] += one.written
            counts["answered"] += one.outcome in ("ok", "wrong")
        self.rows.add(settled)
        return sent


class Lateness:
    """How long after its scheduled instant each request was acted on."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._max_ns = 0
        self._late: list[tuple[int, float]] = []
        self._late_count = 0

    def add(self, scheduled_ns: int, acted_ns: int) -> None:
        """One request."""
        late_ns = acted_ns - scheduled_ns
        key = late_ns // _BIN_NS
        self._bins[key] = self._bins.get(key, 0) + 1
        if late_ns > self._max_ns:
            self._max_ns = late_ns
        if late_ns > LATE_MS * 1e6:
            self._late_count += 1
            if len(self._late) < MAX_LATE:
                self._late.append((scheduled_ns, round(late_ns / 1e6, 3)))

    def report(self) -> dict[str, Any]:
        """Percentiles in ms, rounded up to 0.01 ms, and each instant of more than 50 ms."""
        wanted = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}
        return {
            "lateness_ms": {
                **dict(zip(wanted, self._quantiles(wanted.values()), strict=True)),
                "max": round(self._max_ns / 1e6, 3),
            },
            "late_over_50ms": self._late,
            "late_over_50ms_count": self._late_count,
        }

    def _quantiles(self, shares: Iterable[float]) -> list[float | None]:
        total = sum(self._bins.values())
        keys = sorted(self._bins)
        found: list[float | None] = []
        for share in shares:
            seen, answer = 0, None
            for key in keys:
                seen += self._bins[key]
                if seen >= share * total:
                    answer = round((key + 1) * _BIN_NS / 1e6, 2)
                    break
            found.append(answer)
        return found


def about_this_process() -> dict[str, Any]:
    """Its id, its Python, and the CPU seconds that it has used."""
    return {
        "pid": os.getpid(),
        "python": platform.python_version(),
        "cpu_seconds": round(cpu_seconds(), 3),
    }


def cpu_seconds() -> float:
    """What this process has used so far."""
    times = os.times()
    return times.user + times.system
