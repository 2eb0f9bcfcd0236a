"""A share that is looked at twice errs no more often than one that is looked at once.

The expected counts were computed apart from the code, with binomials in 60 decimal digits.
"""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.measure import Look, below, below_twice, upper_bound, upper_bound_twice
from holdfast.verdict import Verdict

RANK = {Verdict.HELD: 0, Verdict.UNKNOWN: 1, Verdict.BROKEN: 2}

# requests at the first look and in all; the most failures that pass at the second look, and at a
# single look at as many; the fewest that break at the second, and at a single one
TABLE = [
    (0.01, 400, 800, 2, 3, 14, 14),
    (0.01, 627, 1_200, 5, 6, 20, 19),
    (0.001, 1_500, 3_000, 0, 0, 7, 7),  # a first look that cannot pass spends nothing
    (0.001, 2_500, 5_000, 1, 1, 11, 10),
    (0.001, 4_000, 8_000, 2, 3, 14, 14),
    (0.001, 4_742, 9_484, 1, 4, 16, 16),  # the first look has spent nearly everything
    (0.001, 6_000, 12_000, 5, 6, 21, 19),
]


def undecided(n: int, limit: float) -> Look:
    """The fewest failures that decide nothing at a first look."""
    return next(
        look
        for look in (Look(bad, n) for bad in range(n))
        if below(look.bad, n, limit) is Verdict.UNKNOWN
    )


@pytest.mark.parametrize(
    ("limit", "first", "both", "passes", "once", "breaks", "breaks_once"), TABLE
)
def test_how_many_failures_decide_at_the_second_look(
    limit: float, first: int, both: int, passes: int, once: int, breaks: int, breaks_once: int
) -> None:
    look = undecided(first, limit)
    verdicts = [below_twice(look, Look(bad, both), limit) for bad in range(look.bad, 30)]
    single = [below(bad, both, limit) for bad in range(30)]
    assert look.bad + verdicts.count(Verdict.HELD) - 1 == passes
    assert look.bad + verdicts.index(Verdict.BROKEN) == breaks
    assert single.count(Verdict.HELD) - 1 == once
    assert single.index(Verdict.BROKEN) == breaks_once


@pytest.mark.parametrize("first", [2_995, 3_000, 3_100])
def test_one_failure_in_three_thousand_leaves_a_second_look_no_hope(first: int) -> None:
    """The first look passes with none and has spent 4.97 % of the 5 %."""
    assert below(1, first, 0.001) is Verdict.UNKNOWN
    assert below(1, 2 * first, 0.001) is Verdict.HELD
    assert below_twice(Look(1, first), Look(1, 2 * first), 0.001) is Verdict.UNKNOWN


def test_what_the_first_look_passed_is_held_to_the_bound_of_all_requests() -> None:
    """Its phase went on for another journey's sake."""
    first = Look(0, 3_000)
    assert below_twice(first, Look(1, 6_000), 0.001) is Verdict.HELD
    assert below_twice(first, Look(2, 6_000), 0.001) is Verdict.UNKNOWN
    assert below_twice(first, Look(20, 6_000), 0.001) is Verdict.BROKEN


def test_a_second_look_that_lacks_requests_of_the_first_says_nothing() -> None:
    assert below_twice(Look(0, 6_000), Look(0, 5_999), 0.001) is Verdict.UNKNOWN
    assert below_twice(Look(3, 3_000), Look(2, 60_000), 0.001) is Verdict.UNKNOWN
    assert below_twice(Look(0, 0), Look(0, 0), 0.001) is Verdict.UNKNOWN


COUNTS = st.tuples(st.integers(1, 20), st.integers(0, 20), st.sampled_from([0.1, 0.2, 0.3]))


def chance(n: int, bad: int, share: Fraction) -> Fraction:
    return math.comb(n, bad) * share**bad * (1 - share) ** (n - bad)


@given(COUNTS)
@settings(max_examples=12)
def test_at_its_limit_a_share_errs_in_at_most_one_run_of_twenty(
    counts: tuple[int, int, float],
) -> None:
    """Every outcome of both looks, with its exact chance: the first decides, or else the second."""
    first, more, limit = counts
    share, wrong = Fraction(limit), dict.fromkeys(Verdict, Fraction())
    for early in range(first + 1):
        verdict = below(early, first, limit)
        if verdict is not Verdict.UNKNOWN:
            wrong[verdict] += chance(first, early, share)
            continue
        for late in range(more + 1):
            verdict = below_twice(Look(early, first), Look(early + late, first + more), limit)
            wrong[verdict] += chance(first, early, share) * chance(more, late, share)
    assert float(wrong[Verdict.HELD]) <= 0.05 + 1e-9
    assert float(wrong[Verdict.BROKEN]) <= 0.05 + 1e-9


PAIRS = st.integers(1, 5_000).flatmap(
    lambda n: st.tuples(
        st.integers(0, min(n, 9)), st.just(n), st.integers(0, 12), st.integers(1, 5_000)
    )
)


@given(PAIRS)
@settings(deadline=None)
def test_more_failures_never_improve_it(counts: tuple[int, int, int, int]) -> None:
    early, first, late, more = counts
    late = min(late, more - 1)
    verdict = below_twice(Look(early, first), Look(early + late, first + more), 0.001)
    worse = below_twice(Look(early, first), Look(early + late + 1, first + more), 0.001)
    assert RANK[worse] >= RANK[verdict]
    if early < first:
        sooner = below_twice(Look(early + 1, first), Look(early + late + 1, first + more), 0.001)
        assert RANK[sooner] >= RANK[verdict]


def test_the_bound_after_two_looks_is_below_the_limit_when_it_is_held() -> None:
    for limit, first, both, passes, *_ in TABLE:
        look = undecided(first, limit)
        for bad in (passes, passes + 1):
            bound = upper_bound_twice(look, Look(bad, both), limit)
            assert (bound < limit) == (bad == passes)
            assert bound >= upper_bound(bad, both) - 1e-12
    assert upper_bound_twice(Look(1, 3_000), Look(1, 6_000), 0.001) == pytest.approx(
        0.00101, abs=1e-4
    )
    assert upper_bound_twice(Look(5, 5), Look(9, 9), 0.001) == 1.0


def test_a_million_requests_are_no_trouble() -> None:
    first = Look(500, 500_000)
    assert below_twice(first, Look(902, 1_000_000), 0.001) is Verdict.HELD
    assert below_twice(first, Look(903, 1_000_000), 0.001) is Verdict.UNKNOWN
    assert below_twice(first, Look(900_000, 1_000_000), 0.001) is Verdict.BROKEN
