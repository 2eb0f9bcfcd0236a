"""The sequential test: when it ends, and how seldom it passes what is bad."""

import math
import random

import pytest

from holdfast.measure import Sequential
from holdfast.verdict import Verdict

THOUSANDTH = Sequential(limit=0.001, good=0.0001)


def test_requests_until_it_passes() -> None:
    assert [THOUSANDTH.needed(bad) for bad in (0, 1)] == [3_327, 5_885]
    assert Sequential(limit=0.0005, good=0.00005).needed() == 6_656


@pytest.mark.parametrize("bad", [0, 1, 5])
def test_one_request_fewer_is_not_enough(bad: int) -> None:
    assert THOUSANDTH.look(bad, THOUSANDTH.needed(bad)) is Verdict.HELD
    assert THOUSANDTH.look(bad, THOUSANDTH.needed(bad) - 1) is Verdict.UNKNOWN


def test_two_early_failures_end_it() -> None:
    assert THOUSANDTH.look(1, 1) is Verdict.UNKNOWN
    assert THOUSANDTH.look(2, 100) is Verdict.BROKEN


def test_nothing_counted_says_nothing() -> None:
    assert THOUSANDTH.look(0, 0) is Verdict.UNKNOWN


@pytest.mark.parametrize(("limit", "good"), [(0.001, 0.001), (0.001, 0.0), (1.0, 0.1)])
def test_shares_that_cannot_be_told_apart_are_refused(limit: float, good: float) -> None:
    with pytest.raises(ValueError, match="cannot be told apart"):
        Sequential(limit, good)


@pytest.mark.parametrize(("bad", "n"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(bad: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        THOUSANDTH.look(bad, n)


def passes(test: Sequential, share: float, chance: random.Random) -> bool:
    """Looked at after every request: only just before a failure can it pass, so walk from one to
    the next.
    """
    n = 0
    for bad in range(10_000):
        n += 1 + int(math.log(1 - chance.random()) / math.log1p(-share))  # the next bad request
        if n - 1 >= test.needed(bad):
            return True
        if test.look(bad + 1, n) is Verdict.BROKEN:
            return False
    raise AssertionError("it never ended")


def test_a_platform_at_the_limit_passes_in_less_than_one_run_of_twenty() -> None:
    test, chance = Sequential(limit=0.01, good=0.001), random.Random(5)
    share = sum(passes(test, 0.01, chance) for _ in range(4_000)) / 4_000
    assert 0.02 < share <= 0.055  # 0.05 by Ville's inequality, and what chance adds to 4,000 runs


def test_a_good_platform_fails_in_less_than_one_run_of_twenty() -> None:
    test, chance = Sequential(limit=0.01, good=0.001), random.Random(5)
    share = sum(passes(test, 0.001, chance) for _ in range(4_000)) / 4_000
    assert share >= 0.945
