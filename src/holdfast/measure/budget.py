"""The yearly error budget: what a run may cost, and what a year may bring.

99.95 % of a year allows 15,768 s, "at most 4 hours" 14,400 s: the stricter one is applied.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

YEAR_S = 365 * 86_400.0
BY_SHARE_S = 15_768.0  # 0.05 % of a year
BY_HOURS_S = 14_400.0  # at most 4 h a year
BUDGET_S = min(BY_SHARE_S, BY_HOURS_S)
SIMULATED_YEARS = 10_000
LEAST_S = 0.01  # a trial that cost nothing counts as this: one request of a hundred a second
TRIALS_MIN = 3  # fewer impacts say nothing of their spread


@dataclass(frozen=True)
class Burn:
    """What a run may cost customers in seconds of bad requests, were every one of them hit.

    `promised_s` when every promise is kept, `held_s` when customers do not recover before the undo.
    `requests` of the load would be bad in `promised_s`.
    """

    promised_s: float
    held_s: float
    requests: int


def burn(limits_s: Iterable[float], at_most_s: float, rates: Mapping[str, float]) -> Burn:
    """Predict it from the promised limits, the longest hold and the load in requests a second."""
    promised = min([at_most_s, *limits_s])
    return Burn(promised, at_most_s, math.ceil(promised * sum(rates.values())))


@dataclass(frozen=True)
class Mode:
    """One way to fail: seen so often in so many years, and the seconds that each time cost.

    `share` is the share of customers that it hits. `testable`: the impacts are measured runs.
    """

    name: str
    seen: int
    years: float
    impacts_s: Sequence[float]
    share: float = 1.0
    testable: bool = True


@dataclass(frozen=True)
class Year:
    """Bad seconds of a coming year: median, the middle 90 %, the chance to stay in the budget."""

    median_s: float
    low_s: float
    high_s: float
    within_share: float
    within_hours: float


@dataclass(frozen=True)
class Projection:
    """A coming year with every mode, with those that chaos runs can test, and with the others."""

    everything: Year
    testable: Year | None
    other: Year | None
    simulated: int


def project(modes: Sequence[Mode], seed: int, simulated: int = SIMULATED_YEARS) -> Projection:
    """Simulate coming years: a Poisson number of events of each mode, each with its own impact.

    The yearly rate is drawn from Gamma(seen + 1/2, years); an impact from the posterior predictive
    of a lognormal under the prior 1/σ² (both anew for every simulated year), so that few events
    and few trials give wide answers.

    Raises:
        ValueError: there is no mode, or one has fewer than three impacts.
    """
    if not modes:
        raise ValueError("no mode is given")
    chance = random.Random(seed)  # noqa: S311  # a simulation, no secret
    totals = {True: [0.0] * simulated, False: [0.0] * simulated}
    for mode in modes:
        for number, seconds in enumerate(_years(mode, chance, simulated)):
            totals[mode.testable][number] += seconds
    both = [a + b for a, b in zip(*totals.values(), strict=True)]
    kinds = {mode.testable for mode in modes}
    return Projection(
        _year(both),
        _year(totals[True]) if True in kinds else None,
        _year(totals[False]) if False in kinds else None,
        simulated,
    )


def _years(mode: Mode, chance: random.Random, simulated: int) -> Iterable[float]:
    """Bad seconds that one mode costs in each simulated year."""
    if len(mode.impacts_s) < TRIALS_MIN:
        raise ValueError(f"{mode.name}: {len(mode.impacts_s)} impacts, {TRIALS_MIN} are needed")
    logs = [math.log(max(one, LEAST_S)) for one in mode.impacts_s]
    n, mean, spread = len(logs), fmean(logs), stdev(logs)
    for _ in range(simulated):
        events = _poisson(chance.gammavariate(mode.seen + 0.5, 1 / mode.years), chance)
        if not events:
            yield 0.0
            continue
        sigma = spread * math.sqrt((n - 1) / chance.gammavariate((n - 1) / 2, 2))
        centre = chance.gauss(mean, sigma / math.sqrt(n))
        impacts = (_impact(chance.gauss(centre, sigma)) for _ in range(events))
        yield min(mode.share * sum(impacts), YEAR_S)


def _impact(log_s: float) -> float:
    return math.exp(min(log_s, math.log(YEAR_S)))


def _poisson(mean: float, chance: random.Random) -> int:
    """How many arrivals a year has: exponential gaps, counted until it is over."""
    count, passed = 0, chance.expovariate(1.0)
    while passed < mean:
        count += 1
        passed += chance.expovariate(1.0)
    return count


def _year(seconds: list[float]) -> Year:
    ordered = sorted(seconds)
    many = len(ordered)
    low, median, high = (ordered[int(share * (many - 1))] for share in (0.05, 0.5, 0.95))
    within = [sum(one <= budget for one in ordered) / many for budget in (BY_SHARE_S, BY_HOURS_S)]
    return Year(median, low, high, *within)
