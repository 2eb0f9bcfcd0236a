"""Customers and entrance: when they tell the same story, and when not."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from holdfast.measure import Agreement, Entrance, Recovery, Series, agree, recovery
from holdfast.model import Sample
from tests.stories import (
    ANCHOR,
    PIX,
    Customers,
    Service,
    dead,
    entrance,
    errors,
    frozen,
    ns,
    partly,
    span,
    well,
)

GOOD = {"pix": (200, 201)}
LIMITED = replace(PIX, within=2.0, limit=4.0)
JOURNEYS = {"pix": PIX}


def compare(
    samples: list[Sample],
    series: Sequence[Series],
    *,
    window: tuple[float, float] = (-8, 35),
    seen: Recovery | None = None,
) -> Agreement:
    seen = seen or recovery(samples, JOURNEYS, span(0, 0), span(0, 18), 5)
    return agree(samples, Entrance(series, GOOD, ANCHOR), JOURNEYS, span(*window), seen)


def counted(samples: list[Sample]) -> list[Series]:
    return entrance(samples, [PIX], -10, 40)


@pytest.mark.parametrize(
    "service",
    [
        well,
        errors(0.3, 5.2),
        dead(0.3, 5.2),
        frozen(0.3, 9.1),
        partly(0.3, 5.2, 0.3),
        errors(0, 30),
    ],
)
def test_two_views_of_the_same_service_agree(service: Service) -> None:
    samples = Customers().meet(service)
    found = compare(samples, counted(samples))
    assert (found.agrees, found.why) == (True, "customers and entrance agree")


@pytest.mark.parametrize("end", [18.0, 19.4, 12.9])
def test_they_agree_on_a_window_whose_edges_lie_in_the_traffic(end: float) -> None:
    samples = Customers().meet(errors(0.3, 5.2))
    assert compare(samples, counted(samples), window=(0, end)).agrees is True


def test_they_agree_when_customers_gave_up_on_a_hang() -> None:
    samples = Customers(LIMITED).meet(frozen(0.3, 9))
    journeys = {"pix": LIMITED}
    seen = recovery(samples, journeys, span(0, 0), span(0, 18), 5)
    series = entrance(samples, [LIMITED], -10, 40)
    found = agree(samples, Entrance(series, GOOD, ANCHOR), journeys, span(-8, 35), seen)
    assert found.agrees is True


def test_every_term_is_named() -> None:
    samples = Customers().meet(dead(0.3, 5.2))
    terms = compare(samples, counted(samples)).terms["pix"]
    assert terms["customers"] == 2_500
    assert terms["customers bad"] == terms["perhaps never arrived"] > 480
    assert terms["entrance"] == 2_500 - terms["customers bad"]
    assert terms["entrance bad"] == 0


def spoil(samples: list[Sample], which: Callable[[Sample], bool]) -> list[Sample]:
    return [replace(one, outcome="wrong", code=503) if which(one) else one for one in samples]


def test_bad_requests_that_the_entrance_did_not_see_are_a_contradiction() -> None:
    samples = Customers().meet(errors(0.3, 5.2))
    more = spoil(samples, lambda one: ns(8) <= one.scheduled_ns < ns(8.1))
    found = compare(more, counted(samples))
    assert found.agrees is False
    assert "bad requests by customers" in found.why


def test_bad_requests_that_customers_did_not_see_are_a_contradiction() -> None:
    samples = Customers().meet(errors(0.3, 5.2))
    more = spoil(samples, lambda one: ns(8) <= one.scheduled_ns < ns(8.1))
    found = compare(samples, counted(more))
    assert found.agrees is False


def test_another_time_of_recovery_is_a_contradiction_though_the_numbers_agree() -> None:
    samples = Customers().meet(errors(0.3, 4.3))
    later = Customers().meet(errors(3.3, 7.3))
    found = compare(samples, counted(later))
    assert found.agrees is False
    assert "by the entrance the last bad request ended" in found.why


def test_traffic_of_others_is_a_contradiction() -> None:
    samples = Customers().meet(errors(0.3, 5.2))
    others = Customers(rate=10, seed=9).meet(well)
    found = compare(samples, counted([*samples, *others]))
    assert found.agrees is False
    assert "requests that customers did not send" in found.why


def test_traffic_that_went_past_the_entrance_is_a_contradiction() -> None:
    samples = Customers().meet(errors(0.3, 5.2))
    found = compare(samples, counted([one for k, one in enumerate(samples) if k % 3]))
    assert found.agrees is False
    assert "fewer than customers sent" in found.why


def test_requests_near_the_limit_may_be_counted_either_way() -> None:
    samples = Customers().meet(well)
    slow = [
        replace(one, done_ns=one.sent_ns + 4_950_000_000) if k % 500 == 0 else one
        for k, one in enumerate(samples)
    ]
    here = [replace(one, scheduled_ns=one.scheduled_ns - 100_000_000) for one in slow]
    found = compare(here, counted(slow))
    assert found.terms["pix"]["near the limit"] == 5
    assert found.terms["pix"]["customers bad"] == 5
    assert found.terms["pix"]["entrance bad"] == 0
    assert found.agrees is True


def test_an_answer_that_was_wrong_only_in_its_body_is_explained() -> None:
    samples = Customers().meet(well)
    wrong = [
        replace(one, outcome="wrong") if k % 500 == 0 else one for k, one in enumerate(samples)
    ]
    found = compare(wrong, counted(samples))
    assert found.terms["pix"]["bad by their body"] == 5
    assert found.agrees is True


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ([], "no series of pix"),
        (entrance(Customers().meet(well), [PIX], -10, 9), "not covered"),
        (
            [one for one in counted(Customers().meet(well)) if one.labels.get("le") != "5"],
            "no bucket le=5",
        ),
    ],
)
def test_without_the_second_source_nothing_is_said(series: list[Series], why: str) -> None:
    found = compare(Customers().meet(well), series)
    assert found.agrees is None
    assert why in found.why


def test_an_entrance_that_was_started_again_cannot_be_compared() -> None:
    samples = Customers().meet(well)
    restarted = [
        Series(one.labels, tuple((at, value % 1_000) for at, value in one.points))
        for one in counted(samples)
    ]
    found = compare(samples, restarted)
    assert found.agrees is None
    assert "started again" in found.why


def test_nothing_to_compare_is_no_agreement() -> None:
    found = agree([], Entrance([], {}, ANCHOR), {}, span(0, 18))
    assert found.agrees is None


def test_a_single_excused_request_does_not_move_the_entrances_recovery() -> None:
    samples = sorted(
        Customers(rate=250, end=20).meet(errors(0.3, 2)), key=lambda one: one.scheduled_ns
    )
    late = next(k for k, one in enumerate(samples) if one.scheduled_ns >= ns(9))
    samples[late] = replace(samples[late], outcome="wrong", code=503)
    seen = recovery(samples, JOURNEYS, span(0, 0), span(0, 18), 5)
    assert seen.excused == 1
    assert compare(samples, counted(samples), seen=seen).agrees is True
