"""The bank test: which looks at the whole ledger saw money that was nowhere, or twice."""

from typing import Any

import pytest

from holdfast.measure import Drift, Sums, drifts


def looks(name: str, *cents: Any) -> list[dict[str, Any]]:
    return [{"looked_ns": number, name: one} for number, one in enumerate(cents)]


def test_postings_that_are_always_nothing_in_sum() -> None:
    assert drifts(looks("postings_cents", 0, 0, 0)) == Sums(3, (0, 1, 2), ())


def test_a_drift_that_healed_is_one() -> None:
    found = drifts(looks("postings_cents", 0, -1010, 0, 3))
    healed = Drift(1, "postings_cents", -1010), Drift(3, "postings_cents", 3)
    assert found == Sums(4, (0, 1, 2, 3), healed)


def test_a_total_has_to_stay_what_it_was() -> None:
    found = drifts(looks("total_cents", 500, 500, 499, 500))
    assert found == Sums(4, (0, 1, 2, 3), (Drift(2, "total_cents", -1),))


def test_where_the_first_look_was_the_wrong_one_the_others_differ() -> None:
    found = drifts(looks("total_cents", 499, 500, 500))
    assert found.drifts == (Drift(1, "total_cents", 1), Drift(2, "total_cents", 1))


def test_both_sums_are_looked_at() -> None:
    both = {"looked_ns": 7, "postings_cents": 2, "total_cents": 5}
    assert drifts([both, both]).drifts == (Drift(7, "postings_cents", 2),) * 2


@pytest.mark.parametrize(
    "look",
    [
        {"looked_ns": 1, "error": "no answer"},
        {"looked_ns": 1},
        {"looked_ns": 1, "postings_cents": 0.0},
        {"looked_ns": 1, "postings_cents": False},
        {"looked_ns": 1, "postings_cents": None, "total_cents": 5},
        {"postings_cents": 0},
        {"looked_ns": None, "postings_cents": 0},
    ],
)
def test_no_answer_is_not_nothing(look: dict[str, Any]) -> None:
    assert drifts([look]) == Sums(1, (), ())
