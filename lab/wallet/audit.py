"""The audit log: one JSON line per step of a transfer, to a file or to standard output."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from lab.wallet.transfer import Transfer


class Audit:
    """One replica's audit log."""

    def __init__(self, path: Path | None, pod: str, zone: str) -> None:
        self._sink: TextIO = path.open("a", encoding="utf-8") if path else sys.stdout
        self._where = {"pod": pod, "zone": zone}

    def close(self) -> None:
        """Close the file."""
        if self._sink is not sys.stdout:
            self._sink.close()

    def step(self, transfer: Transfer, step: str, gateway: str = "", outcome: str = "") -> None:
        """Write that the transfer took a step."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "step": step,
            "end_to_end_id": transfer.end_to_end_id,
            "id": transfer.order.id,
            **self._where,
            "rail": transfer.order.rail,
            "gateway": gateway,
            "outcome": outcome,
        }
        self._sink.write(json.dumps(line) + "\n")
        self._sink.flush()
