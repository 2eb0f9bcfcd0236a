"""The fault of a run that only observed: somebody else's, as a named probe or a mark tells of it.

A mark that a person made gives instants to measure from and is no witness. A named probe is one,
when it saw no fault before, saw it then, and saw it without a gap.
"""

from collections.abc import Sequence
from itertools import pairwise

from holdfast.clock import SECOND
from holdfast.judge.proof import Proof
from holdfast.model import Json, Record

OBSERVE = "observe"
_GAP_S = 10.0  # the probe is asked every 5 s; one look may be late by as much


def is_observed(record: Record) -> bool:
    """Did this run only observe?"""
    return record.plan.get("control") == OBSERVE


def fault(record: Record, start_ns: int) -> Json:
    """The fault as far as it is known: seen by the probe, else marked, else from the start on."""
    first = _first_seen(record.readbacks)
    if first is not None:
        began = _before(record.readbacks, first) or start_ns
        return _fault("seen", began, int(record.readbacks[first]["mono_ns"]))
    marks = [one for one in record.events if one["event"] == "mark"]
    if marks:
        return _fault("marked", int(marks[0]["mono_ns"]), int(marks[0]["mono_ns"]))
    return _fault("not marked", start_ns, start_ns)


def ended(record: Record, stop_ns: int) -> tuple[int, int]:
    """When the fault was last surely there, and when it was surely gone again.

    Without a probe both are the end of the observation: nobody knows.
    """
    looks = record.readbacks
    first = _first_seen(looks)
    if first is None:
        return stop_ns, stop_ns
    gone = [n for n in range(first, len(looks)) if looks[n]["in_place"] is False]
    if not gone:
        return stop_ns, stop_ns
    there = [int(one["looked_ns"]) for one in looks[: gone[0]] if one["in_place"]]
    return there[-1], int(looks[gone[0]]["mono_ns"])


def proofs(record: Record, stop_ns: int) -> tuple[Proof, ...]:
    """What the named probe shows, up to the end of sending; without one nothing is shown."""
    name = str(record.plan.get("witness") or "")
    if not name:
        why = "no probe was named that could have seen it, and a mark is no witness"
        return tuple(Proof(one, None, why) for one in ("exposed", "struck", "lasting"))
    looks = record.readbacks
    first = _first_seen(looks)
    if first is None:
        why = f"{name} saw no fault in {len(looks)} looks"
        return tuple(Proof(one, False, why) for one in ("exposed", "struck", "lasting"))
    clear = sum(one["in_place"] is False for one in looks[:first])
    exposed = Proof("exposed", True if clear else None, f"{name} saw none {clear} times before")
    return exposed, Proof("struck", True, f"{name} saw it"), _lasting(name, looks[first:], stop_ns)


def _lasting(name: str, looks: Sequence[Json], stop_ns: int) -> Proof:
    """Was it seen without a gap until it was gone, or until the end if nobody saw it go?"""
    gone = next((n for n, one in enumerate(looks) if one["in_place"] is False), len(looks))
    during = looks[:gone]
    blind = sum(one["in_place"] is None for one in during)
    instants = [int(one["looked_ns"]) for one in looks[: gone + 1]]
    if gone == len(looks):
        instants.append(stop_ns)
    hole_s = max(b - a for a, b in pairwise(instants)) / SECOND
    why = f"{name} saw it {len(during) - blind} times, {hole_s:.1f} s apart at most"
    if blind or hole_s > _GAP_S:
        return Proof("lasting", None, f"{why}, and could not look {blind} times")
    if any(one["in_place"] for one in looks[gone:]):
        return Proof("lasting", None, f"{why}; it was gone, and came again")
    return Proof("lasting", True, why)


def _fault(kind: str, began_ns: int, returned_ns: int) -> Json:
    return {
        "kind": kind,
        "began_ns": began_ns,
        "returned_ns": returned_ns,
        "reversible": False,
        "targets": [],
        "asked": {},
    }


def _first_seen(looks: Sequence[Json]) -> int | None:
    return next((n for n, one in enumerate(looks) if one["in_place"]), None)


def _before(looks: Sequence[Json], first: int) -> int | None:
    """When the last look that saw no fault began: the fault came after that."""
    clear = [int(one["looked_ns"]) for one in looks[:first] if one["in_place"] is False]
    return clear[-1] if clear else None
