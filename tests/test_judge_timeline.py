"""When what happened: a hold that was cut short, a clock that moved."""

from dataclasses import replace
from typing import Any

import pytest

from holdfast.clock import SECOND
from holdfast.errors import InvalidInput
from holdfast.judge import judge, timeline
from holdfast.model import Record
from tests import judge_stories as they
from tests.judge_stories import FAIRLY, Story, event, exit_code, found, told
from tests.stories import ns

HELD = dict.fromkeys(FAIRLY, "held")
NOTHING = dict.fromkeys(FAIRLY, "unknown")


# ── a hold that was cut short ─────────────────────────────────────────────────────────────────────


def planned(record: Record, at_least: str) -> Record:
    """The record of an experiment that holds its fault at least so long."""
    wait: dict[str, Any] = {"module": "holdfast.probes.recovery", "func": "wait"}
    wait["arguments"] = {"at_least": at_least, "at_most": "90s"}
    action = {"type": "action", "name": "break", "provider": {"type": "python"}}
    method = [action, {"type": "probe", "name": "hold", "provider": wait}]
    return they.planned(record, experiment={"method": method})


def by(record: Record, who: str) -> Record:
    """The record of a fault that somebody undid."""
    undone = [{**one, "by": who} if "undo" in one["event"] else one for one in record.events]
    return replace(record, events=tuple(undone))


def why(record: Record) -> str:
    return timeline.read(record).ended_early


@pytest.mark.parametrize("at_least", ["30s", "30.9s", "500ms"])
def test_a_fault_that_was_held_as_long_as_planned(at_least: str) -> None:
    assert found(planned(told(), at_least)) == HELD


def test_a_fault_that_was_held_for_less_proves_nothing() -> None:
    """The wait raised: what would have reacted at 40 s was never met."""
    record = planned(told(), "1m")
    assert found(record) == NOTHING
    assert exit_code(record) == 3
    assert why(record) == "the fault was held for 30.0 s, where 60 s were planned"


def test_a_pod_that_was_not_waited_for() -> None:
    """A kill is never undone; its hold ends when the phase after it begins."""
    story = Story("pods.kill", objectives=("recovery", "restart"))
    assert set(found(planned(told(story), "30s")).values()) == {"held"}
    assert set(found(planned(told(story), "60s")).values()) == {"unknown"}


@pytest.mark.parametrize("who", ["person", "watchdog", "reaper"])
def test_a_fault_that_another_undid_proves_nothing(who: str) -> None:
    record = by(told(), who)
    assert found(record) == NOTHING
    assert why(record) == f"the fault was undone by another than the runner ({who})"
    assert found(by(told(), "runner")) == HELD


def test_an_undo_once_the_runner_had_begun_cuts_nothing_short() -> None:
    second = event(30.01, "undo_began", by="person")
    assert found(they.also(by(told(), "runner"), second)) == HELD


def test_what_was_broken_in_a_short_hold_stays_broken() -> None:
    """Too late is too late; that it never came is not known of a hold that was cut short."""
    story = Story(opens=5 * they.FLOOR_S, objectives=("failover", "availability"))
    late = {"failover": "broken", "availability": "unknown"}
    assert found(planned(told(story), "60s")) == late
    never = replace(story, opens=None)
    assert found(planned(told(never), "30s"))["failover"] == "broken"
    assert found(planned(told(never), "60s"))["failover"] == "unknown"


# ── the clock ─────────────────────────────────────────────────────────────────────────────────────


def moved(record: Record, start: float, end: float, seconds: float) -> Record:
    """The record of a wall clock that was wrong between two seconds of the story."""

    def one(told_of: Any) -> Any:
        wrong = ns(start) <= told_of["mono_ns"] < ns(end)
        return {**told_of, "wall_ns": told_of["wall_ns"] + round(wrong * seconds * SECOND)}

    return replace(record, events=tuple(one(each) for each in record.events))


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.2, "held"), (0.3, "unknown"), (-0.3, "unknown")]
)
def test_a_clock_that_moved_and_moved_back(seconds: float, expected: str) -> None:
    """Both anchors are right, and every event between them tells that the clock was not."""
    record = moved(told(), -0.05, 33, seconds)
    assert set(found(record).values()) == {expected}
    drift = next(one for one in judge(record).observations if one.name == "clock-drift")
    assert drift.value == pytest.approx(abs(seconds))


def test_a_clock_that_was_not_read_at_the_end() -> None:
    """The record breaks off after its last phase: nobody knows how the clock went on."""
    assert told().events[-1]["event"] == "anchor"
    record = replace(told(), events=told().events[:-1])
    assert found(record) == NOTHING
    assert exit_code(record) == 4


def test_what_was_written_down_after_the_end_says_nothing_of_the_clock() -> None:
    """The answers were collected again a day later, on another machine."""
    later = event(99_999, "not_collected", why="gone") | {"wall_ns": 5}
    assert found(they.also(told(), later)) == HELD


@pytest.mark.parametrize("where", ["phase", "customers"])
def test_instants_that_lie_years_apart_are_no_run(where: str) -> None:
    """Availability counts its seconds one by one: a forged instant would keep it busy for ever."""
    record, years = told(), 30 * 365 * 86_400 * SECOND
    if where == "phase":
        *others, last = record.events
        forged = replace(record, events=(*others, {**last, "mono_ns": last["mono_ns"] + years}))
    else:
        forged = replace(record, load={**record.load, "start_ns": -years})
    with pytest.raises(InvalidInput, match="over a week apart"):
        judge(forged)
