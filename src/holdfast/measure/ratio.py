"""Exact bounds of a share (Clopper-Pearson, one-sided), and the verdict that follows from them.

For steady state only: failures that come in bursts break the binomial. With one look at the data;
`looks` is for two.
"""

import math

from holdfast.verdict import Verdict

CONFIDENCE = 0.95

_STEPS = 200  # of the bisections: more than a double can tell apart
_TINY = 1e-300


def upper_bound(bad: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The share of bad ones that is not exceeded at this confidence; 1.0 when nothing was counted.

    Raises:
        ValueError: the counts are no counts.
    """
    _check(bad, n)
    if bad == n:
        return 1.0
    if bad == 0:
        return -math.expm1(math.log1p(-confidence) / n)
    low, high = bad / n, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        # the chance to see so few, were the share this large
        if at_most(bad, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound(bad: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The share of bad ones that is reached at this confidence; 0.0 when nothing was counted."""
    _check(bad, n)
    return 1.0 - upper_bound(n - bad, n, confidence) if n else 0.0


def below(bad: int, n: int, limit: float) -> Verdict:
    """Is the share of bad ones below the limit, at 95 % confidence?"""
    if n == 0:
        return Verdict.UNKNOWN
    if upper_bound(bad, n) < limit:
        return Verdict.HELD
    return Verdict.BROKEN if lower_bound(bad, n) >= limit else Verdict.UNKNOWN


def needed(limit: float, bad: int = 0) -> int:
    """How many requests show a share below the limit when so many of them are bad."""
    if not 0 < limit < 1:
        raise ValueError(f"no number of requests shows a share below {limit}")
    low, high = bad, bad + 1
    while upper_bound(bad, high) >= limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if upper_bound(bad, middle) < limit:
            high = middle
        else:
            low = middle
    return high


def rank_above(share: float, n: int, confidence: float = CONFIDENCE) -> int | None:
    """Which of n ordered values, counted from 1, the percentile `share` does not exceed.

    At this confidence, whatever the distribution: 996 of 1,000 for 0.99. None when n is too small
    for any of them to do so (299 for 0.99, 59 for 0.95).
    """
    if n == 0 or at_most(n - 1, n, share) < confidence:
        return None
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        if at_most(middle - 1, n, share) >= confidence:
            high = middle
        else:
            low = middle
    return high


def at_most(hits: int, n: int, share: float) -> float:
    """The chance of at most so many hits among n, were the share of hits this large."""
    if not 0 <= hits < n:
        return float(hits >= n)
    return _beta(n - hits, hits + 1, 1 - share)


def _check(bad: int, n: int) -> None:
    if not 0 <= bad <= n:
        raise ValueError(f"{bad} of {n} is no share")


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta(b, a, 1 - x)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x))
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Its continued fraction, by Lentz's method."""
    c, d = 1.0, 1.0 / _apart(1.0 - (a + b) * x / (a + 1.0))
    value, step, delta = d, 0, 0.0
    while abs(delta - 1.0) > 1e-15 and step < 100_000:
        step += 1
        even = a + 2 * step
        for term in (
            step * (b - step) * x / ((even - 1.0) * even),
            -(a + step) * (a + b + step) * x / (even * (even + 1.0)),
        ):
            d = 1.0 / _apart(1.0 + term * d)
            c = _apart(1.0 + term / c)
            delta = d * c
            value *= delta
    return value


def _apart(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
