"""Raw samples of Prometheus: no data is not zero."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.measure import (
    Series,
    bad_and_total,
    increase,
    parse,
    resets,
    value_at,
)
from tests.stories import BALANCE, PIX, WALL, Customers, answer, counter, entrance, errors, frozen

GOOD = (200, 201)


def series(*values: float, start: float = 0.0, every: float = 1.0) -> Series:
    return Series({}, tuple((start + k * every, value) for k, value in enumerate(values)))


# ── reading an answer ─────────────────────────────────────────────────────────────────────────────


def test_labels_are_called_by_their_role() -> None:
    told = answer(counter({"bank": "pix-primary", "pod": "a"}, lambda at: at, range(3)))
    (found,) = parse(told, {"gateway": "bank", "pod": "pod"})
    assert found.labels == {"gateway": "pix-primary", "pod": "a"}
    assert found.points == ((WALL, 0.0), (WALL + 1, 1.0), (WALL + 2, 2.0))


def test_nothing_found_is_no_series() -> None:
    assert parse(answer()) == []


def test_values_that_are_no_numbers_are_gaps_and_told() -> None:
    told = answer(counter({}, lambda at: math.nan if at == 1 else at, range(3)))
    (found,) = parse(told)
    assert [value for _, value in found.points] == [0.0, 2.0]
    assert found.unusable == (WALL + 1,)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"status": "error", "error": "query timed out"}, "query timed out"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, "this is vector"),
        ({"status": "success"}, "this is None"),
        ({"status": "success", "data": {"resultType": "matrix"}}, "malformed"),
        ({"status": "success", "data": {"resultType": "matrix", "result": [{}]}}, "malformed"),
        ({**answer(), "warnings": ["a store did not answer"]}, "a store did not answer"),
        ({}, "no success"),
        ([], "not an answer"),
        (None, "not an answer"),
        ("<html>", "not an answer"),
    ],
)
def test_anything_but_raw_samples_is_refused(told: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(told)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"histograms": []}, "native histograms"),
        ({"values": [[2, "1"], [1, "2"]]}, "not in order"),
        ({"values": [[1, "1"], [1, "2"]]}, "not in order"),
        ({"values": [[1, "one"]]}, "could not convert"),
        ({"values": [[1]]}, "not enough values"),
        ({"metric": None}, "malformed"),
    ],
)
def test_a_series_that_cannot_be_read_is_refused(changed: dict[str, Any], why: str) -> None:
    told = answer(series(1.0))
    told["data"]["result"][0] |= changed
    with pytest.raises(ValueError, match=why):
        parse(told)


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def test_a_value_is_the_last_one_unless_it_is_stale() -> None:
    one = series(3.0, 4.0)
    assert value_at(one, -0.1) is None
    assert value_at(one, 0.9) == 3.0
    assert value_at(one, 6.0) == 4.0
    assert value_at(one, 6.1) is None


def test_a_series_that_is_scraped_rarely_is_stale_later() -> None:
    one = series(1.0, 2.0, 3.0, every=15)
    assert value_at(one, 30 + 52) == 3.0
    assert value_at(one, 30 + 53) is None


# ── counters ──────────────────────────────────────────────────────────────────────────────────────


def test_a_counter_rises_by_the_difference() -> None:
    assert increase(series(10.0, 12.0, 15.0, 15.0), 0.5, 2.5) == 5.0


def test_a_flat_counter_is_zero_and_a_missing_one_is_not() -> None:
    assert increase(series(10.0, 10.0, 10.0), 0.0, 2.0) == 0.0
    assert increase(series(), 0.0, 2.0) is None


@pytest.mark.row(28)
def test_a_counter_that_was_reset_counts_on_from_zero() -> None:
    one = series(100.0, 110.0, 3.0, 8.0)
    assert increase(one, 0.0, 3.0) == 18.0
    assert resets(one, 0.0, 3.0) == 1
    assert resets(series(1.0, 2.0, 3.0), 0.0, 2.0) == 0


def test_a_series_that_vanished_is_no_data() -> None:
    assert increase(series(10.0, 12.0, 15.0), 0.0, 20.0) is None


def test_a_window_without_a_sample_is_no_data() -> None:
    """Scrapes lie 30 s apart: the same old value at both ends is not a rise of zero."""
    rarely = series(10.0, 12.0, 15.0, every=30)
    assert increase(rarely, 31.0, 59.0) is None
    assert increase(rarely, 31.0, 60.0) == 3.0
    scraped = [0.0, 30.0, 60.0, 90.0]
    assert increase(series(4.0, start=90.0), 31.0, 59.0, scraped) is None


def test_a_series_that_began_too_late_is_no_data() -> None:
    assert increase(series(10.0, 12.0, start=5.0), 0.0, 6.0) is None


def test_a_counter_born_under_observation_began_at_zero() -> None:
    scraped = [float(at) for at in range(10)]
    assert increase(series(4.0, 6.0, start=5.0), 0.0, 6.0, scraped) == 6.0


def test_a_counter_born_after_the_window_is_zero_only_if_its_target_was_scraped() -> None:
    scraped = [float(at) for at in range(10)]
    assert increase(series(4.0, start=9.0), 0.0, 6.0, scraped) == 0.0
    assert increase(series(4.0, start=9.0), 0.0, 6.0) is None
    assert increase(series(4.0, start=9.0), 0.0, 6.0, [9.0]) is None


def test_a_counter_born_while_nobody_looked_is_no_data() -> None:
    scraped = [0.0, 1.0, 20.0, 21.0]
    assert increase(series(4.0, 6.0, start=20.0), 0.0, 21.0, scraped) is None


@pytest.mark.row(28)
@given(st.lists(st.integers(0, 50), min_size=3, max_size=40), st.data())
def test_increases_add_up(steps: list[int], data: st.DataObject) -> None:
    values = [float(sum(steps[: k + 1])) for k in range(len(steps))]
    middle = data.draw(st.integers(1, len(steps) - 2))
    one, end = series(*values), float(len(steps) - 1)
    first, second = increase(one, 0.0, middle), increase(one, middle, end)
    assert first is not None
    assert second is not None
    assert increase(one, 0.0, end) == first + second == sum(steps[1:])


# ── what the entrance counted ─────────────────────────────────────────────────────────────────────


def test_the_entrance_counts_what_failed_and_what_was_slow() -> None:
    samples = [*Customers(PIX).meet(frozen(2, 9)), *Customers(BALANCE).meet(errors(0, 3))]
    seen = entrance(samples, [PIX, BALANCE], -10, 40)
    window = (WALL - 8, WALL + 35)
    pix = bad_and_total(seen, PIX, GOOD, window)
    assert pix.total == 2_500
    assert pix.bad == sum(one.latency > 5 for one in samples if one.journey == "pix")
    balance = bad_and_total(seen, BALANCE, GOOD, window)
    assert (balance.bad, balance.why) == (
        sum(one.outcome == "wrong" for one in samples if one.journey == "balance"),
        "",
    )


def test_a_missing_bucket_is_an_error_and_never_guessed() -> None:
    seen = entrance(Customers(PIX).meet(errors(0, 3)), [PIX], -10, 40)
    without = [one for one in seen if one.labels.get("le") != "5"]
    found = bad_and_total(without, PIX, GOOD, (WALL - 8, WALL + 35))
    assert found.bad is None
    assert "no bucket le=5" in found.why


def test_buckets_are_compared_as_numbers() -> None:
    seen = entrance(Customers(PIX).meet(errors(0, 3)), [PIX], -10, 40)
    renamed = [
        Series({**one.labels, "le": "5.0"} if one.has(le="5") else one.labels, one.points)
        for one in seen
    ]
    window = (WALL - 8, WALL + 35)
    assert bad_and_total(renamed, PIX, GOOD, window) == bad_and_total(seen, PIX, GOOD, window)


def test_an_entrance_without_the_journey_is_no_data() -> None:
    seen = entrance(Customers(PIX).meet(errors(0, 3)), [PIX], -10, 40)
    found = bad_and_total(seen, BALANCE, GOOD, (WALL - 8, WALL + 35))
    assert (found.bad, found.total) == (None, None)
    assert found.why == "the entrance has no series of balance"


def test_an_entrance_that_fell_silent_is_no_data() -> None:
    seen = entrance(Customers(PIX).meet(errors(0, 3)), [PIX], -10, 20)
    found = bad_and_total(seen, PIX, GOOD, (WALL - 8, WALL + 35))
    assert found.bad is None
    assert found.why.startswith("not covered")


def test_a_code_that_appears_during_the_fault_is_counted_from_zero() -> None:
    seen = entrance(Customers(PIX).meet(errors(0, 3)), [PIX], -10, 40)
    late = [one for one in seen if one.has(code="503")]
    assert min(one.points[0][0] for one in late) > WALL
    found = bad_and_total(seen, PIX, GOOD, (WALL - 8, WALL + 35))
    assert found.bad is not None
    assert found.bad >= 298
