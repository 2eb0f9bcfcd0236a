"""What a run's log of heals says: what is pending, what may still arrive, whether it is whole."""

from holdfast.errors import InvalidInput
from holdfast.model import Heal
from holdfast.store import Run

FORMAT = 2  # of the records in heals.jsonl; the first had no number
HEALS = "heals.jsonl"
_OVER = ("undone", "done", "irreversible")


def pending(run: Run) -> list[Heal]:
    """What was written down and is not known to be undone, oldest first.

    A damaged log is read up to the damage; the marks on the targets tell the rest.

    Raises:
        InvalidInput: it was written by a later version: nothing is touched.
    """
    intended: dict[str, Heal] = {}
    for one in run.sound(HEALS)[0]:
        if int(one.get("format", 1)) > FORMAT:
            raise InvalidInput(
                str(run.path(HEALS)),
                f"its format is {one['format']}, and this version knows up to {FORMAT}",
                "Undo it with the version that wrote it, or by hand",
            )
        heal = Heal(one["heal"], one["operation"], one["arguments"])
        if one["state"] in _OVER:
            intended.pop(heal.id, None)
        else:
            intended.setdefault(heal.id, heal)
    return list(intended.values())


def unanswered(run: Run) -> set[str]:
    """The heals of faults that were sent for, and of which nobody knows whether they arrived."""
    sent: set[str] = set()
    for one in run.sound(HEALS)[0]:
        if one["state"] == "injecting" and "answered" not in one:
            sent.add(one["heal"])
        elif one["state"] in ("injecting", "active"):
            sent.discard(one["heal"])
    return sent


def damaged(run: Run) -> bool:
    """Is the log not whole? With the folder it is gone, too."""
    return not run.folder.exists() or run.sound(HEALS)[1] is not None
