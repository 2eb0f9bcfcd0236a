"""Wald's sequential test of a share: it may be looked at after every request, and ends early.

Looking again and again at a bound for a fixed number of requests passes what is bad 12 % of the
time or more, instead of 5 % (`benchmarks/false_pass.py`). This test is made for it.
"""

import math
from dataclasses import dataclass

from holdfast.verdict import Verdict

RISK = 0.05


@dataclass(frozen=True)
class Sequential:
    """Tells a share of bad requests at or above `limit` from one at or below `good`.

    A share at or above the limit passes with at most 5 %, however often one looks (Ville's
    inequality: no approximation). One at or below `good` fails with at most 5 %. In between,
    either may be said. For independent requests only: not where an outage is.

    Raises:
        ValueError: not 0 < good < limit < 1.
    """

    limit: float
    good: float

    def __post_init__(self) -> None:
        """Refuse shares that cannot be told apart."""
        if not 0 < self.good < self.limit < 1:
            raise ValueError(f"{self.good} and {self.limit} cannot be told apart")

    def look(self, bad: int, n: int) -> Verdict:
        """So far. The first answer that is not unknown is final: ask no more."""
        if not 0 <= bad <= n:
            raise ValueError(f"{bad} of {n} is no share")
        evidence = bad * self._worse - (n - bad) * self._better
        if evidence <= math.log(RISK):
            return Verdict.HELD
        return Verdict.BROKEN if evidence >= -math.log(RISK) else Verdict.UNKNOWN

    def needed(self, bad: int = 0) -> int:
        """After how many requests it passes, when so many of them are bad."""
        n = bad + math.ceil((bad * self._worse - math.log(RISK)) / self._better)
        return n if self.look(bad, n) is Verdict.HELD else n + 1

    @property
    def _worse(self) -> float:
        """What one bad request says for the limit, as the logarithm of a ratio of chances."""
        return math.log(self.limit / self.good)

    @property
    def _better(self) -> float:
        """What one good request says against it."""
        return math.log1p(-self.good) - math.log1p(-self.limit)
