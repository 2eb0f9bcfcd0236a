"""What no record may change: the order of its rows, when it was, and more bad requests.

Each story's truth differs; what is asked of the judge is the same for all of them.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.clock import SECOND
from holdfast.judge import Judgement, judge
from holdfast.model import Interval, Record, Sample
from tests import judge_stories as they
from tests.judge_stories import JOURNEYS, Story, told
from tests.stories import errors, flapping, frozen, ns, one_after_another, partly, slow_start

PROMISES = ("recovery", "availability", "pix-latency", "success", "money")
SHORT = Story(before=12.0, hold=35.0, after=12.0, opens=None, objectives=PROMISES)
HELD = replace(SHORT, hold=75.0)
LONG = replace(SHORT, before=78.0, after=78.0)
STORIES = [
    LONG,
    replace(SHORT, service=errors(3, 12)),
    replace(SHORT, service=frozen(2, 9)),
    replace(HELD, service=one_after_another(errors(0.5, 20), partly(20, 58, 0.3))),
    replace(HELD, service=one_after_another(errors(-2, -1.9), errors(5, 61))),
    replace(HELD, service=slow_start(1, 59, 5.0)),
    replace(HELD, service=flapping(1, 3, 14.0)),
    replace(SHORT, kind="pods.kill", service=errors(0.2, 6)),
]
RANK = {"held": 0, "unknown": 1, "broken": 2}


def ident(story: Story) -> str:
    return f"{STORIES.index(story)}"


# ── more bad requests ─────────────────────────────────────────────────────────────────────────────


def failed(one: Sample) -> Sample:
    return replace(one, outcome="wrong", code=503)


def given_up(one: Sample) -> Sample:
    done_ns = one.scheduled_ns + round(JOURNEYS[one.journey].limit * SECOND)
    return replace(one, outcome="timeout", code=0, done_ns=done_ns)


def slower(one: Sample) -> Sample:
    done_ns = one.scheduled_ns + round((JOURNEYS[one.journey].within + 0.5) * SECOND)
    return replace(one, done_ns=done_ns)


HOW = {one.__name__: one for one in (failed, given_up, slower)}
HARM = st.tuples(
    st.sampled_from(sorted(HOW)),
    st.floats(-80, 150),  # from this second on
    st.sampled_from([0.1, 1.0, 10.0, 60.0]),  # for so long
    st.sampled_from([1, 2, 7, 50, 400]),  # every so many requests
)


def harmed(story: Story, record: Record, harms: list[tuple[str, float, float, int]]) -> Record:
    """The record with good requests turned bad, and an entrance that agrees with it."""
    samples = list(record.samples)
    for how, start, length, every in harms:
        inside = [
            number
            for number, one in enumerate(samples)
            if ns(start) <= one.scheduled_ns < ns(start + length)
            and one.outcome == "ok"
            and one.done_ns - one.scheduled_ns <= JOURNEYS[one.journey].within * SECOND
        ]
        for number in inside[::every]:
            worse = HOW[how](samples[number])
            if worse.done_ns < ns(story.end + 2):  # later, the entrance is not asked any more
                samples[number] = worse
    return they.as_customers_saw(story, record, samples)


@pytest.mark.parametrize("story", STORIES, ids=ident)
@given(harms=st.lists(HARM, min_size=1, max_size=4))
@settings(max_examples=int(__import__("os").environ.get("N", "6")), deadline=None)
def test_more_bad_requests_never_improve_a_verdict(
    story: Story, harms: list[tuple[str, float, float, int]]
) -> None:
    before, after = they.found(told(story)), they.found(harmed(story, told(story), harms))
    better = {name for name in before if RANK[after[name]] < RANK[before[name]]}
    assert not better, (before, after)


def test_an_outage_beyond_the_promise_stays_one_when_a_later_answer_is_still_due() -> None:
    """It ended at 61 s; a request due at 70.5 s is open when the hold ends at 75 s."""
    story = replace(HELD, service=errors(5, 61), objectives=("recovery",))
    judgement = they.judged(harmed(story, told(story), [("slower", 70.5, 0.1, 400)]))
    assert they.verdicts(judgement) == {"recovery": "broken"}
    assert "answers were still due when the hold ended; still bad 60.9" in they.why(
        judgement, "recovery"
    )


def test_what_failed_after_the_last_scrape_of_a_hold_contradicts_nobody() -> None:
    """The entrance was read at 34.3 s, before a request failed; one due before the fault hung."""
    story = replace(SHORT, service=errors(-4, -3.9), objectives=("success", "recovery"))
    harms = [("failed", 34.65, 1.0, 400), ("given_up", -1.81, 0.1, 2)]
    assert they.found(told(story)) == {"success": "broken", "recovery": "held"}
    harm = harmed(story, told(story), harms)
    assert they.found(harm) == {"success": "broken", "recovery": "broken"}


@pytest.mark.parametrize(
    "at",
    [
        -3.0,  # cut off by the fault: it says nothing
        -8.0,  # it had broken its promise before the fault came
    ],
)
def test_a_request_that_hung_when_the_fault_came_excuses_no_other(
    at: float,
) -> None:
    """Ten requests failed in the last two seconds before the fault."""
    story = replace(SHORT, before=20.0, service=errors(-2, -1.75), objectives=("success",))
    record = told(story)
    first = next(one for one in record.samples if one.scheduled_ns >= ns(at))
    samples = [given_up(one) if one == first else one for one in record.samples]
    assert they.found(record) == {"success": "broken"}
    assert they.found(they.as_customers_saw(story, record, samples)) == {"success": "broken"}


# ── the order of rows ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("story", STORIES[2:6], ids=ident)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=2, deadline=None)
def test_judging_is_deterministic_and_knows_no_order_of_rows(story: Story, seed: int) -> None:
    record = told(story)
    mixed = list(record.samples)
    random.Random(seed).shuffle(mixed)
    assert judge(replace(record, samples=tuple(mixed))) == judge(record) == judge(record)


# ── when it was ───────────────────────────────────────────────────────────────────────────────────

MONOTONIC = {"mono_ns", "looked_ns", "began_ns", "returned_ns", "start_ns"}


def moved(record: Record, mono_ns: int, wall_s: int) -> Record:
    """The same run on a machine that was started, or at a time that was, so much later."""

    def later(one: Mapping[str, Any]) -> dict[str, Any]:
        changed = {key: one[key] + mono_ns for key in MONOTONIC & one.keys()}
        if "wall_ns" in one:
            changed["wall_ns"] = one["wall_ns"] + wall_s * SECOND
        return {**one, **changed}

    load = later(record.load)
    load["late_over_50ms"] = [[at + mono_ns, late] for at, late in load["late_over_50ms"]]
    return replace(
        record,
        events=tuple(later(one) for one in record.events),
        pods=tuple(later(one) for one in record.pods),
        readbacks=tuple(later(one) for one in record.readbacks),
        samples=tuple(
            replace(
                one,
                scheduled_ns=one.scheduled_ns + mono_ns,
                sent_ns=one.sent_ns + mono_ns,
                done_ns=one.done_ns + mono_ns,
            )
            for one in record.samples
        ),
        load=load,
        series={name: _later(name, one, wall_s) for name, one in record.series.items()},
        settlements=tuple(
            {**one, "settled_at": one["settled_at"] + wall_s} for one in record.settlements or ()
        ),
    )


def _later(name: str, answer: Any, wall_s: int) -> dict[str, Any]:
    def value(text: str) -> str:  # since when a breaker is in its state is an instant, too
        is_instant = name == "breaker_entered" and float(text) > 0
        return repr(float(text) + wall_s) if is_instant else text

    result = [
        {**one, "values": [[at + wall_s, value(text)] for at, text in one["values"]]}
        for one in answer["data"]["result"]
    ]
    return {**answer, "data": {**answer["data"], "result": result}}


def measured(judgement: Judgement) -> dict[str, Any]:
    """Every value and every number of its detail."""
    return {one.name: [_plain(one.value), _plain(one.detail)] for one in judgement.observations}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [value.low, value.high]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def near(value: Any) -> Any:
    """The same, to the microsecond."""
    if isinstance(value, dict):
        return {key: near(one) for key, one in value.items()}
    if isinstance(value, list):
        return [near(one) for one in value]
    return pytest.approx(value, abs=2e-6) if isinstance(value, float) else value


@pytest.mark.parametrize("story", STORIES[3:8], ids=ident)
@given(mono_ns=st.integers(-(10**12), 10**15), wall_s=st.integers(-(10**8), 10**8))
@settings(max_examples=2, deadline=None)
def test_when_it_was_changes_no_verdict_and_no_value(
    story: Story, mono_ns: int, wall_s: int
) -> None:
    record = replace(they.loaded(told(story), late_over_50ms=[[ns(30), 60.0]]), transfers=None)
    record = they.loaded(record, late_over_50ms_count=1, start_ns=ns(story.start))
    judgement, later = judge(record), judge(moved(record, mono_ns, wall_s))
    assert they.verdicts(later) == they.verdicts(judgement)
    assert measured(later) == near(measured(judgement))
