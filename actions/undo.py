"""Put everything back."""

from typing import Any

from holdfast import context, heal
from holdfast.errors import FaultRemains

__all__ = ["everything"]


def everything(configuration: dict[str, Any] | None = None) -> list[str]:
    """Undo whatever this run has left behind, newest first, and read it back.

    Raises:
        FaultRemains: names everything that could not be undone.
    """
    here = context.of(configuration)
    pending = heal.pending(here.run)
    if failures := heal.undo_all(here.run, here.environment):
        raise FaultRemains(
            f"{len(failures)} of {len(pending)} heals",
            "; ".join(str(one) for one in failures),
            f"Look at the targets now, then: holdfast undo {here.run.folder}",
        )
    return [one.operation for one in pending]
