"""Has a run become slower than the runs before it: by ranks, and by a prediction bound.

Two hurdles, both to be taken. Ranks: slower than every one of N earlier runs, which chance alone
does to one run in N + 1 whatever the distribution. Prediction bound: above mean + t · sd · √(1+1/N)
of the logarithms (Hahn and Meeker, Statistical Intervals, section 4.8), which keeps false alarms
at 5 % for all quantities together if the logarithms are normally distributed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median, stdev

from holdfast.measure.ratio import CONFIDENCE, rank_above
from holdfast.model import Interval

RUNS_MIN = 5  # with fewer, chance makes one run in five the slowest


@dataclass(frozen=True)
class Slide:
    """What became of one quantity, in seconds; each run's is an interval.

    `slid` is None when it cannot be told. `slower_by` bounds the difference to the median of the
    earlier runs, `bound_s` is what a run may take before it counts as slower, and
    `false_alarms` the share of unchanged runs that ranks alone would call slower.
    """

    name: str
    now: Interval | None
    earlier: int
    slid: bool | None
    slower_by: Interval | None = None
    bound_s: float | None = None
    false_alarms: float = 1.0


def slide(
    name: str, now: Interval | None, earlier: Sequence[Interval], quantities: int = 1
) -> Slide:
    """Compare one run with earlier ones; `quantities` are compared in all.

    Overlap is no proof: only the lower end of the run counts against the upper ends of the others.
    """
    n = len(earlier)
    if now is None or n < RUNS_MIN:
        return Slide(name, now, n, None)
    highs = [max(one.high, 1e-9) for one in earlier]
    bound = max(*highs, prediction(highs, 1 - (1 - CONFIDENCE) / quantities))
    usual = median(one.low for one in earlier), median(highs)
    return Slide(
        name,
        now,
        n,
        slid=now.low > bound,
        slower_by=Interval(now.low - usual[1], now.high - usual[0]),
        bound_s=bound,
        false_alarms=1 / (n + 1),
    )


def prediction(values: Sequence[float], confidence: float) -> float:
    """What the next value exceeds with a chance of 1 - confidence, if logarithms are normal."""
    logs = [math.log(one) for one in values]
    n = len(logs)
    t = student(confidence, n - 1)
    return math.exp(fmean(logs) + t * stdev(logs) * math.sqrt(1 + 1 / n))


@cache
def student(confidence: float, freedom: int) -> float:
    """The quantile of Student's t distribution, for a confidence above one half."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < 2 * confidence - 1:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        inside = _within(middle, freedom) < 2 * confidence - 1
        low, high = (middle, high) if inside else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """The chance of a value between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    square, odd = math.cos(angle) ** 2, freedom % 2
    term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    total = 0.0
    for number in range(2 + odd, freedom + 1, 2):
        total += term
        term *= square * (number - 1) / number
    return 2 / math.pi * (angle + total) if odd else total


def quantile(latencies: Sequence[float], share: float) -> Interval | None:
    """A quantile between two of the sorted values, each side at 95 % confidence, by exact ranks.

    None when there are too few: 299 for the 99th percentile.
    """
    ordered, n = sorted(latencies), len(latencies)
    above, below = rank_above(share, n), rank_above(1 - share, n)
    if above is None or below is None:
        return None
    return Interval(ordered[n - below], ordered[above - 1])
