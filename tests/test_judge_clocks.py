"""Customers on two machines whose clocks differ: the truth is covered, or nothing is known."""

from dataclasses import replace

import pytest

from holdfast.clock import SECOND
from holdfast.judge import judge
from holdfast.model import Interval, Record
from tests import judge_stories as they
from tests.judge_stories import Story, told
from tests.stories import Service, errors, ns, well

OUTAGE = Story(
    hold=75.0, opens=None, service=errors(5, 20), objectives=("recovery", "availability")
)


def apart(story: Story, ahead_s: float, bound_s: float | None) -> Record:
    """Every other request is another machine's, whose clock is ahead; the entrance has its own."""
    record = told(story)
    ahead_ns = round(ahead_s * SECOND)
    samples = tuple(
        replace(
            one,
            scheduled_ns=one.scheduled_ns + ahead_ns,
            sent_ns=one.sent_ns + ahead_ns,
            done_ns=one.done_ns + ahead_ns,
        )
        if number % 2
        else one
        for number, one in enumerate(record.samples)
    )
    environment = dict(record.plan["environment"])
    environment["customers"] = {**environment["customers"], "clock_bound": bound_s}
    record = they.planned(record, environment=environment)
    return replace(record, samples=samples, load={**record.load, "clocks": 2})


def interval(record: Record) -> Interval:
    value = next(one.value for one in judge(record).observations if one.name == "recovery")
    assert isinstance(value, Interval)
    return value


@pytest.mark.parametrize("ahead", [-0.09, -0.04, 0.04, 0.09])
def test_the_truth_is_covered_when_clocks_differ_by_less_than_the_bound(ahead: float) -> None:
    """Service came back at 20 s; one request in 25 ms is due."""
    record = apart(OUTAGE, ahead, 0.1)
    assert they.found(record) == {"recovery": "held", "availability": "held"}
    seen = interval(record)
    assert seen.low < 20 <= seen.high
    assert seen.high - seen.low < 0.45
    assert "by clocks that are up to 0.1 s apart" in they.why(judge(record), "recovery")


def test_without_the_wider_interval_the_truth_would_be_missed() -> None:
    """The other machine's last bad request seems to be sent after service was back."""
    assert interval(apart(OUTAGE, 0.09, 0.1)).low > 20 - 0.1
    assert interval(apart(OUTAGE, 0.09, 0.0)).low > 20


def test_without_a_bound_nothing_is_known() -> None:
    record = apart(OUTAGE, 0.0, None)
    assert they.found(record) == {"recovery": "unknown", "availability": "unknown"}
    assert "whose clocks nobody compared" in they.why(judge(record), "recovery")


@pytest.mark.parametrize(("bound", "verdict"), [(0.1, "held"), (1.0, "unknown")])
def test_a_bound_too_wide_for_the_promise_ends_unknown(bound: float, verdict: str) -> None:
    """Customers recovered at 59.5 s, 60 s are promised."""
    story = replace(OUTAGE, service=errors(5, 59.5), objectives=("recovery",))
    assert they.found(apart(story, 0.05, bound)) == {"recovery": verdict}


@pytest.mark.parametrize(("bound", "verdict"), [(0.1, "broken"), (1.0, "unknown")])
def test_nor_is_a_recovery_too_late_when_the_clocks_may_have_made_it_so(
    bound: float, verdict: str
) -> None:
    story = replace(OUTAGE, service=errors(5, 60.5), objectives=("recovery",))
    assert they.found(apart(story, 0.05, bound)) == {"recovery": verdict}


@pytest.mark.parametrize(("bound", "verdict"), [(0.1, "held"), (2.0, "unknown")])
def test_a_window_that_ends_within_the_bound_of_the_undo_proves_nothing(
    bound: float, verdict: str
) -> None:
    """Ten good seconds from 20 s on; the hold ends at 31 s, give or take the bound."""
    story = replace(OUTAGE, hold=31.0, objectives=("recovery",))
    assert they.found(apart(story, 0.05, bound)) == {"recovery": verdict}


@pytest.mark.parametrize(("at", "verdict"), [(-1.05, "unknown"), (-1.3, "held")])
def test_a_late_request_is_near_an_edge_that_much_further_off(at: float, verdict: str) -> None:
    late = {"late_over_50ms": [[ns(at), 80.0]], "late_over_50ms_count": 1}
    record = they.loaded(apart(OUTAGE, 0.05, 0.2), **late)
    assert they.found(record)["recovery"] == verdict


@pytest.mark.parametrize(
    ("service", "phase"), [(errors(0, 0.15), "before"), (errors(29.85, 30.0), "after"), (well, "")]
)
def test_what_may_belong_to_the_fault_is_not_counted_beside_it(
    service: Service, phase: str
) -> None:
    """A clock that is 0.2 s off puts the fault's failures into the steady state."""
    story = Story(before=80, after=80, service=service, objectives=("success",))
    ahead = -0.18 if phase == "before" else 0.18
    judgement = judge(apart(story, ahead, 0.2))
    assert they.why(judgement, "success").count(" 0 of ") == 2


def test_counts_at_the_edges_may_differ_by_what_the_clocks_move_across_them() -> None:
    """Twenty failed before the fault; by the other machine's clock, 0.1 to 1.1 s after it."""
    story = replace(OUTAGE, service=errors(-1.9, -0.9))
    assert they.found(apart(story, 2.0, 2.1))["availability"] == "held"
    judgement = judge(apart(story, 2.0, 0.1))
    assert they.verdicts(judgement)["availability"] == "unknown"
    assert "bad requests by customers" in they.why(judgement, "availability")


def test_a_request_lost_within_the_bound_of_the_fault_may_be_its_own() -> None:
    """By its own clock it was due before the fault: none is allowed, and this may have been one."""
    record = apart(Story(objectives=("failover",)), -0.15, 0.2)
    lost = next(
        number
        for number, one in enumerate(record.samples)
        if number % 2 and ns(-0.1) <= one.scheduled_ns
    )
    samples = list(record.samples)
    samples[lost] = replace(samples[lost], outcome="wrong", code=503)
    assert they.found(record) == {"failover": "held"}
    judgement = judge(replace(record, samples=tuple(samples)))
    assert they.verdicts(judgement) == {"failover": "unknown"}
    assert "1 requests were lost before (0 are allowed)" in they.why(judgement, "failover")
