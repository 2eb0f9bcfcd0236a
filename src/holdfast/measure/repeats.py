"""What repeated runs of one experiment claim about the next one: bounds, never a mean.

One run is an anecdote. Repeats are unlike when they broke different things: never mix them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, stdev

from holdfast.measure.ratio import CONFIDENCE, upper_bound
from holdfast.verdict import Verdict

SHARE = 0.95  # of all recoveries, that a tolerance bound covers

_NORMAL = NormalDist()
_STEPS = 800  # of the integral: k is then right to 1e-6 (against tables, 2 to 100 trials)


@dataclass(frozen=True)
class Claim:
    """What the trials show together, each statement at 95 % confidence.

    `over` trials took as long as the limit, or longer; at most `share_over` of all recoveries do.
    95 % of all recoveries take at most `bound_s` seconds, if their logarithms are normally
    distributed; None with fewer than two trials, infinite when one of them never recovered.
    `unknown` trials could not be measured: then nothing is claimed to be held.
    """

    trials: int
    unknown: int
    over: int
    share_over: float
    longest_s: float | None
    bound_s: float | None

    @property
    def verdict(self) -> Verdict:
        """Broken when a trial was too slow; held when all are known and none was."""
        if self.over:
            return Verdict.BROKEN
        return Verdict.UNKNOWN if self.unknown or not self.trials else Verdict.HELD


def claim(seconds: Sequence[float | None], limit_s: float) -> Claim:
    """From the upper end of each trial's recovery, in seconds; None where it is unknown.

    With all m trials under the limit, at most 1 - 0.05^(1/m) of all recoveries are over it:
    95 % (1), 45 % (5), 26 % (10), 5 % (59). An unknown trial counts as one over, here only.

    Raises:
        ValueError: a trial took no time at all, or less, or is no number.
    """
    known = [one for one in seconds if one is not None]
    if any(not one > 0 for one in known):
        raise ValueError("a recovery takes a positive number of seconds")
    over = sum(one >= limit_s for one in known)
    unknown = len(seconds) - len(known)
    return Claim(
        trials=len(seconds),
        unknown=unknown,
        over=over,
        share_over=upper_bound(over + unknown, len(seconds)),
        longest_s=max(known, default=None),
        bound_s=None if unknown else tolerance(known),
    )


def tolerance(seconds: Sequence[float]) -> float | None:
    """95 % of recoveries are shorter than this, at 95 % confidence: exp(mean + k · sd) of the logs.

    None with fewer than two; infinite when one is.
    """
    if len(seconds) < 2:
        return None
    if math.inf in seconds:
        return math.inf
    logs = [math.log(one) for one in seconds]
    return math.exp(fmean(logs) + factor(len(logs)) * stdev(logs))


@cache
def factor(trials: int, share: float = SHARE, confidence: float = CONFIDENCE) -> float:
    """The k of a one-sided tolerance bound, mean + k · sd, of normally distributed values.

    It is the quantile of a noncentral t distribution, divided by √n: 4.20 (5), 2.91 (10), 2.40 (20)
    (Natrella, Experimental Statistics, table A-7).

    Raises:
        ValueError: fewer than two trials have no spread.
    """
    if trials < 2:
        raise ValueError("a tolerance bound needs two trials")
    low, high = 0.0, 1.0
    while _covers(high, trials, share) < confidence:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _covers(middle, trials, share) < confidence else (low, middle)
    return high


def _covers(k: float, trials: int, share: float) -> float:
    """The chance that mean + k · sd lies above the quantile: over all values that sd may take.

    With sd = √(χ²/(n-1)), it is the mean of Φ(√n (k · sd - z)); by Simpson's rule over ln(sd), in
    which the density is smooth for every n.
    """
    freedom, wanted = trials - 1, _NORMAL.inv_cdf(share)
    spread = 9 / math.sqrt(2 * freedom)
    start, end = max(-35.0, -2 * spread - 12 / freedom), spread
    constant = math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)
    step = (end - start) / _STEPS
    total = 0.0
    for number in range(_STEPS + 1):
        log_sd = start + number * step
        sd = math.exp(log_sd)
        density = math.exp(constant + freedom * log_sd - freedom / 2 * sd * sd)
        weight = 1 if number in (0, _STEPS) else 4 if number % 2 else 2
        total += weight * density * _NORMAL.cdf(math.sqrt(trials) * (k * sd - wanted))
    return total * step / 3
