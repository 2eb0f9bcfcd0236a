"""One thing that a run or a tool left behind."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Leftover:
    """What it is, where, whose, since when, and what takes it away.

    `run` is holdfast's own run id; `owner` the run or tool as far as anything tells it. `since` and
    `until` (when its mark is out of date) are None where nothing tells them.
    """

    what: str
    name: str
    where: str
    next_step: str
    run: str = ""
    owner: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        name = "" if self.name in self.where.split() else f" {self.name}"
        return f"{self.what}{name} on {self.where}"

    def record(self, now: datetime) -> dict[str, Any]:
        """For JSON: times in UTC, the age in seconds."""
        return {
            "what": self.what,
            "name": self.name,
            "where": self.where,
            "run": self.run,
            "owner": self.owner,
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "age_s": self.since and round((now - self.since).total_seconds()),
            "next_step": self.next_step,
        }
