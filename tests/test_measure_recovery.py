"""Recovery from customers' timestamps: known truths, and what must not pass."""

import random
from collections.abc import Callable
from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.clock import SECOND
from holdfast.measure import Recovery, bad, first_lasting_window, recovery
from holdfast.model import Interval, Journey, Sample, Window
from holdfast.verdict import Verdict
from tests.stories import (
    BALANCE,
    PIX,
    Customers,
    Fate,
    Service,
    dead,
    errors,
    flapping,
    frozen,
    ns,
    one_after_another,
    partly,
    slow_start,
    span,
    well,
)

QUICK = replace(PIX, within=0.5)
HASTY = replace(PIX, within=0.5, limit=1.0)
AT_ONCE = span(0, 0)


def seen(
    samples: list[Sample], *, hold: float = 18.0, stable: float = 5.0, journey: Journey = PIX
) -> Recovery:
    return recovery(samples, {journey.name: journey}, AT_ONCE, span(0, hold), stable)


def low_high(found: Recovery) -> tuple[float, float]:
    assert found.seconds is not None
    return found.seconds.low, found.seconds.high


def coverage(
    service: Callable[[float, float], Service], journey: Journey = PIX, trials: int = 60
) -> float:
    """The share of trials with random phase whose interval holds the truth."""
    covered = 0
    for seed in range(trials):
        chance = random.Random(seed)
        start = chance.uniform(0, 0.4)
        end = start + chance.uniform(0.8, 3)
        samples = Customers(journey, start=-3, end=11, seed=seed).meet(service(start, end))
        found = seen(samples, hold=10, journey=journey)
        low, high = low_high(found)
        covered += found.recovered is True and low < end <= high
    return covered / trials


# ── what is good ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("outcome", "latency", "expected"),
    [
        ("ok", 5.0, False),
        ("ok", 5.001, True),
        ("wrong", 0.1, True),
        ("timeout", 10.0, True),
        ("connect", 0.1, True),
        ("reset", 0.1, True),
    ],
)
def test_good_is_ok_within_the_promise(outcome: str, latency: float, expected: bool) -> None:
    assert bad(Sample("pix", 0, 0, round(latency * SECOND), outcome, 201), PIX) is expected


# ── known truths ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", [errors, dead])
def test_the_truth_lies_in_the_interval_when_everything_fails(
    service: Callable[[float, float], Service],
) -> None:
    assert coverage(service) >= 0.99


@pytest.mark.parametrize("journey", [QUICK, HASTY])
def test_the_truth_lies_in_the_interval_when_the_service_hangs(journey: Journey) -> None:
    assert coverage(frozen, journey) >= 0.99


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.8])
def test_the_truth_lies_in_the_interval_when_a_part_fails(share: float) -> None:
    assert coverage(lambda start, end: partly(start, end, share)) >= 0.95


def test_the_truth_lies_in_the_interval_when_the_share_falls_step_by_step() -> None:
    def stairs(start: float, end: float) -> Service:
        third = (end - start) / 3
        return one_after_another(
            errors(start, start + third),
            partly(start + third, start + 2 * third, 2 / 3),
            partly(start + 2 * third, end, 1 / 3),
        )

    assert coverage(stairs) >= 0.95


@pytest.mark.parametrize("seconds", [0.6, 2.0, 2.4, 8.0])
def test_the_truth_lies_in_the_interval_when_the_service_starts_slowly(seconds: float) -> None:
    """It looks like a hang, of which more would be known."""
    for seed in range(12):
        end = 1 + seed / 50 + seconds
        service = slow_start(end - seconds, end, QUICK.within)
        samples = Customers(QUICK, start=-3, end=20, seed=seed).meet(service)
        low, high = low_high(seen(samples, journey=QUICK))
        assert low < end <= high < end + 0.55


@pytest.mark.parametrize("service", [errors, dead, lambda a, b: partly(a, b, 0.2)])
def test_the_true_beginning_lies_in_its_interval(
    service: Callable[[float, float], Service],
) -> None:
    """Nobody announced it: the first requests of a partial outage may all have been lucky."""
    covered = 0
    for seed in range(60):
        start = 2 + seed / 61
        samples = Customers(start=-3, end=14, seed=seed).meet(service(start, start + 3))
        began = seen(samples, hold=13).outages[0].start
        covered += began.low < ns(start) <= began.high
    assert covered >= 57


def test_a_flapping_service_is_well_when_it_was_bad_for_the_last_time() -> None:
    found = seen(Customers(end=20).meet(flapping(1.0, 5, 0.3)))
    assert [(one.kind, one.bad) for one in found.outages] == [("flapping", 150)]
    low, high = low_high(found)
    assert low < 1 + 9 * 0.3 <= high < 1 + 9 * 0.3 + 0.1


def test_an_outage_is_known_to_one_and_a_half_requests() -> None:
    found = seen(Customers().meet(errors(0.1, 7.4)))
    low, high = low_high(found)
    assert 7.38 < low < 7.4 < high < 7.4 + 0.045
    assert [outage.kind for outage in found.outages] == ["full"]
    assert 730 <= found.outages[0].bad <= 734
    assert found.why == f"customers recovered {low:.2f} to {high:.2f} s after the fault"


def test_a_hang_is_known_better_than_by_the_last_bad_request() -> None:
    low, high = low_high(seen(Customers(QUICK).meet(frozen(0.1, 7.4)), journey=QUICK))
    assert 7.3 < low < 7.4 < high < 7.45


def test_a_pause_long_after_a_hang_says_nothing_about_its_end() -> None:
    pausing = one_after_another(frozen(0.1, 7.4), frozen(14, 14.2))
    low, high = low_high(seen(Customers(QUICK).meet(pausing), journey=QUICK))
    assert 7.3 < low < 7.4 < high < 7.45


def test_a_short_pause_soon_after_a_hang_says_nothing_about_its_end_either() -> None:
    pausing = one_after_another(frozen(0.1, 7.4), frozen(9, 9.02))
    low, high = low_high(seen(Customers(QUICK).meet(pausing), journey=QUICK))
    assert 7.33 < low < 7.4 < high < 7.45


def test_an_answer_that_is_slower_after_a_hang_than_before_it_widens_the_interval() -> None:
    """At the thaw it was as slow already: quicker answers before the fault prove nothing."""

    def slower(sent: float, took: float, _: random.Random) -> Fate:
        return Fate(sent + took + 0.1 if sent > 7.3 else sent + took)

    service = one_after_another(frozen(0.1, 7.4), slower)
    low, high = low_high(seen(Customers(QUICK).meet(service), journey=QUICK))
    assert low < 7.2
    assert high > 7.4


def test_a_hang_that_ends_within_the_promise_is_no_outage_but_bounds_it() -> None:
    found = seen(Customers().meet(frozen(3, 6)))
    assert found.no_outage
    low, high = low_high(found)
    assert (low, found.outages) == (0.0, ())
    assert 3.0 < high < 3.1
    assert found.why == f"no outage seen, longer than {high:.3f} s excluded"


def test_without_a_fault_no_outage_longer_than_two_requests_is_left_open() -> None:
    found = seen(Customers().meet(well))
    assert found.recovered is True
    assert found.no_outage
    assert low_high(found)[0] == 0.0
    assert low_high(found)[1] < 0.06
    assert found.residual_excluded == pytest.approx(0.006, abs=1e-4)  # 500 without a bad one


def test_the_uncertainty_of_the_injecting_call_widens_the_interval() -> None:
    samples = Customers().meet(errors(2, 5))
    found = recovery(samples, {"pix": PIX}, span(0, 2), span(0, 18), 5)
    low, high = low_high(found)
    assert 2.98 < low < 3.0
    assert 5.0 < high < 5.05


def test_a_recovery_during_the_injecting_call_is_not_negative() -> None:
    found = recovery(Customers().meet(errors(0.1, 1)), {"pix": PIX}, span(0, 2), span(0, 18), 5)
    assert low_high(found)[0] == 0.0


# ── several outages ───────────────────────────────────────────────────────────────────────────────


def test_the_end_of_the_last_outage_counts() -> None:
    found = seen(Customers(end=30).meet(one_after_another(errors(0, 1), errors(8, 9))), hold=28)
    low, high = low_high(found)
    assert 8.98 < low < 9.0 < high < 9.05
    assert [outage.kind for outage in found.outages] == ["full", "full"]
    assert found.flapping
    assert found.why.endswith("after 2 outages")


def test_served_for_less_than_a_window_in_between_is_one_flapping_outage() -> None:
    found = seen(Customers().meet(one_after_another(errors(0, 1), errors(3, 4))))
    assert [outage.kind for outage in found.outages] == ["flapping"]
    assert found.flapping
    low, high = low_high(found)
    assert low < 4.0 < high


def test_a_partial_outage_is_not_taken_for_flapping() -> None:
    found = seen(Customers().meet(partly(0, 6, 1 / 3)))
    assert [outage.kind for outage in found.outages] == ["partial"]
    assert not found.flapping


# ── journeys ──────────────────────────────────────────────────────────────────────────────────────


def test_every_journey_has_to_be_well() -> None:
    samples = [
        *Customers(PIX).meet(errors(0, 2)),
        *Customers(BALANCE).meet(errors(0, 6)),
    ]
    found = recovery(samples, {"pix": PIX, "balance": BALANCE}, AT_ONCE, span(0, 18), 5)
    assert low_high(found)[0] < 6.0 < low_high(found)[1]
    assert low_high(found.each["pix"])[1] < 2.1
    assert not found.flapping  # one outage of each journey


def test_a_journey_without_requests_is_unknown() -> None:
    found = recovery(
        Customers(PIX).meet(well), {"pix": PIX, "balance": BALANCE}, AT_ONCE, span(0, 18), 5
    )
    assert found.recovered is None
    assert found.seconds is None
    assert found.why.startswith("balance: too little was sent")
    assert found.verdict(60) is Verdict.UNKNOWN


def test_one_journey_that_did_not_recover_outranks_one_that_is_unknown() -> None:
    found = recovery(
        Customers(PIX).meet(errors(0, 60)),
        {"pix": PIX, "balance": BALANCE},
        AT_ONCE,
        span(0, 18),
        5,
    )
    assert found.recovered is False
    assert found.verdict(60) is Verdict.BROKEN


def test_one_journey_that_was_late_outranks_one_that_is_unknown() -> None:
    found = recovery(
        Customers(PIX).meet(errors(0, 8)), {"pix": PIX, "balance": BALANCE}, AT_ONCE, span(0, 18), 5
    )
    assert found.recovered is None
    assert found.verdict(7) is Verdict.BROKEN
    assert found.verdict(9) is Verdict.UNKNOWN


def test_requests_of_other_journeys_are_left_out() -> None:
    samples = [*Customers(PIX).meet(well), *Customers(BALANCE).meet(errors(0, 20))]
    assert seen(samples).no_outage


# ── what must not pass ────────────────────────────────────────────────────────────────────────────


def test_no_samples_at_all_is_unknown() -> None:
    assert seen([]).recovered is None
    assert recovery([], {}, AT_ONCE, span(0, 18), 5).recovered is None


def test_too_few_requests_in_a_window_are_unknown() -> None:
    found = seen(Customers(rate=59).meet(errors(0, 3)))
    assert found.recovered is None
    assert "299 are needed" in found.why


def test_an_outage_that_only_the_undo_ended_is_no_recovery() -> None:
    found = seen(Customers(end=30).meet(errors(0, 18)), hold=18)
    assert found.recovered is False
    assert found.seconds is not None
    assert 17.98 < found.seconds.low < 18.0
    assert found.seconds.high == inf
    assert found.verdict(60) is Verdict.BROKEN


def test_a_hang_that_only_the_undo_ended_is_no_recovery() -> None:
    found = seen(Customers(QUICK, end=30).meet(frozen(0, 18)), hold=18, journey=QUICK)
    assert found.recovered is False


def test_a_window_that_reaches_into_the_undo_is_no_recovery() -> None:
    assert seen(Customers().meet(errors(0, 13.5)), hold=18).recovered is False
    assert seen(Customers().meet(errors(0, 12.5)), hold=18).recovered is True


def test_answers_that_came_after_the_undo_prove_nothing() -> None:
    # from second 14 on every request hangs, and is answered well within 5 s: by the undo
    found = seen(Customers().meet(frozen(14, 18.01)), hold=18)
    assert found.recovered is None
    assert "overdue when the hold ended" in found.why


def test_one_straggler_at_the_end_is_no_reason_for_doubt() -> None:
    samples = Customers().meet(well)
    slow = next(one for one in samples if one.scheduled_ns >= ns(15))
    late = replace(slow, done_ns=ns(18.5))
    found = seen([late if one is slow else one for one in samples])
    assert found.recovered is True
    assert found.undecided >= 1


def test_customers_who_stopped_sending_are_unknown() -> None:
    found = seen(Customers(end=14).meet(errors(0, 2)), hold=18)
    assert found.recovered is None
    assert "too little was sent by the end of the hold" in found.why


def test_a_time_without_requests_counts_as_part_of_the_outage() -> None:
    samples = Customers(end=30).meet(errors(0, 2))
    silent = [one for one in samples if not ns(3) <= one.scheduled_ns < ns(9)]
    low, high = low_high(seen(silent, hold=28))
    assert low < 2.0
    assert 9.0 < high < 9.05


def test_a_time_without_requests_is_not_called_no_outage() -> None:
    silent = [one for one in Customers(end=30).meet(well) if not ns(3) <= one.scheduled_ns < ns(9)]
    found = seen(silent, hold=28)
    assert not found.no_outage
    low, high = low_high(found)
    assert low == 0.0
    assert 9.0 < high < 9.05


def test_a_hold_shorter_than_a_window_shows_nothing() -> None:
    assert seen(Customers().meet(well), hold=4).recovered is None


def test_a_single_bad_request_moves_the_recovery_where_windows_are_small() -> None:
    samples = Customers().meet(well)
    spoilt = next(one for one in samples if one.scheduled_ns >= ns(6))
    samples = [replace(one, outcome="wrong", code=503) if one is spoilt else one for one in samples]
    low, high = low_high(seen(samples))
    assert low == pytest.approx(6.0, abs=0.02)
    assert 6.0 < high < 6.05


def test_a_single_bad_request_among_a_thousand_good_ones_is_excused() -> None:
    samples = Customers(rate=250, end=20).meet(errors(0, 2))
    spoilt = next(one for one in samples if one.scheduled_ns >= ns(9))
    samples = [replace(one, outcome="wrong", code=503) if one is spoilt else one for one in samples]
    found = seen(samples)
    assert found.excused == 1
    assert low_high(found)[1] < 2.05


def test_two_bad_requests_side_by_side_are_not_excused() -> None:
    samples = sorted(Customers(rate=450, end=20).meet(well), key=lambda one: one.scheduled_ns)
    first = next(k for k, one in enumerate(samples) if one.scheduled_ns >= ns(6))
    for k in (first, first + 1):
        samples[k] = replace(samples[k], outcome="wrong", code=503)
    found = seen(samples)
    assert not found.no_outage
    assert low_high(found)[1] > 6.0


def test_the_tail_of_an_outage_is_never_excused() -> None:
    # 1,250 requests in a window excuse one bad request, but not the last one of an outage
    for seed in range(5):
        samples = Customers(rate=250, seed=seed).meet(partly(0, 4, 0.3))
        found = seen(samples)
        bads = [one for one in samples if one.outcome != "ok"]
        last = max(one.sent_ns for one in bads)
        assert low_high(found)[0] >= (last - ns(0)) / SECOND


def test_bad_requests_that_were_due_before_the_fault_are_not_its_own() -> None:
    found = seen(Customers().meet(errors(-2, -0.001)))
    assert found.no_outage


def test_a_slow_request_killed_by_the_fault_does_not_date_the_recovery_too_early() -> None:
    # due before the outage, reset by it; a quick one in between says nothing about its end
    samples = Customers().meet(errors(3, 3.4))
    victim = Sample("pix", ns(0.5), ns(0.5), ns(3), "reset", 0)
    assert low_high(seen([*samples, victim]))[1] > 3.4
    alone = Customers().meet(well)
    found = seen([*alone, victim])
    assert low_high(found)[1] > 0.5


# ── properties ────────────────────────────────────────────────────────────────────────────────────

SERVICES = st.sampled_from(
    [well, errors(0, 2), dead(0.2, 3), frozen(0, 7), partly(0, 4, 0.2), errors(0, 30)]
)


@settings(max_examples=12)
@given(SERVICES, st.randoms())
def test_the_order_of_samples_does_not_matter(service: Service, chance: random.Random) -> None:
    samples = Customers(rate=70, start=-2, end=14).meet(service)
    shuffled = [*samples]
    chance.shuffle(shuffled)
    assert seen(shuffled, hold=13) == seen(samples, hold=13)


@settings(max_examples=12)
@given(SERVICES, st.integers(-ns(0) // 2, 10**15))
def test_a_shift_in_time_changes_nothing(service: Service, shift: int) -> None:
    samples = Customers(rate=70, start=-2, end=14).meet(service)
    moved = [
        replace(
            one,
            scheduled_ns=one.scheduled_ns + shift,
            sent_ns=one.sent_ns + shift,
            done_ns=one.done_ns + shift,
        )
        for one in samples
    ]
    at, hold = ns(0) + shift, Window(ns(0) + shift, ns(13) + shift)
    there = recovery(moved, {"pix": PIX}, Window(at, at), hold, 5)
    here = seen(samples, hold=13)
    assert (there.recovered, there.why) == (here.recovered, here.why)
    if here.seconds and here.seconds.high < inf:
        assert there.seconds is not None
        assert there.seconds.low == pytest.approx(here.seconds.low, abs=1e-6)
        assert there.seconds.high == pytest.approx(here.seconds.high, abs=1e-6)


RANK = {Verdict.HELD: 0, Verdict.UNKNOWN: 1, Verdict.BROKEN: 2}


@settings(max_examples=25)
@given(SERVICES, st.sets(st.integers(0, 1100), max_size=6), st.floats(1, 12))
def test_more_bad_requests_never_improve_the_verdict(
    service: Service, spoilt: set[int], limit: float
) -> None:
    samples = Customers(rate=70, start=-2, end=14).meet(service)
    worse = [
        replace(one, outcome="wrong", code=503) if number in spoilt else one
        for number, one in enumerate(samples)
    ]
    after, before = seen(worse, hold=13).verdict(limit), seen(samples, hold=13).verdict(limit)
    assert RANK[after] >= RANK[before] or (before, after) == (Verdict.BROKEN, Verdict.UNKNOWN)
    assert not (after is Verdict.HELD and before is not Verdict.HELD)


# ── the verdict ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (Interval(3, 59.9), Verdict.HELD),
        (Interval(3, 60), Verdict.UNKNOWN),
        (Interval(59.9, 60.1), Verdict.UNKNOWN),
        (Interval(60, 61), Verdict.BROKEN),
    ],
)
def test_the_upper_end_decides_held_and_the_lower_end_broken(
    seconds: Interval, verdict: Verdict
) -> None:
    assert Recovery(True, seconds, "").verdict(60) is verdict


def test_a_limit_that_is_no_number_is_not_kept() -> None:
    assert Recovery(True, Interval(3, 59.9), "").verdict(nan) is Verdict.UNKNOWN


# ── while the fault is held ───────────────────────────────────────────────────────────────────────


def live(samples: list[Sample], now: float) -> Window | None:
    known = [one for one in samples if one.done_ns <= ns(now)]
    return first_lasting_window(known, {"pix": HASTY}, ns(0), 5, ns(now))


def test_a_window_lasts_once_each_of_its_requests_could_be_answered() -> None:
    samples = Customers(HASTY).meet(errors(0, 2))
    assert live(samples, 8.4) is None
    window = live(samples, 8.7)
    assert window is not None
    assert 2.0 <= (window.start_ns - ns(0)) / SECOND < 2.05
    assert window.seconds == pytest.approx(5)


def test_no_window_lasts_while_customers_are_not_served() -> None:
    samples = Customers(HASTY, end=30).meet(one_after_another(errors(0, 2), errors(12, 14)))
    assert live(samples, 11) is not None
    assert live(samples, 16) is None
    assert live(samples, 21) is not None


def test_no_window_lasts_before_there_was_time_for_one() -> None:
    assert live(Customers(HASTY).meet(well), 0.5) is None
    assert live([], 20) is None


def test_a_hang_is_not_taken_for_silence_from_happy_customers() -> None:
    samples = Customers(HASTY).meet(frozen(0, 15))
    assert live(samples, 8) is None
    assert live(samples, 14) is None
