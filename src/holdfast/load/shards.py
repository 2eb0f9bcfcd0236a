"""One load in several processes, on one machine or many: each sends every n-th request.

All start at one instant of the wall clock, which the plan names, and leave files of their own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from holdfast.clock import SECOND, Anchor, now_ns
from holdfast.errors import InvalidInput
from holdfast.store import LOAD_REPORT, SAMPLES


@dataclass(frozen=True)
class Shard:
    """The requests that one of several processes sends; alone, it sends all of them."""

    number: int = 0
    of: int = 1
    named: bool = False

    @classmethod
    def read(cls, text: str) -> "Shard":
        """`0/4` is the first of four."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        if not found or not int(found[1]) < int(found[2]):
            raise InvalidInput(f"--shard {text}", "it is not such as 0/4", "Write 0/4, 1/4 and on")
        return cls(int(found[1]), int(found[2]), named=True)

    @property
    def samples(self) -> str:
        """Its rows."""
        return f"samples/shard-{self.number}.csv" if self.named else SAMPLES

    @property
    def report(self) -> str:
        """Its account of itself."""
        return f"samples/shard-{self.number}.json" if self.named else LOAD_REPORT

    def mine[T](self, all_of_them: Iterator[T]) -> Iterator[T]:
        """Its part of the schedule."""
        return islice(all_of_them, self.number, None, self.of)

    def plan(self, plan: dict[str, Any]) -> dict[str, Any]:
        """The plan, with draws and ids that no other shard makes."""
        return {**plan, "seed": f"{plan['seed']}/{self.number}"} if self.named else plan

    def start_ns(self, plan: dict[str, Any], head_start_ns: int) -> int:
        """When the load starts: after a head start, or for all shards at once.

        Raises:
            InvalidInput: the shards' instant is missing or has passed: requests would be left out.
        """
        if not self.named:
            return now_ns() + head_start_ns
        step = "Prepare the load again, with a later start"
        if "start_wall_ns" not in plan:
            raise InvalidInput("load_plan.json", "it was not prepared for shards", step)
        start_ns = Anchor.take().to_mono_ns(plan["start_wall_ns"])
        late_s = (now_ns() + head_start_ns - start_ns) / SECOND
        if late_s > 0:
            why = f"its start passed {late_s:.1f} s ago, with the time that connections need"
            raise InvalidInput(f"shard {self.number} of {self.of}", why, step)
        return start_ns

    def about(self) -> dict[str, Any]:
        """What merging needs: which clock its instants are of."""
        if not self.named:
            return {}
        boot = Path("/proc/sys/kernel/random/boot_id")
        return {
            "shard": [self.number, self.of],
            "clock": boot.read_text("utf-8").strip() if boot.exists() else "unknown",
            "anchor": Anchor.take(),
        }
