"""A run's log of heals: what is pending, what may still arrive, is it whole; and its records.

What has to be on disk before a fault is waited for. An undo waits for no record longer than a
second: neither a disk that hangs nor a process that is stopped while it writes may hold it up.
"""

import contextlib
from typing import Any

from holdfast.clock import within
from holdfast.errors import InvalidInput
from holdfast.model import Heal
from holdfast.store import Run

FORMAT = 2  # of the records in heals.jsonl; the first had no number
HEALS = "heals.jsonl"
EVENTS = "events.jsonl"
WRITE_S = 1.0  # for a record of an undo, which goes on without it then
_OVER = ("undone", "done", "irreversible")
_OF_UNDO = ("undo_began", "undo_failed", "undo_verified", "abort")  # said in an empty folder, too
_FIRST = ("intent", "irreversible")
_MADE = ("intent", "injecting", "active")


def pending(run: Run) -> list[Heal]:
    """What was written down and is not known to be undone, oldest first.

    A damaged log is read up to the damage; the marks on the targets tell the rest. What an undo
    says of itself may come late: only the fault, made after it was undone, is pending again.

    Raises:
        InvalidInput: it was written by a later version: nothing is touched.
    """
    intended: dict[str, Heal] = {}
    over: set[str] = set()
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
            over.add(heal.id)
        elif one["state"] in _MADE or heal.id not in over:
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
    """Is the log not whole, or is it gone: with the events, or while they tell of a fault?"""
    records, damage = run.sound(HEALS)
    if records or damage:  # one that an undo began lacks what the run wrote down before
        return damage is not None or records[0]["state"] not in _FIRST
    events, lost = run.sound(EVENTS)
    hit = any(one["event"] == "fault" and one.get("kind") != "null" for one in events)
    began = any(one["event"] not in _OF_UNDO for one in events)  # a run says so before its lock
    return hit or lost is not None or not began


def write(run: Run, heal: Heal, state: str, patience_s: float | None = None, **more: str) -> None:
    """Write down what became of a heal; it is on disk when this returns.

    Raises:
        OSError: it is not.
    """
    what = {"operation": heal.operation, "arguments": heal.arguments, **more}
    run.append(HEALS, {"format": FORMAT, "heal": heal.id, "state": state, **what}, patience_s)


def note(run: Run, heal: Heal, state: str, **more: str) -> None:
    """Write down, if it can be done in time, what an undo did to a heal."""
    with contextlib.suppress(OSError):
        within(WRITE_S, lambda: write(run, heal, state, WRITE_S, **more))


def say(run: Run, event: dict[str, Any]) -> None:
    """Write an undo's event down, if it can be done in time."""
    with contextlib.suppress(OSError):
        within(WRITE_S, lambda: run.append(EVENTS, event, WRITE_S))
