"""What a report says of a run: nothing that was not measured, nothing left out."""

from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.judge import judge
from holdfast.model import Record
from holdfast.pipeline.story import tell
from holdfast.reports.record import Report
from tests import judge_stories as they
from tests.judge_stories import PODS, Story, also, event, told
from tests.stories import errors

OUTAGE = Story(service=errors(5, 8))


def report(record: Record) -> Report:
    return tell(record, judge(record), Path("runs/story/20260102T030405.678901Z"))


def test_who_and_when() -> None:
    told_of = report(told())
    assert told_of.run_id == "20260102T030405.678901Z"
    assert told_of.commands == ("holdfast judge runs/story/20260102T030405.678901Z",)
    assert (told_of.experiment, told_of.environment) == ("story", "lab")
    assert (told_of.ended - told_of.started).total_seconds() == pytest.approx(58.1)
    assert told_of.origin == told_of.started
    assert told_of.versions["holdfast"] == "0.1.0"


def test_the_verdict_and_its_ground() -> None:
    told_of = report(told())
    assert (told_of.exit_code, told_of.verdict) == (0, "held")
    assert [one.objective for one in told_of.findings] == list(they.FAIRLY)
    assert [one.name for one in told_of.objectives] == list(they.FAIRLY)
    assert [(one.name, one.shown) for one in told_of.witness] == [
        ("exposed", True),
        ("struck", True),
        ("lasting", True),
    ]
    named = {name for one in told_of.findings for name in one.observations}
    assert named <= {one.name for one in told_of.observations}


def test_every_request_is_in_the_chart() -> None:
    told_of = report(told(OUTAGE))
    assert sum(one.good + one.bad for one in told_of.requests) == 2160
    bad_seconds = [one.t_s for one in told_of.requests if one.bad]
    assert bad_seconds == [18.0, 19.0, 20.0]  # customers began at second 1, the fault came at 13
    assert sum(one.bad for one in told_of.requests) == 120


def test_latencies_are_those_of_customers() -> None:
    told_of = report(told())
    assert {one.journey for one in told_of.latency} == {"pix"}
    assert all(0.003 < one.p50 <= one.p99 <= one.max < 0.04 for one in told_of.latency)
    assert [(one.journey, one.within, one.target) for one in told_of.limits] == [("pix", 5.0, 2.0)]


def test_phases_in_order_without_holes() -> None:
    phases = report(told()).phases
    assert [one.name for one in phases] == ["before", "fault", "after", "drain", "end"]
    ends = [one.end_s for one in phases]
    assert [one.start_s for one in phases[1:]] == ends[:-1]
    assert ends[-1] == pytest.approx(58.1)


def test_the_fault_is_shaded_from_its_effect_to_its_undo() -> None:
    fault = report(told()).fault
    assert fault is not None
    assert (fault.kind, fault.targets) == ("gateway.slow", "pix-primary")
    assert fault.asked == "proxy pix-primary, latency_ms 8000"
    assert fault.start_s == pytest.approx(13)
    assert fault.end_s == pytest.approx(43)


def test_a_kill_is_an_instant() -> None:
    fault = report(told(Story("pods.kill", objectives=("recovery",)))).fault
    assert fault is not None
    assert (fault.reversible, fault.end_s, fault.targets) == (False, None, "wallet-a")


def test_a_fault_that_remains_has_no_end() -> None:
    failed = event(30.02, "undo_failed", heals=["1"], why="no answer")
    told_of = report(also(they.without(told(), "undo_verified"), failed))
    assert told_of.fault is not None
    assert told_of.fault.end_s is None
    assert told_of.exit_code == 5
    assert "undo failed: no answer" in [one.text for one in told_of.timeline]


def test_a_run_without_a_fault_has_a_report() -> None:
    told_of = report(also(they.without(told(), "fault"), event(1, "ended_early", why="no fault")))
    assert told_of.fault is None
    assert told_of.exit_code == 3
    assert "ended early: no fault" in [one.text for one in told_of.timeline]


def test_the_timeline_tells_what_happened() -> None:
    abort = event(29.9, "abort", why="SIGTERM was received")
    texts = [one.text for one in report(also(told(), abort)).timeline]
    assert texts == [
        "phase: before",
        "phase: fault",
        "fault: gateway.slow",
        "abort: SIGTERM was received",
        "undo began",
        "undo verified",
        "phase: after",
        "phase: drain",
        "phase: end",
    ]
    instants = [one.at for one in report(told()).timeline]
    assert instants == sorted(instants)


def test_breakers_are_drawn_from_what_they_reported() -> None:
    spans = report(told()).breakers
    opened = [one for one in spans if one.state == "open"]
    assert {one.pod for one in opened} == set(PODS)
    # the fault came at second 13; each opened 2.75 s later, and closed 32 s after it
    assert {(one.start_s, one.end_s) for one in opened} == {(16.0, 45.0)}
    assert {one.gateway for one in spans} == {"pix-primary"}


def test_shares_add_up() -> None:
    told_of = report(told(Story("pods.kill", objectives=("recovery",))))
    for one in (*told_of.zone_share, *told_of.gateway_share):
        assert not one.shares or sum(one.shares.values()) == pytest.approx(1)
    later = [one.shares for one in told_of.zone_share if 20 < one.t_s < 40]
    assert all(set(one) == {"b", "c"} for one in later)
    backup = [one.shares for one in report(told()).gateway_share if 20 < one.t_s < 40]
    assert sum(one.get("pix-backup", 0) == 1 for one in backup) > len(backup) - 3


def test_without_series_the_charts_are_empty_and_the_report_is_there() -> None:
    told_of = report(replace(told(), series={}))
    assert (told_of.breakers, told_of.zone_share, told_of.gateway_share) == ((), (), ())
    assert told_of.verdict == "unknown"
    assert len(told_of.requests) > 0


def test_an_orderly_loss_is_called_one() -> None:
    (note,) = report(told(Story("zones.drop", objectives=("recovery",)))).notes
    assert "orderly, announced loss" in note
    assert report(told()).notes == ()
