"""The look at the end of a phase: is success decided, and if not, could twice as long decide it?

It is written down before anything follows from it, since what a second look may still say depends
on the first (`measure.looks`). To look more often, or to go on while there is hope, would pass
falsely more often.
"""

from collections.abc import Collection, Mapping
from typing import Any

from holdfast.documents import ObjectiveFile
from holdfast.measure import Look, below, below_twice
from holdfast.model import Sample
from holdfast.plan import GROWTH
from holdfast.verdict import Verdict


def first_look(
    phase: str, objectives: Mapping[str, ObjectiveFile], settled: Collection[Sample]
) -> dict[str, Any]:
    """What the requests of a phase say so far, as an event of the run; `grows` when it goes on.

    A phase goes on when a success that is not decided would be held if nothing failed any more.
    """
    counts, grows = {}, False
    for name, objective in objectives.items():
        if objective.kind != "success":
            continue
        mine = [one for one in settled if one.journey == objective.journey]
        seen = Look(sum(one.outcome != "ok" for one in mine), len(mine))
        counts[name] = {"n": seen.n, "failed": seen.bad}
        grows = grows or _open(seen, objective.limit)
    return {"event": "look", "phase": phase, "grows": grows, "counts": counts}


def _open(seen: Look, limit: float) -> bool:
    """Is it undecided, and could a second look still pass?"""
    if below(seen.bad, seen.n, limit) is not Verdict.UNKNOWN:
        return False
    later = Look(seen.bad, round(seen.n * GROWTH))
    return below_twice(seen, later, limit) is Verdict.HELD
