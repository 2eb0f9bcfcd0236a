"""Held, broken or unknown, and how they combine."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What a run says about a promise. `UNKNOWN` is never rounded up to `HELD`."""

    HELD = "held"
    UNKNOWN = "unknown"
    BROKEN = "broken"


_RANK = {Verdict.HELD: 0, Verdict.UNKNOWN: 1, Verdict.BROKEN: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Broken outranks unknown, unknown outranks held; of nothing at all, nothing is known."""
    return max(verdicts, key=_RANK.__getitem__, default=Verdict.UNKNOWN)
