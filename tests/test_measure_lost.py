"""Bad requests as seconds: a stretch without service is as long as it was, whatever the load."""

import random
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.arrivals import Load, arrivals
from holdfast.measure import lost_s

POISSON: Load = {"shape": "poisson", "rate": 40.0, "seed": 3}
SELDOM: Load = {"shape": "poisson", "rate": 0.1, "seed": 3}
STEPS: Load = {"shape": "steps", "rates": [40.0, 400.0], "each": 100.0}
DOWN: Load = {"shape": "steps", "rates": [400.0, 40.0], "each": 100.0}
RAMP: Load = {"shape": "ramp", "from": 10.0, "to": 300.0, "over": 150.0}
# ten at once, every second; and nobody from 30 s to 50 s
BURSTS: Load = {
    "shape": "recorded",
    "instants": [n + k / 1e4 for n in (*range(30), *range(50, 100)) for k in range(10)],
    "over": 100.0,
}


def due(load: Load, start: float, end: float) -> list[float]:
    return [at for at in takewhile(lambda at: at < end, arrivals(load).instants()) if at >= start]


@pytest.mark.parametrize(
    ("load", "start", "end", "within"),
    [
        (40.0, 20.0, 90.0, 0.05),
        (0.7, 20.0, 90.0, 2.0),
        (POISSON, 20.0, 90.0, 0.2),
        (SELDOM, 40.0, 140.0, 25.0),
        (STEPS, 20.0, 90.0, 0.05),
        (STEPS, 60.0, 130.0, 0.05),
        (DOWN, 20.0, 90.0, 0.05),
        (DOWN, 110.0, 180.0, 0.05),
        (RAMP, 0.0, 70.0, 0.5),
        (BURSTS, 60.0, 90.0, 1.0),
    ],
    ids=str,
)
def test_a_stretch_in_which_nobody_was_served_is_as_long_as_it_was(
    load: Load, start: float, end: float, within: float
) -> None:
    found = lost_s(load, due(load, start, end), 0.0, 200.0)
    assert found == pytest.approx(end - start, abs=within)


def test_half_of_the_requests_are_half_of_the_time() -> None:
    chance = random.Random(1)
    bads = [at for at in due(STEPS, 20.0, 180.0) if chance.random() < 0.5]
    assert lost_s(STEPS, bads, 0.0, 200.0) == pytest.approx(80.0, abs=3.0)


def test_what_fails_in_a_burst_counts_by_its_share_of_the_burst() -> None:
    """Nine of the ten that were sent at 20 s."""
    bads = due(BURSTS, 20.0, 20.00085)
    assert len(bads) == 9
    assert lost_s(BURSTS, bads, 0.0, 100.0) == pytest.approx(0.9)


def test_a_silence_counts_with_the_request_that_ends_it() -> None:
    """Nobody asked for 20 s, and nobody was served in the second after that."""
    assert lost_s(BURSTS, due(BURSTS, 50.0, 51.0), 0.0, 100.0) == pytest.approx(21.0)


def test_where_nothing_was_planned_nothing_is_known() -> None:
    assert lost_s(BURSTS, [], 31.0, 49.0) is None
    assert lost_s(40.0, [], 10.0, 10.0) is None


@given(st.floats(0, 150), st.floats(0.5, 50), st.sampled_from([40.0, POISSON, STEPS, DOWN, RAMP]))
def test_all_that_was_due_is_all_of_the_time(start: float, length: float, load: Load) -> None:
    found = lost_s(load, due(load, start, start + length), start, start + length)
    assert found == pytest.approx(length, abs=0.3)
