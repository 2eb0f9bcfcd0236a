"""When requests are due, and how many a window was planned to have."""

import heapq
from itertools import islice, pairwise
from pathlib import Path
from statistics import mean, pvariance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.arrivals import Load, arrivals, fewest, peak, planned, words
from holdfast.documents import Extension, checked
from holdfast.errors import InvalidInput

RAMP = {"shape": "ramp", "from": 20.0, "to": 60.0, "over": 60.0}
FALL = {"shape": "ramp", "from": 60.0, "to": 20.0, "over": 60.0}
STEPS = {"shape": "steps", "rates": [10.0, 40.0, 10.0], "each": 30.0}
POISSON = {"shape": "poisson", "rate": 200.0, "seed": 7}
RECORDED = {"shape": "recorded", "file": "", "instants": [0.0, 0.5, 0.5, 3.0], "over": 10.0}


def due(load: Load, until_s: float) -> list[float]:
    """Every instant before that second."""
    found: list[float] = []
    for instant in arrivals(load).instants():
        if instant >= until_s:
            return found
        found.append(instant)
    raise AssertionError("a load has no end")


def test_a_ramp_sends_the_integral_of_its_rate() -> None:
    assert planned(RAMP, 0, 60) == 2400
    assert planned(RAMP, 60, 70) == 600  # it stays at its end
    assert planned(RAMP, 0, 30) == 20 * 30 + 300
    instants = due(RAMP, 120)
    assert instants[0] == 0
    assert len(instants) == 2400 + 60 * 60
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert gaps[0] == pytest.approx(1 / 20, rel=0.01)
    assert gaps[2398] == pytest.approx(1 / 60, rel=0.01)
    assert gaps[-1] == pytest.approx(1 / 60)


def test_a_falling_ramp_falls() -> None:
    assert planned(FALL, 0, 60) == 2400
    assert planned(FALL, 60, 61) == pytest.approx(20)
    assert len(due(FALL, 60)) == 2400


def test_steps_follow_each_other_and_the_last_one_stays() -> None:
    assert [planned(STEPS, at, at + 30) for at in (0, 30, 60, 90)] == [300, 1200, 300, 300]
    assert len(due(STEPS, 90)) == 1800


def test_a_recording_begins_again_after_its_end() -> None:
    assert due(RECORDED, 13.1) == [0.0, 0.5, 0.5, 3.0, 10.0, 10.5, 10.5, 13.0]
    assert planned(RECORDED, 0.5, 3.0) == 2  # from the first instant up to, not including, the last
    assert planned(RECORDED, 0, 100) == 40


def test_poisson_arrivals_are_the_same_for_the_same_seed() -> None:
    other = {**POISSON, "seed": 8}
    first = list(islice(arrivals(POISSON).instants(), 1000))
    assert first == list(islice(arrivals(POISSON).instants(), 1000))
    assert first != list(islice(arrivals(other).instants(), 1000))


def test_poisson_arrivals_have_the_mean_and_the_variance_of_a_poisson_process() -> None:
    """Over 1,000 seconds at 200/s: both 200; 5 standard errors of each estimate."""
    counts = [planned(POISSON, second, second + 1) for second in range(1000)]
    assert mean(counts) == pytest.approx(200, abs=5 * (200 / 1000) ** 0.5)
    assert pvariance(counts) == pytest.approx(200, abs=5 * 200 * (2 / 1000) ** 0.5)
    gaps = [later - earlier for earlier, later in pairwise(due(POISSON, 1000))]
    assert sum(gap > 0.005 for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.005)


def test_the_emptiest_and_the_fullest_window() -> None:
    assert fewest(60.0, 10, (0, 600)) == 600
    assert fewest(RAMP, 10, (0, 600)) == planned(RAMP, 0, 10)
    assert fewest(FALL, 10, (0, 600)) == 200
    assert fewest(STEPS, 30, (0, 600)) == 300
    assert fewest(STEPS, 30, (30, 60)) == 1200
    assert fewest(RECORDED, 6.5, (0, 60)) == 0  # from just after 3 s
    assert fewest(RECORDED, 7.1, (0, 60)) == 1
    assert peak(STEPS, 30, 600) == 1200
    assert peak(STEPS, 40, 600) == 1300
    assert peak(RECORDED, 0.6, 600) == 3
    assert peak(60.0, 10, 600) == 600


LOADS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([RAMP, FALL, STEPS, POISSON, RECORDED]),
    st.floats(0.5, 300),
    st.builds(
        lambda rates, each: {"shape": "steps", "rates": rates, "each": each},
        st.lists(st.floats(0.5, 300), min_size=2, max_size=5),
        st.floats(0.1, 20),
    ),
    st.builds(
        lambda first, to, over: {"shape": "ramp", "from": first, "to": to, "over": over},
        st.floats(0.5, 300),
        st.floats(0.5, 300),
        st.floats(0.1, 60),
    ),
)


@given(LOADS, st.floats(0, 30), st.floats(0, 30))
def test_a_window_has_as_many_requests_as_it_was_planned_to_have(
    load: Load, begin: float, length: float
) -> None:
    """Within one at each end: between two requests, the integral goes on growing."""
    sent = [one for one in due(load, begin + length) if one >= begin]
    assert abs(len(sent) - planned(load, begin, begin + length)) <= 1.000001


@given(LOADS, st.floats(0.1, 20), st.lists(st.floats(0, 60), min_size=5, max_size=20))
def test_no_window_has_fewer_than_the_emptiest(
    load: Load, length: float, starts: list[float]
) -> None:
    least = fewest(load, length, (0, 60 + length))
    most = peak(load, length, 60 + length)
    for start in starts:
        assert least - 1e-6 <= planned(load, start, start + length)
        if load != POISSON:
            assert planned(load, start, start + length) <= most + 1e-6


@given(LOADS)
def test_requests_are_due_in_order(load: Load) -> None:
    instants = due(load, 20)
    assert instants == list(heapq.merge(instants))
    assert all(one >= 0 for one in instants)


def extension(load: Any) -> Extension:
    data = {"name": "holdfast", "load": {"pix": load}, "objectives": ["recovery"]}
    return checked(Extension, data | dict.fromkeys(("before", "stable", "after"), "10s"), "here")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("60/s", "60/s"),
        (
            {"shape": "ramp", "from": "20/s", "to": "60/s", "over": "1m"},
            "20/s to 60/s over 60 s",
        ),
        (
            {"shape": "steps", "rates": ["10/s", "40/s"], "each": "30s"},
            "10/s, 40/s, each for 30 s",
        ),
        ({"shape": "poisson", "rate": "60/s", "seed": 7}, "60/s, Poisson (seed 7)"),
        (
            {"shape": "recorded", "instants": [0, 0.5], "over": "2s"},
            "2 recorded in 2 s, again and again",
        ),
    ],
)
def test_a_load_as_it_is_written_and_read_again(written: Any, said: str) -> None:
    load = extension(written).loads()["pix"]
    assert words(load) == said
    assert planned(load, 0, 1) > 0


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({"shape": "sine", "rate": "60/s"}, "does not match any of the expected tags"),
        ({"shape": "ramp", "from": "20/s", "over": "1m"}, "ramp.to: Field required"),
        ({"shape": "ramp", "from": "0/s", "to": "1/s", "over": "1m"}, "'0/s' is not a rate"),
        ({"shape": "ramp", "from": "1/s", "to": "2/s", "over": "0s"}, "greater than 0"),
        ({"shape": "steps", "rates": ["20/s"], "each": "1m"}, "at least 2 items"),
        ({"shape": "poisson", "rate": "60/s"}, "poisson.seed: Field required"),
        ({"shape": "poisson", "rate": "10001/s", "seed": 1}, "less than or equal to 10000"),
        ({"shape": "recorded", "over": "1m"}, "either `file` or `instants` is needed"),
        ({"shape": "recorded", "instants": [2, 1], "over": "1m"}, "not in order"),
        ({"shape": "recorded", "instants": [60], "over": "1m"}, "at or after the end, 60 s"),
        ({"shape": "recorded", "instants": [0] * 20, "over": "1ms"}, "10000 a second"),
    ],
)
def test_a_shape_that_is_wrong_is_refused(written: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        extension(written)


def test_a_recording_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "arrivals.csv").write_text("0.25\n1\n1.5\n")
    one = extension({"shape": "recorded", "file": "arrivals.csv", "over": "2s"})
    load = one.with_recordings(tmp_path).loads()["pix"]
    assert due(load, 3) == [0.25, 1.0, 1.5, 2.25]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it holds no instant"),
        ("0.5\nlater\n", "line 2: 'later' is not a number of seconds"),
        ("0.5\nnan\n", "line 2: 'nan' is not an instant"),
        ("-1\n", "line 1: '-1' is not an instant"),
        ("1\n0.5\n", "the instants are not in order"),
        ("2\n", "an instant lies at or after the end, 2 s"),
    ],
)
def test_a_recording_that_is_none(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "arrivals.csv").write_text(text)
    one = extension({"shape": "recorded", "file": "arrivals.csv", "over": "2s"})
    with pytest.raises(InvalidInput, match=rf"arrivals.csv: {why}"):
        one.with_recordings(tmp_path)


def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    one = extension({"shape": "recorded", "file": "none.csv", "over": "2s"})
    with pytest.raises(InvalidInput, match=r"none.csv: cannot be read"):
        one.with_recordings(tmp_path)
