"""No fault at all: what a control run puts in the place of one."""

from typing import Any

from holdfast import context
from holdfast.clock import now_ns

__all__ = ["no_fault"]


def no_fault(configuration: dict[str, Any] | None = None) -> dict[str, Any]:
    """Break nothing, and write down the instant: promises that break now are false alarms."""
    here = context.of(configuration)
    began = now_ns()
    fault = {
        "kind": "null",
        "began_ns": began,
        "returned_ns": began,
        "reversible": False,
        "targets": [],
        "asked": {},
    }
    here.run.append("events.jsonl", {"event": "fault", **fault})
    return fault
