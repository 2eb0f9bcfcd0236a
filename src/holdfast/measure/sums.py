"""Sums of the whole ledger, each of one consistent read while money moved: the bank test.

In double entry all postings together are 0 at every instant, and the total of all accounts never
changes. A read that shows anything else caught money that was nowhere, or twice, even if it is
right again later.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.model import Json, Window

_NAMES = ("postings_cents", "total_cents")


@dataclass(frozen=True)
class Drift:
    """A read that differs: when it was begun, which sum, and by how many cents."""

    looked_ns: int
    sum: str
    cents: int  # more than is right; negative where some are missing


@dataclass(frozen=True)
class Sums:
    """How often the sums were asked for, when they were and told, and what differed."""

    looks: int
    told_ns: tuple[int, ...]  # when each look began that was answered
    drifts: tuple[Drift, ...]

    @property
    def read(self) -> int:
        """How many looks were answered."""
        return len(self.told_ns)

    def unseen(self, before: Window, hold: Window) -> str:
        """When it mattered and nobody saw them; empty when they were seen both times.

        What they are before a fault is what they have to be while it lasts.
        """
        times = {"before the fault": before, "while the fault lasted": hold}
        return next(
            (name for name, one in times.items() if not any(map(one.holds, self.told_ns))), ""
        )


def drifts(looks: Iterable[Json]) -> Sums:
    """What the looks of a run tell: postings have to be 0, the total has to be that of the first.

    A look that tells no sum was not answered: no data is not zero.
    """
    number = 0
    told_ns: list[int] = []
    found: list[Drift] = []
    first: dict[str, int] = {}
    for look in looks:
        number += 1
        try:
            sums, looked_ns = told(look), int(look["looked_ns"])
        except (ValueError, KeyError, TypeError):
            continue
        told_ns.append(looked_ns)
        for name, cents in sums.items():
            right = first.setdefault(name, cents) if name == "total_cents" else 0
            if cents != right:
                found.append(Drift(looked_ns, name, cents - right))
    return Sums(number, tuple(told_ns), tuple(found))


def told(look: Json) -> dict[str, int]:
    """The sums that an answer tells, one at least.

    Raises:
        ValueError: there is none, or one is not a whole number of cents.
    """
    found = {name: look[name] for name in _NAMES if name in look}
    if not found or any(type(cents) is not int for cents in found.values()):
        raise ValueError("it tells no sum in whole cents")
    return found
