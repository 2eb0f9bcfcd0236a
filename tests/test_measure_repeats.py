"""What repeated runs claim: bounds with known values, and what they must not claim."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.measure import claim, tolerance
from holdfast.measure.repeats import factor
from holdfast.verdict import Verdict


@pytest.mark.parametrize(
    ("trials", "k"),
    [(2, 26.260), (3, 7.656), (5, 4.203), (10, 2.911), (20, 2.396), (100, 1.927)],
)
def test_the_factor_is_that_of_the_published_tables(trials: int, k: float) -> None:
    assert factor(trials) == pytest.approx(k, abs=5e-4)


def test_one_trial_has_no_spread() -> None:
    with pytest.raises(ValueError, match="needs two trials"):
        factor(1)
    assert tolerance([12.0]) is None


@pytest.mark.parametrize(("trials", "share"), [(1, 0.95), (5, 0.451), (10, 0.259), (59, 0.0495)])
def test_trials_that_were_all_quick_leave_a_known_share_of_slow_ones(
    trials: int, share: float
) -> None:
    found = claim([20.0] * trials, 60)
    assert found.verdict is Verdict.HELD
    assert found.share_over == pytest.approx(share, abs=5e-4)


def test_five_trials_bound_the_next_ones() -> None:
    seconds = [8.0, 10.0, 12.5, 10.0, 10.0]
    spread = math.log(1.25) / math.sqrt(2)  # two of five deviate, by a factor of 1.25 each
    found = claim(seconds, 60)
    assert found.bound_s == pytest.approx(10 * math.exp(4.2027 * spread), rel=1e-3)
    assert found.longest_s == 12.5


def test_the_bound_holds_in_nineteen_of_twenty_series() -> None:
    """Ten recoveries each; the 95th percentile of what they were drawn from lies under it."""
    chance = random.Random(3)
    truth = math.exp(2 + 1.6449 * 0.4)
    series = [[chance.lognormvariate(2, 0.4) for _ in range(10)] for _ in range(4000)]
    covered = sum((tolerance(one) or 0) >= truth for one in series) / 4000
    assert 0.94 <= covered <= 0.96


def test_one_trial_over_the_limit_breaks_the_claim() -> None:
    found = claim([20.0] * 9 + [60.0], 60)
    assert found.verdict is Verdict.BROKEN
    assert found.share_over == pytest.approx(0.394, abs=1e-3)


def test_a_trial_that_never_recovered_has_no_bound() -> None:
    found = claim([20.0, math.inf, 21.0], 60)
    assert (found.verdict, found.over, found.bound_s) == (Verdict.BROKEN, 1, math.inf)


def test_an_unknown_trial_is_never_left_out() -> None:
    """To drop it would choose the trials by their outcome."""
    found = claim([20.0] * 9 + [None], 60)
    assert (found.verdict, found.unknown, found.bound_s) == (Verdict.UNKNOWN, 1, None)
    assert found.share_over == claim([20.0] * 9 + [60.0], 60).share_over


def test_no_trial_claims_nothing() -> None:
    found = claim([], 60)
    assert (found.verdict, found.share_over, found.longest_s) == (Verdict.UNKNOWN, 1.0, None)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_a_recovery_that_took_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        claim([20.0, seconds], 60)


@given(st.lists(st.floats(0.1, 59), min_size=2, max_size=12), st.randoms())
def test_the_order_of_trials_does_not_matter(seconds: list[float], chance: random.Random) -> None:
    shuffled = [*seconds]
    chance.shuffle(shuffled)
    there, here = claim(shuffled, 60), claim(seconds, 60)
    assert there.bound_s == pytest.approx(here.bound_s)
    assert there.share_over == here.share_over
