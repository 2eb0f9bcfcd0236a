"""How the platform reacted: told beside the verdicts, from runs whose truth is known."""

from collections.abc import Mapping
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from holdfast.judge import judge
from holdfast.model import Interval, Observation, Record
from tests import judge_stories as they
from tests.judge_stories import FLOOR_S, PODS, Story, told
from tests.stories import counter, errors

DOWN = Story(service=errors(5, 20))
KILL = Story("pods.kill", service=errors(0.2, 3), objectives=("recovery",))


def observed(record: Record, name: str) -> Observation:
    return next(one for one in judge(record).observations if one.name == name)


def detail(record: Record, name: str) -> Mapping[str, Any]:
    return observed(record, name).detail


def bounds(record: Record, name: str) -> tuple[float, float]:
    value = observed(record, name).value
    assert isinstance(value, Interval)
    return value.low, value.high


# ── detected, mitigated, recovered ────────────────────────────────────────────────────────────────


def test_a_breaker_that_opens_has_detected_the_fault() -> None:
    assert bounds(told(), "time-to-detect") == pytest.approx((FLOOR_S, FLOOR_S))
    assert detail(told(), "time-to-detect")["endpoint removed"] is None


def test_a_pod_that_leaves_the_endpoints_has_been_detected() -> None:
    low, high = bounds(told(KILL), "time-to-detect")
    assert low == 0.0
    assert 0.5 <= high <= 0.6  # the look half a second later, which took 50 ms


def test_what_nobody_noticed_has_no_time() -> None:
    found = observed(told(replace(DOWN, opens=None)), "time-to-detect")
    assert found.value is None
    assert found.why.startswith("no breaker opened")


def alerting(*alerts: tuple[str, list[float]], value: float = 1.0) -> Record:
    """A run in which no breaker opened, and the seconds at which each alert was found firing."""
    record = told(replace(DOWN, opens=None))
    labels = {"alertstate": "firing", "severity": "page"}
    answer = they.answered(
        *(counter({**labels, "alertname": name}, lambda _: value, at) for name, at in alerts)
    )
    return replace(record, series={**record.series, "alerts": answer})


def test_an_alert_that_begins_to_fire_has_detected_the_fault() -> None:
    """Its rule is evaluated every five seconds: it was not firing yet at 10 s."""
    record = alerting(("Failures", [20.0, 25.0, 30.0]), ("Slow", [15.0, 20.0, 25.0]))
    assert bounds(record, "time-to-detect") == pytest.approx((10, 15))
    assert observed(record, "time-to-detect").why == "first alert: Slow"
    assert detail(record, "time-to-detect")["alert"] == "Slow"
    assert detail(record, "time-to-detect")["breaker open"] is None


def test_an_alert_that_was_seen_once_may_have_fired_since_the_fault() -> None:
    assert bounds(alerting(("Slow", [15.0])), "time-to-detect") == pytest.approx((0, 15))


def test_an_alert_that_fired_before_the_fault_has_not_detected_it() -> None:
    """Neither by another of its series, nor after a pause."""
    other = ("Slow", [-5.0, 0.0]), ("Slow", [5.0, 10.0])
    for before in (other, [("Slow", [-10.0, 10.0, 15.0])]):
        found = observed(alerting(*before), "time-to-detect")
        assert found.value is None
        assert found.why.endswith("and no alert began to fire")
    record = alerting(*other, ("Failures", [20.0, 25.0]))
    assert detail(record, "time-to-detect")["alert"] == "Failures"


def test_an_alert_after_the_run_has_not_detected_it() -> None:
    assert observed(alerting(("Slow", [43.0, 44.0])), "time-to-detect").value is None


def test_alerts_that_were_not_collected_are_said_to_be_unknown() -> None:
    """Also beside a breaker that opened: an alert may have been sooner."""
    unknown = observed(told(replace(DOWN, opens=None)), "time-to-detect")
    assert unknown.why.endswith("and the alerts were not collected")
    beside = observed(told(), "time-to-detect")
    assert (beside.why, beside.detail["alert fired"]) == ("the alerts were not collected", None)
    gaps = observed(alerting(("Slow", [15.0, 20.0]), value=nan), "time-to-detect")
    assert gaps.value is None
    assert gaps.why.endswith("the alerts' samples are not all numbers")


def test_customers_are_served_again_before_the_replicas_are_back() -> None:
    low, high = bounds(told(KILL), "time-to-mitigate")
    assert low < 3.0 < high < 3.1
    low, high = bounds(told(KILL), "time-to-recover")
    assert low < 6.0 < high < 7.0  # the replacement was ready at 6 s


def test_without_a_look_at_the_pods_nobody_knows_of_the_full_recovery() -> None:
    found = observed(replace(told(KILL), pods=()), "time-to-recover")
    assert found.value is None
    assert "the pods were not seen" in found.why


# ── what it cost ──────────────────────────────────────────────────────────────────────────────────


def test_the_impact_is_told_in_requests_in_seconds_and_of_the_year() -> None:
    found = observed(told(DOWN), "impact")
    assert found.value == pytest.approx(600, abs=2)  # 15 s at 40 a second
    assert found.detail["by_journey"] == {"pix": found.value}
    assert found.detail["seconds_at_its_rate"] == pytest.approx(15, abs=0.1)
    assert found.detail["share_of_yearly_budget_4h"] == pytest.approx(15 / 14_400, rel=0.01)
    assert found.detail["seconds_with_any_bad_request"] in (15, 16)


def test_each_journey_has_its_own_recovery() -> None:
    record = told(replace(DOWN, sent=("pix", "balance"), hold=40))
    for name in ("pix", "balance"):
        low, high = bounds(record, f"recovery-of-{name}")
        assert low < 20 < high < 20.1
        assert detail(record, f"recovery-of-{name}") == {"outages": ["full"], "flapping": False}


# ── zones ─────────────────────────────────────────────────────────────────────────────────────────


def test_each_zone_has_its_last_bad_request_between_two_scrapes_of_the_entrance() -> None:
    for pod in PODS:
        low, high = bounds(told(DOWN), f"last-bad-in-{pod[-1]}")
        assert low <= 20 <= high
        assert high - low == pytest.approx(1.0)


def test_zones_of_a_journey_of_several_steps_are_told_by_its_first() -> None:
    record = told(DOWN)
    steps = [{"good": {"status": [200]}}, {"good": {"status": [201]}}]
    pix = {**record.plan["journeys"]["pix"], "good": None, "steps": steps}
    several = they.planned(record, journeys={"pix": pix})
    low, high = bounds(several, "last-bad-in-a")
    assert low <= 20 <= high


def test_a_zone_that_was_well_has_none() -> None:
    found = observed(told(), "last-bad-in-a")
    assert found.value is None
    assert found.why == "no bad request was counted in this zone during the hold"


# ── breakers, backup, retries ─────────────────────────────────────────────────────────────────────


def test_the_states_of_each_breaker_are_told_over_time() -> None:
    by_pod = detail(told(), "breaker-states")["by_pod"]
    assert set(by_pod) == set(PODS)
    for changes in by_pod.values():
        assert [state for _, state in changes] == ["closed", "open", "closed"]
        assert changes[1][0] == pytest.approx(FLOOR_S, abs=1.0)
        assert changes[2][0] == pytest.approx(32, abs=1.0)  # two seconds after the undo


def test_a_breaker_that_stays_open_does_not_flap() -> None:
    assert observed(told(), "breaker-flaps").value == 0


def test_the_backup_is_held_to_what_was_promised_of_the_gateway() -> None:
    found = observed(told(), "backup-failed")
    assert found.value == 0
    assert found.samples == pytest.approx(40 * 24.25, abs=60)  # from opening, 2 s and 1 s on
    assert found.detail["upper_bound_95"] == pytest.approx(3 / found.samples, rel=0.01)
    assert observed(told(), "backup-slower-than-5s").value == 0
    assert observed(told(), "backup-slower-than-2s").value == 0


def test_a_backup_without_a_bucket_of_the_promise_is_not_known() -> None:
    record = they.series(told(), "gateway_calls_bucket", lambda one: one["le"] != "5.0")
    assert observed(record, "backup-slower-than-5s").value is None
    assert observed(record, "backup-slower-than-2s").value == 0


def test_retries_show_in_the_calls_for_each_transfer() -> None:
    found = detail(told(), "calls-per-transfer")
    assert found["before"] == pytest.approx(1.1, abs=0.1)  # the story calls before customers begin
    assert found["during"] == pytest.approx(1.0, abs=0.15)


def test_a_run_without_a_fault_has_nothing_to_react_to() -> None:
    names = {one.name for one in judge(they.without(told(), "fault")).observations}
    assert not names & {"time-to-detect", "impact"}


def test_reactions_are_told_when_the_entrance_and_the_breakers_are_not_known() -> None:
    record = they.unanswered(
        told(DOWN), "entrance_count", "entrance_bucket", "breaker_state", "gateway_calls_count"
    )
    low, _ = bounds(record, "time-to-mitigate")
    assert low == pytest.approx(20, abs=0.1)
    assert observed(record, "time-to-detect").value is None
