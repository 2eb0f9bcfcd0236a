"""A share that is looked at twice: after so many requests, and once more when undecided.

The first look is the exact bound (`ratio.below`). The second may err only with what the first left
of the 5 %: alpha spending (Lan and DeMets, Biometrika 70, 1983), with exact binomials in the place
of normal ones (Jennison and Turnbull, Group Sequential Methods, 1999, chapter 12).
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

from holdfast.measure.ratio import CONFIDENCE, at_most, below
from holdfast.verdict import Verdict

_STEPS = 60  # of a bisection


@dataclass(frozen=True)
class Look:
    """What a look counted: so many requests, so many of them bad."""

    bad: int
    n: int


def below_twice(first: Look, both: Look, limit: float) -> Verdict:
    """Is the share of bad ones below the limit, at 95 % confidence over both looks?

    `both` counts the requests of the first look as well. Held at a share of exactly `limit`:
    P(the first look passes) + P(it does not, and the second does) is at most 5 %; broken likewise.
    What the first look decided stays so only if the bound of all requests says the same.
    Unknown when it lacks requests of the first.
    """
    if both.n < first.n or both.bad < first.bad:
        return Verdict.UNKNOWN
    once = below(both.bad, both.n, limit)
    if once is Verdict.UNKNOWN or once is below(first.bad, first.n, limit):
        return once  # the second look never says more than a single one of as many requests
    if once is Verdict.HELD:
        chance = _passes(_most(first.n, limit), first.n, both, limit)
    else:
        chance = _breaks(_least(first.n, limit), first.n, both, limit)
    return once if chance <= 1 - CONFIDENCE else Verdict.UNKNOWN


def upper_bound_twice(first: Look, both: Look, limit: float) -> float:
    """The share of bad ones that is not exceeded at 95 %, when the first look did not pass.

    By stagewise ordering (Tsiatis, Rosner and Mehta, Biometrics 40, 1984): below `limit` when, and
    only when, `below_twice` says held.
    """
    most, low, high = _most(first.n, limit), 0.0, 1.0
    if both.bad == both.n:
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _passes(most, first.n, both, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _most(n: int, limit: float) -> int:
    """With how many bad ones of n a first look still passes; -1 when it never does."""
    return bisect_left(range(n + 1), 1 - CONFIDENCE, key=lambda k: at_most(k, n, limit)) - 1


def _least(n: int, limit: float) -> int:
    """From how many bad ones of n on a first look says broken; n + 1 when it never does."""
    return 1 + bisect_left(range(n), CONFIDENCE, key=lambda k: at_most(k, n, limit))


def _passes(most: int, n: int, both: Look, share: float) -> float:
    """P(at most `most` are bad among the first n, or at most `both.bad` among all)."""
    first, second = at_most(most, n, share), at_most(both.bad, both.n, share)
    return first + second - _together(most, n, both, share)


def _breaks(least: int, n: int, both: Look, share: float) -> float:
    """P(at least `least` are bad among the first n, or at least `both.bad` among all)."""
    return 1 - _together(least - 1, n, Look(both.bad - 1, both.n), share)


def _together(most: int, n: int, both: Look, share: float) -> float:
    """P(at most `most` are bad among the first n, and at most `both.bad` among all)."""
    rest = both.n - n
    later, total = at_most(both.bad, rest, share), 0.0
    for bad in range(min(most, both.bad) + 1):
        total += _exactly(bad, n, share) * max(0.0, later)
        later -= _exactly(both.bad - bad, rest, share)
    return total


def _exactly(bad: int, n: int, share: float) -> float:
    """The chance of so many bad ones among n."""
    if not 0 <= bad <= n:
        return 0.0
    ways = math.lgamma(n + 1) - math.lgamma(bad + 1) - math.lgamma(n - bad + 1)
    return math.exp(ways + bad * math.log(share) + (n - bad) * math.log1p(-share))
