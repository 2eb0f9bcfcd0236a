"""The exact bounds of a share, and when they decide."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.measure import below, lower_bound, needed, rank_above, upper_bound
from holdfast.verdict import Verdict

COUNTS = st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_requests_that_show_less_than_one_in_a_thousand() -> None:
    assert [needed(0.001, bad) for bad in (0, 1, 2, 3, 5, 10, 20)] == [
        2_995,
        4_742,
        6_294,
        7_752,
        10_511,
        16_959,
        29_058,
    ]


def test_requests_that_show_other_shares() -> None:
    assert needed(0.01) == 299
    assert needed(0.05) == 59
    assert [needed(0.0005, bad) for bad in (0, 1, 20)] == [5_990, 9_486, 58_120]


@pytest.mark.parametrize(("bad", "n"), [(0, 2_995), (1, 4_742)])
def test_one_request_fewer_is_not_enough(bad: int, n: int) -> None:
    assert below(bad, n, 0.001) is Verdict.HELD
    assert below(bad, n - 1, 0.001) is Verdict.UNKNOWN


def test_no_request_says_nothing() -> None:
    assert upper_bound(0, 0) == 1.0
    assert lower_bound(0, 0) == 0.0
    assert below(0, 0, 0.001) is Verdict.UNKNOWN


def test_everything_bad_is_broken() -> None:
    assert upper_bound(50, 50) == 1.0
    assert lower_bound(50, 50) == pytest.approx(0.05 ** (1 / 50))
    assert below(50, 50, 0.001) is Verdict.BROKEN


def test_a_few_bad_ones_among_few_break_a_promise() -> None:
    assert below(1, 10, 0.001) is Verdict.BROKEN
    assert below(1, 100, 0.001) is Verdict.UNKNOWN
    assert below(10, 3_000, 0.001) is Verdict.BROKEN


@pytest.mark.parametrize(("bad", "n"), [(-1, 10), (11, 10), (1, 0)])
def test_impossible_counts_are_refused(bad: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        upper_bound(bad, n)


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1])
def test_no_number_shows_an_impossible_limit(limit: float) -> None:
    with pytest.raises(ValueError, match="no number of requests"):
        needed(limit)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_the_bound_is_exact(counts: tuple[int, int]) -> None:
    bad, n = counts
    share = Fraction(upper_bound(bad, n))
    chance = sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(bad + 1))
    assert float(chance) == pytest.approx(0.05, abs=1e-9)


@given(COUNTS)
def test_more_bad_requests_never_improve_a_verdict(counts: tuple[int, int]) -> None:
    bad, n = counts
    rank = {Verdict.HELD: 0, Verdict.UNKNOWN: 1, Verdict.BROKEN: 2}
    fewer = max(0, bad - 1)
    assert rank[below(bad, n, 0.001)] >= rank[below(fewer, n, 0.001)]
    assert lower_bound(bad, n) <= bad / n <= upper_bound(bad, n)


def test_a_platform_at_the_limit_passes_in_at_most_one_run_of_twenty() -> None:
    chance = random.Random(7)
    failures = [chance.binomialvariate(400, 0.01) for _ in range(2_000)]
    passing = {bad for bad in set(failures) if below(bad, 400, 0.01) is Verdict.HELD}
    assert sum(bad in passing for bad in failures) / 2_000 <= 0.06


# ── ranks ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("share", "n", "rank"),
    [
        (0.99, 1_000, 996),
        (0.99, 10_000, 9_917),
        (0.99, 299, 299),
        (0.99, 298, None),
        (0.95, 59, 59),
        (0.999, 2_995, 2_995),
        (0.999, 2_994, None),
        (0.99, 0, None),
    ],
)
def test_the_rank_that_a_percentile_does_not_exceed(share: float, n: int, rank: int | None) -> None:
    assert rank_above(share, n) == rank


@settings(max_examples=40)
@given(st.integers(5, 120), st.sampled_from([0.5, 0.9, 0.95, 0.975]))
def test_the_rank_is_the_smallest_that_is_enough(n: int, share: float) -> None:
    """The percentile exceeds the r-th value when at least r of the n lie below it."""

    def covered(rank: int) -> float:
        p = Fraction(share)
        return float(sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(rank)))

    rank = rank_above(share, n)
    if rank is None:
        assert covered(n) < 0.95
    else:
        assert covered(rank) >= 0.95 - 1e-12
        assert rank == 1 or covered(rank - 1) < 0.95
