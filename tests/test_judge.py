"""Verdicts on runs whose truth is known; above all, what must never pass."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.clock import SECOND
from holdfast.judge import Judgement, judge
from holdfast.model import Interval, Json, Record
from tests import judge_stories as they
from tests.judge_stories import (
    FLOOR_S,
    PAID,
    PODS,
    Story,
    also,
    event,
    exit_code,
    found,
    loaded,
    told,
    until,
)
from tests.stories import (
    PIX,
    WALL,
    Customers,
    Fate,
    Service,
    errors,
    frozen,
    ns,
    one_after_another,
    partly,
    postings,
    settlement,
    transfer,
)

HELD, BROKEN, UNKNOWN = "held", "broken", "unknown"
NOTHING = dict.fromkeys(they.FAIRLY, UNKNOWN)
WELL = dict.fromkeys(they.FAIRLY, HELD)
ALL_UNKNOWN = NOTHING | {"money": UNKNOWN}
LONG = Story(hold=70.0, objectives=("recovery", "availability", "pix-latency"))


def recovered(judgement: Judgement) -> Interval:
    value = next(one.value for one in judgement.observations if one.name == "recovery")
    assert isinstance(value, Interval)
    return value


def value(judgement: Judgement, name: str) -> object:
    return next(one.value for one in judgement.observations if one.name == name)


# ── what is well ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "story",
    [
        Story(),
        Story("gateway.cut", opens=0.75),
        Story("gateway.reset", opens=0.75),
        Story("gateway.throttle"),
        Story("pods.kill", objectives=("recovery", "availability", "pix-latency", "restart")),
        Story("zones.drop", objectives=("recovery", "availability", "pix-latency", "restart")),
    ],
    ids=lambda story: story.kind,
)
def test_a_healthy_platform_keeps_its_promises(story: Story) -> None:
    judgement = judge(told(story))
    assert set(they.verdicts(judgement).values()) == {HELD}, judgement.findings
    assert judgement.exit_code == 0


def test_every_promise_at_once() -> None:
    story = Story(
        before=80,
        after=80,
        sent=("pix", "balance"),
        objectives=(*PAID.objectives, "balance-latency", "success"),
    )
    judgement = judge(told(story))
    assert set(they.verdicts(judgement).values()) == {HELD}, judgement.findings
    assert judgement.exit_code == 0


def test_no_outage_is_said_with_what_it_excludes() -> None:
    """Held is then a statement about outages that are too short to be seen."""
    judgement = judge(told())
    assert they.why(judgement, "recovery").startswith("no outage seen, longer than 0.0")
    assert recovered(judgement).low == 0


# ── what must never pass ──────────────────────────────────────────────────────────────────────────


def test_without_a_fault_nothing_is_known() -> None:
    """Customers were fine all the time, and nothing was broken."""
    why = "no fault took effect: customers were not served well before it"
    record = also(they.without(told(), "fault"), event(30.03, "ended_early", why=why))
    assert found(record) == NOTHING
    assert exit_code(record) == 3


LATE_ABOUT = "the load generator was late near an edge"


@pytest.mark.parametrize(
    ("changes", "money"),
    [
        ({"late_over_50ms": [[ns(0.5), 80.0]], "late_over_50ms_count": 1}, HELD),
        ({"late_over_50ms": [[ns(-0.9), 80.0]], "late_over_50ms_count": 1}, HELD),
        ({"late_over_50ms": [[ns(30.5), 80.0]], "late_over_50ms_count": 1}, HELD),
        ({"late_over_50ms": [[ns(20), 80.0]], "late_over_50ms_count": 2}, HELD),
        ({"lateness_ms": {"p99": None}}, HELD),
        ({"lateness_ms": {"p99": nan}}, HELD),
        ({"lateness_ms": {"p99": 50.01}}, HELD),
        ({"no_socket_left": 1}, HELD),
        ({"clocks": 2}, HELD),
        ({"ended": "max_seconds"}, UNKNOWN),
        ({"ended": "pipe"}, UNKNOWN),
        ({"ended": "signal"}, UNKNOWN),
        ({"ended": "error"}, UNKNOWN),
        ({"ended": ""}, UNKNOWN),  # it was killed: this is what it wrote while it ran
        ({"open": 1}, UNKNOWN),
    ],
    ids=str,
)
def test_customers_who_measured_badly_prove_nothing(changes: dict[str, object], money: str) -> None:
    """The money check needs every request's record, and none of its times."""
    record = loaded(told(PAID), **changes)
    assert found(record) == NOTHING | {"money": money}
    assert exit_code(record) == 3


def test_customers_without_an_account_of_themselves_prove_nothing() -> None:
    record = replace(told(PAID), load={})
    assert found(record) == ALL_UNKNOWN
    assert exit_code(record) == 3


def test_a_generator_that_was_late_far_from_every_edge_is_believed() -> None:
    record = loaded(told(), late_over_50ms=[[ns(20), 80.0]], late_over_50ms_count=1)
    assert found(record) == WELL


def test_a_late_generator_near_an_outage_proves_nothing() -> None:
    """Its own pause would look like the end of the outage, or hide it."""
    story = replace(LONG, service=errors(5, 20))
    late = loaded(told(story), late_over_50ms=[[ns(20.4), 60.0]], late_over_50ms_count=1)
    assert found(told(story))["recovery"] == HELD
    assert found(late)["recovery"] == UNKNOWN


@pytest.mark.parametrize(("moved", "expected"), [(0.2, WELL), (0.3, NOTHING), (-0.3, NOTHING)])
def test_a_wall_clock_that_moved_leaves_no_second_source(
    moved: float, expected: dict[str, str]
) -> None:
    """Counters are stamped by the wall clock: witness and agreement would look elsewhere."""
    *events, end = told().events
    later = {**end, "wall_ns": end["wall_ns"] + round(moved * SECOND)}
    record = replace(told(), events=(*events, later))
    assert found(record) == expected
    assert exit_code(record) == (0 if expected == WELL else 3)


WITHOUT_ENTRANCE = {
    "recovery": UNKNOWN,
    "availability": UNKNOWN,
    "pix-latency": UNKNOWN,
    "failover": UNKNOWN,
    "money": HELD,
}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: they.unanswered(record, "entrance_count"),
        lambda record: they.unanswered(record, "entrance_bucket"),
        lambda record: they.nan(record, "entrance_count"),
        lambda record: they.nan(record, "entrance_bucket"),
        lambda record: they.series(record, "entrance_count", lambda _: False),
        lambda record: they.cut(record, "entrance_count", 10, 60),
        lambda record: they.cut(record, "entrance_bucket", 10, 60),
    ],
    ids=["no count", "no bucket", "count NaN", "bucket NaN", "empty", "ended", "bucket ended"],
)
def test_customers_are_not_believed_without_the_entrance(
    spoil: Callable[[Record], Record],
) -> None:
    record = spoil(told(PAID))
    assert found(record) == WITHOUT_ENTRANCE
    assert exit_code(record) == 3


def test_an_entrance_that_saw_fifty_more_bad_ones() -> None:
    """Customers' samples say that all was well, the entrance says otherwise."""
    record = told(PAID)
    others = they.spoiled(record, 50, 5, 15, outcome="wrong", code=503)
    assert sum(one.outcome == "wrong" for one in others) == 50
    seen = replace(record, series={**record.series, **they.entrance(Story(), others)})
    assert found(seen) == WITHOUT_ENTRANCE
    assert "0 bad requests by customers, 50 by the entrance" in they.why(
        they.judged(seen), "recovery"
    )
    assert exit_code(seen) == 3


def test_an_entrance_that_saw_fewer_requests() -> None:
    record = told(PAID)
    half = they.entrance(Story(), tuple(record.samples)[::2])
    assert found(replace(record, series={**record.series, **half})) == WITHOUT_ENTRANCE


def test_samples_that_are_missing_are_noticed() -> None:
    """A disk that was full: the rest of the samples would say that all was well."""
    record = told(PAID)
    kept = tuple(one for one in record.samples if one.outcome == "ok" and one.done_ns % 7)
    assert found(replace(record, samples=kept)) == ALL_UNKNOWN
    empty = replace(record, samples=())
    assert found(empty) == ALL_UNKNOWN
    assert exit_code(empty) == 3


def test_a_journey_of_which_the_customers_gave_no_account_proves_nothing() -> None:
    """The requests that failed are missing, and nobody says how many there were."""
    story = Story(objectives=("recovery", "money"))
    bad = they.spoiled(told(story), 9, 5, 15, outcome="wrong", code=503)
    kept = tuple(one for one in bad if one.outcome == "ok")
    silent = loaded(replace(told(story), samples=kept), journeys={})
    assert found(silent) == {"recovery": UNKNOWN, "money": UNKNOWN}
    assert "gave no account of pix" in they.why(they.judged(silent), "money")


EVERY_KIND = Story(
    before=80,
    after=80,
    sent=("pix", "balance"),
    objectives=tuple(they.OBJECTIVES),
    kind="pods.kill",
)


@pytest.mark.parametrize("limit", [nan, inf])
def test_a_limit_that_is_no_number_promises_nothing(limit: float) -> None:
    record = told(EVERY_KIND)
    limits = {name: {**one, "limit": limit} for name, one in record.plan["objectives"].items()}
    assert found(they.planned(record, objectives=limits)) == dict.fromkeys(limits, UNKNOWN)


def test_customers_who_sent_too_little_prove_nothing() -> None:
    """A tenth of the planned load, honestly accounted for: too few to see anything."""
    record = told(PAID)
    few = they.as_customers_saw(Story(), record, tuple(record.samples)[::10])
    few = replace(
        few,
        transfers=tuple(record.transfers or ())[::10],
        settlements=tuple(record.settlements or ())[::10],
    )
    assert found(few) == NOTHING | {"money": HELD}
    assert exit_code(few) == 3


@pytest.mark.parametrize(
    ("rates", "verdict"), [([40.0, 40.0], HELD), ([40.0, 80.0], UNKNOWN), ([80.0, 40.0], HELD)]
)
def test_a_load_that_changes_is_counted_as_it_was_planned(rates: list[float], verdict: str) -> None:
    """Customers sent 40/s all the time; after the first twelve seconds 80/s was planned, or not."""
    record = told(Story(objectives=("availability",)))
    shape = {"shape": "steps", "rates": rates, "each": 12.0}
    changed = they.planned(record, extension={**record.plan["extension"], "load": {"pix": shape}})
    assert found(changed) == {"availability": verdict}


def test_an_aborted_run_shows_nothing_that_held() -> None:
    record = also(told(PAID), event(29.9, "abort", why="SIGTERM was received"))
    assert found(record) == ALL_UNKNOWN
    assert exit_code(record) == 4
    assert "the run was aborted: SIGTERM was received" in they.why(they.judged(record), "recovery")


def test_what_was_already_broken_at_an_abort_stays_broken() -> None:
    abort = event(29.9, "abort", why="SIGTERM was received")
    lost = replace(told(PAID), settlements=told(PAID).settlements[1:])  # type: ignore[index]
    assert found(also(lost, abort)) == NOTHING | {"money": BROKEN}
    assert exit_code(also(lost, abort)) == 4
    stuck = told(Story(opens=None))
    assert found(stuck)["failover"] == BROKEN
    assert found(also(stuck, abort))["failover"] == UNKNOWN  # it may have opened a moment later


def test_a_hold_that_an_abort_cut_short_shows_no_missing_recovery() -> None:
    """Customers may have recovered in the time that was taken from them."""
    story = replace(LONG, hold=20.0, service=errors(5, 40))
    cut_short = also(told(story), event(19.9, "abort", why="SIGTERM was received"))
    assert found(told(story))["recovery"] == BROKEN
    assert found(cut_short)["recovery"] == UNKNOWN


@pytest.mark.parametrize("cut_short", ["abort", "ended_early"])
def test_an_outage_that_outlived_the_promise_stays_one_however_the_hold_ended(
    cut_short: str,
) -> None:
    story = replace(LONG, hold=70.0, service=errors(5, 90))
    record = also(told(story), event(69.9, cut_short, why="SIGTERM was received"))
    assert found(record)["recovery"] == BROKEN


def test_an_undo_that_failed() -> None:
    record = also(
        they.without(told(), "undo_verified"),
        event(30.02, "undo_failed", heals=["1"], why="remove_toxic: no answer"),
    )
    assert found(record) == NOTHING
    assert exit_code(record) == 5
    why = they.why(they.judged(record), "recovery")
    assert why.startswith("the fault may remain: remove_toxic: no answer")


def test_an_undo_that_was_made_at_the_second_attempt() -> None:
    failed = event(30.01, "undo_failed", heals=["1"], why="no answer")
    assert exit_code(also(told(), failed)) == 0


def test_an_undo_that_nothing_speaks_of() -> None:
    """A reversible fault is there until something says that it was undone."""
    for names in (("undo_verified",), ("undo_began", "undo_verified")):
        record = they.without(told(), *names)
        assert found(record) == NOTHING
        assert exit_code(record) == 5


@pytest.mark.parametrize(
    ("kind", "at", "code"),
    [
        ("gateway.slow", 20.0, 5),  # the fault is there, nobody undid it
        ("gateway.slow", 30.01, 5),  # in the middle of the undo
        ("gateway.slow", 30.03, 4),  # undone
        ("gateway.slow", 40.0, 4),
        ("gateway.slow", -0.05, 5),  # the action may have begun
        ("gateway.slow", -5.0, 4),  # nothing was broken yet
        ("pods.kill", 20.0, 4),  # nothing is left that could be undone
    ],
)
def test_a_record_that_breaks_off(kind: str, at: float, code: int) -> None:
    """The runner was killed: what it did not write down is not known, and never held."""
    record = until(told(Story(kind)), at)
    assert set(found(record).values()) == {UNKNOWN}
    assert exit_code(record) == code


def test_an_undo_made_by_another_process_after_the_runner_was_killed() -> None:
    record = also(until(told(), 20.0), event(500, "undo_began"), event(500.1, "undo_verified"))
    assert found(record) == NOTHING
    assert exit_code(record) == 4


def test_a_run_that_ended_early_proves_nothing() -> None:
    """It was undone at the second attempt; the time after was never watched."""
    record = also(told(), event(30.03, "ended_early", why="the undo failed at first"))
    assert found(record) == NOTHING
    assert exit_code(record) == 3
    assert "the undo failed at first" in they.why(they.judged(record), "recovery")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"transfers": None}, UNKNOWN),
        ({"settlements": None}, UNKNOWN),
        ({"transfers": ({"id": "id-1"},)}, UNKNOWN),
        ({"settlements": ({"end_to_end_id": "E1"},)}, UNKNOWN),
        ({"transfers": (), "settlements": ()}, BROKEN),  # customers were told that they had paid
    ],
    ids=["no ledger", "no bank", "malformed", "malformed bank", "empty"],
)
def test_money_without_records(changes: dict[str, object], verdict: str) -> None:
    record = replace(told(PAID), **changes)  # type: ignore[arg-type]
    assert found(record) == WELL | {"money": verdict}
    assert exit_code(record) == (1 if verdict == BROKEN else 3)


@pytest.mark.parametrize("state", ["received", "reserved", "sent", "unknown"])
def test_money_that_is_still_under_way(state: str) -> None:
    rows = list(told(PAID).transfers or ())
    rows[7] = transfer(7, state=state, postings=postings(("acc-0001", -1010), ("suspense", 1010)))
    record = replace(
        told(PAID),
        transfers=tuple(rows),
        settlements=tuple(one for one in told(PAID).settlements or () if one != settlement(7)),
    )
    assert found(record) == WELL | {"money": UNKNOWN}
    assert "1 have no final state" in they.why(they.judged(record), "money")
    assert exit_code(record) == 3


def summed(*cents: int | None, **changes: object) -> Record:
    """The sum of all postings, seen at second -5 and every five seconds; None: no answer."""
    looks = tuple(
        {"looked_ns": ns(number * 5.0 - 5.0)}
        | ({"error": "no answer"} if one is None else {"postings_cents": one})
        for number, one in enumerate(cents)
    )
    record = told(PAID)
    books = {"transfers": "csv:t", "settlements": "csv:s", "sums": "http://127.9.0.10/sums"}
    plan = {**record.plan, "environment": {**record.plan["environment"], "ledger": books}}
    return replace(record, plan=plan, sums=looks, **changes)  # type: ignore[arg-type]


def test_sums_that_never_drift() -> None:
    assert found(summed(0, 0, 0)) == WELL | {"money": HELD}
    assert value(they.judged(summed(0, 0, 0)), "sums-that-drifted") == 0


def test_a_sum_that_drifted_is_broken_even_when_it_healed() -> None:
    judgement = they.judged(summed(0, -1010, 0, 0))
    assert they.verdicts(judgement) == WELL | {"money": BROKEN}
    assert "sum drifted mid-run: postings_cents -1010 at 22:13:20.0" in they.why(judgement, "money")
    assert value(judgement, "sums-that-drifted") == 1


def test_a_sum_that_drifted_outranks_a_ledger_that_could_not_be_read() -> None:
    assert found(summed(0, 5, 0, transfers=None))["money"] == BROKEN
    assert found(summed(0, 5, 0, transfers=({"id": "id-1"},)))["money"] == BROKEN
    assert found(summed(0, 0, 0, transfers=None))["money"] == UNKNOWN


def test_looks_that_were_not_answered_are_told_and_prove_nothing() -> None:
    judgement = they.judged(summed(0, None, None, 0))
    assert they.verdicts(judgement) == WELL | {"money": HELD}
    assert "2 of 4 looks at the sums were answered" in they.why(judgement, "money")
    (seen,) = [one for one in judgement.observations if one.name == "sums-that-drifted"]
    assert (seen.value, seen.why) == (0, "2 of 4 looks were answered")
    assert found(summed(0, None, 9, None))["money"] == BROKEN


@pytest.mark.parametrize("cents", [(), (None, None)])
def test_sums_that_nobody_saw_leave_it_unknown(cents: tuple[None, ...]) -> None:
    judgement = they.judged(summed(*cents))
    assert they.verdicts(judgement) == WELL | {"money": UNKNOWN}
    assert value(judgement, "sums-that-drifted") is None
    assert "nobody saw the ledger's sums before the fault" in they.why(judgement, "money")
    assert found(summed(*cents, transfers=(), settlements=()))["money"] == BROKEN


@pytest.mark.parametrize(
    ("cents", "when"),
    [
        ((None, 0, 0, 0, 0, 0, 0, 0), "before the fault"),
        ((0, None, None, None, None, None, None, 0), "while the fault lasted"),
        ((0,), "while the fault lasted"),
    ],
)
def test_sums_that_nobody_saw_when_it_mattered_leave_it_unknown(
    cents: tuple[int | None, ...], when: str
) -> None:
    """A total has to be what it was before the fault; the fault lasts from second 0 to 30."""
    judgement = they.judged(summed(*cents))
    assert they.verdicts(judgement) == WELL | {"money": UNKNOWN}
    assert f"nobody saw the ledger's sums {when}; otherwise: 0 of" in they.why(judgement, "money")
    assert value(judgement, "sums-that-drifted") == 0


def test_sums_seen_once_before_the_fault_and_once_while_it_lasted() -> None:
    assert found(summed(0, None, None, None, None, None, 0)) == WELL | {"money": HELD}


BLIND_FAILOVER = WELL | {"failover": UNKNOWN}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: they.unanswered(record, "breaker_state"),
        lambda record: they.nan(record, "breaker_state"),
        lambda record: they.series(record, "breaker_state", lambda _: False),
        lambda record: they.series(record, "breaker_state", lambda one: one["pod"] != PODS[1]),
        lambda record: they.cut(record, "breaker_state", -10, 60),
        lambda record: they.cut(they.cut(record, "breaker_state", 1, 60), "breaker_entered", 1, 60),
        lambda record: replace(record, pods=()),
    ],
    ids=["no answer", "NaN", "empty", "one replica", "before", "after", "nobody saw the pods"],
)
def test_breakers_that_nobody_saw(spoil: Callable[[Record], Record]) -> None:
    record = spoil(told())
    assert found(record) == BLIND_FAILOVER
    assert exit_code(record) == 3


def test_calls_that_nobody_counted_after_the_breakers_opened() -> None:
    record = they.cut(told(), "gateway_calls_count", 20, 60)
    assert found(record)["failover"] == UNKNOWN
    assert exit_code(record) == 3


# ── known truths: recovery ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", [12.0, 20.0, 45.0])
@pytest.mark.parametrize("service", [errors, frozen])
def test_an_outage_that_customers_got_over(service: Callable[..., object], end: float) -> None:
    judgement = judge(told(replace(LONG, service=service(0.2, end))))  # type: ignore[arg-type]
    assert they.verdicts(judgement)["recovery"] == HELD
    interval = recovered(judgement)
    assert interval.low <= end <= interval.high
    assert interval.high - interval.low < 1.0
    assert judgement.exit_code == 0


def test_an_outage_longer_than_the_promise() -> None:
    judgement = judge(told(replace(LONG, hold=95.0, service=errors(0.2, 70))))
    interval = recovered(judgement)
    assert they.verdicts(judgement)["recovery"] == BROKEN
    assert 69 < interval.low <= 70 <= interval.high < 71
    assert judgement.exit_code == 1


def test_an_outage_that_ends_as_the_promise_does_is_not_decided() -> None:
    """The truth lies within the interval, and so does the limit."""
    judgement = judge(told(replace(LONG, hold=95.0, service=errors(0.2, 60.0))))
    interval = recovered(judgement)
    assert interval.low < 60 <= interval.high
    assert they.verdicts(judgement)["recovery"] == UNKNOWN


@pytest.mark.parametrize("hold", [30.0, 70.0])
def test_an_outage_that_only_the_undo_ended(hold: float) -> None:
    """A fault that we end ourselves proves nothing about recovery."""
    judgement = judge(told(replace(LONG, hold=hold, service=errors(0.2, hold + 0.1))))
    assert they.verdicts(judgement)["recovery"] == BROKEN
    assert "not served well" in they.why(judgement, "recovery")
    assert recovered(judgement) == Interval(hold, inf)
    assert judgement.exit_code == 1


def test_an_outage_that_nothing_ended() -> None:
    judgement = judge(told(replace(LONG, hold=30.0, service=errors(0.2, 999))))
    assert they.verdicts(judgement)["recovery"] == BROKEN
    assert judgement.exit_code == 1


def test_the_end_of_the_last_of_several_outages_counts() -> None:
    story = replace(LONG, service=one_after_another(errors(0.2, 5), errors(25, 31)))
    judgement = judge(told(story))
    interval = recovered(judgement)
    assert interval.low <= 31 <= interval.high < 32
    assert they.verdicts(judgement)["recovery"] == HELD


def test_recovery_of_which_the_middle_is_unknown_leaves_latency_unknown() -> None:
    """Where nobody knows when customers had recovered, the time after it is not known either."""
    story = Story(hold=14.0, service=errors(6, 8), objectives=("recovery", "pix-latency"))
    assert found(told(story))["recovery"] != HELD
    assert found(told(story))["pix-latency"] == UNKNOWN


# ── known truths: availability, latency, success ──────────────────────────────────────────────────


def test_what_an_outage_costs() -> None:
    judgement = judge(told(replace(LONG, service=errors(0.2, 20))))
    lost = value(judgement, "bad-seconds")
    assert isinstance(lost, float)
    assert lost == pytest.approx(19.8, abs=0.1)
    assert they.verdicts(judgement)["availability"] == HELD


def test_more_bad_seconds_than_the_promise_allows() -> None:
    """Half of all requests for two minutes are a minute of bad seconds, and more."""
    story = replace(LONG, hold=140.0, service=partly(0.2, 125, 0.5))
    judgement = judge(told(story))
    lost = value(judgement, "bad-seconds")
    assert isinstance(lost, float)
    assert 60 < lost < 66
    assert they.verdicts(judgement)["availability"] == BROKEN


AVAILABLE = Story(hold=70.0, after=50.0, objectives=("availability",))


@pytest.mark.parametrize(
    ("service", "verdict", "seconds"),
    [
        (errors(70.05, 999), UNKNOWN, 50),  # down from the undo on, for longer than anyone saw
        (partly(70.0, 999, 0.5), UNKNOWN, 25),
        (partly(70.0, 109.5, 0.5), HELD, 20),
        (errors(109.0, 111.0), UNKNOWN, 2),  # well for 9 s only, of 10 s
        (errors(40.0, 999), BROKEN, 80),
    ],
    ids=["down", "half", "over", "hardly over", "already too long"],
)
def test_an_outage_that_was_not_over_at_the_end_has_no_known_cost(
    service: Service, verdict: str, seconds: float
) -> None:
    judgement = judge(told(replace(AVAILABLE, service=service)))
    assert they.verdicts(judgement) == {"availability": verdict}
    lost = value(judgement, "bad-seconds")
    if verdict == HELD:
        assert lost == pytest.approx(seconds, abs=2)
    else:
        assert isinstance(lost, Interval)
        assert lost.low == pytest.approx(seconds, abs=2)
        assert lost.high == inf
        assert they.why(judgement, "availability").startswith(f"> {lost.low:.2f} s of bad")


def test_a_minute_without_service_is_a_minute_however_busy_the_rest() -> None:
    """Nobody was served for 70 s at 40/s; then 400/s were."""
    story = Story(before=12.0, hold=80.0, after=60.0, objectives=("availability",))
    down = errors(0.0, 70.0)
    quiet = Customers(PIX, 40.0, -12.0, 80.0).meet(down)
    busy = Customers(PIX, 400.0, 80.0, 140.0, seed=2).meet(down)
    sent = [replace(one, id=f"id-{n}", account="acc-0001") for n, one in enumerate(quiet + busy)]
    record = they.as_customers_saw(story, told(story), sent)
    load = {"pix": {"shape": "steps", "rates": [40.0, 400.0], "each": 93.0}}
    extension = {**record.plan["extension"], "load": load}
    judgement = judge(they.planned(record, extension=extension))
    assert they.verdicts(judgement) == {"availability": BROKEN}
    assert value(judgement, "bad-seconds") == pytest.approx(70.0, abs=0.1)
    impact = next(one for one in judgement.observations if one.name == "impact")
    assert impact.detail["seconds_at_its_rate"] == pytest.approx(70.0, abs=0.1)


def test_one_in_fifty_is_too_slow() -> None:
    story = replace(LONG, objectives=("pix-latency",))
    record = told(story)
    slow = tuple(
        replace(one, done_ns=one.sent_ns + 6 * SECOND) if number % 50 == 0 and inside else one
        for number, one in enumerate(record.samples)
        for inside in [not -7 < (one.scheduled_ns - ns(0)) / SECOND < 1]
    )
    judgement = judge(they.as_customers_saw(story, record, slow))
    assert they.verdicts(judgement) == {"pix-latency": BROKEN}
    assert judgement.exit_code == 1


QUERIED = Story(after=24.0, sent=("pix", "balance"), objectives=("balance-latency",))


@pytest.mark.parametrize(
    ("took", "outcome", "code", "verdict"),
    [
        (8.0, "wrong", 504, BROKEN),
        (8.0, "reset", 0, BROKEN),
        (10.01, "connect", 0, BROKEN),
        (2.001, "wrong", 200, BROKEN),
        (1.0, "timeout", 200, BROKEN),  # asked again until a shorter limit than the promise
        (1.999, "wrong", 504, HELD),  # failed, and not slow: availability is about that
        (0.001, "connect", 0, HELD),
    ],
)
def test_a_request_is_slow_however_it_ended(
    took: float, outcome: str, code: int, verdict: str
) -> None:
    """Every other query after the undo; the promise is 2 s."""
    record = told(QUERIED)
    ended = tuple(
        replace(one, done_ns=one.scheduled_ns + round(took * SECOND), outcome=outcome, code=code)
        if one.journey == "balance" and ns(31) < one.scheduled_ns < ns(41) and number % 2
        else one
        for number, one in enumerate(record.samples)
    )
    judgement = judge(they.as_customers_saw(QUERIED, record, ended))
    assert they.verdicts(judgement) == {"balance-latency": verdict}
    after = next(one for one in judgement.observations if one.name == "balance-latency-after")
    assert after.detail["count"] == (200 if verdict == BROKEN else 0)
    assert (after.detail["p95_at_most_s"] is None) == (verdict == BROKEN)


STEADY = Story(before=160.0, hold=30.0, after=160.0, objectives=("success",))  # 6,400 and 6,400


def failing(number: int, start: float, end: float) -> Record:
    record = told(STEADY)
    bad = they.spoiled(record, number, start, end, outcome="wrong", code=503)
    return they.as_customers_saw(STEADY, record, bad)


@pytest.mark.parametrize(("number", "verdict"), [(0, HELD), (1, HELD), (13, BROKEN), (6, UNKNOWN)])
@pytest.mark.parametrize("window", [(-160, -1), (31, 190)], ids=["before", "after"])
def test_failures_in_steady_state(number: int, verdict: str, window: tuple[int, int]) -> None:
    """0.2 % is broken; nothing is pooled: one phase decides for both."""
    record = failing(number, *window)
    assert found(record) == {"success": verdict}
    assert exit_code(record) == {HELD: 0, BROKEN: 1, UNKNOWN: 3}[verdict]


def test_one_failure_in_three_thousand_decides_nothing() -> None:
    story = replace(STEADY, before=75.0, after=75.0)
    record = told(story)
    one = they.spoiled(record, 1, -60, -50, outcome="wrong", code=503)
    assert found(record) == {"success": HELD}
    judgement = judge(they.as_customers_saw(story, record, one))
    assert they.verdicts(judgement) == {"success": UNKNOWN}
    assert "before: 1 of 2999 failed, at most 0.158" in they.why(judgement, "success")


def test_two_thousand_requests_without_a_failure_decide_nothing() -> None:
    story = replace(STEADY, before=50.0, after=80.0)
    assert found(told(story)) == {"success": UNKNOWN}


def looked(record: Record, phase: str, at: float, n: int, failed: int) -> Record:
    """The record of a run that had counted so many when it decided whether the phase grows."""
    counts = {"success": {"n": n, "failed": failed}}
    return also(record, event(at, "look", phase=phase, grows=True, counts=counts))


@pytest.mark.parametrize(("phase", "at", "bad"), [("before", -80, -150), ("after", 110, 35)])
def test_a_second_look_may_err_with_what_the_first_left_only(
    phase: str, at: float, bad: int
) -> None:
    """1 of 6,400 passes by itself; not when 1 of 3,000 had been seen, since 0 would have passed."""
    record = failing(1, bad, bad + 1)
    assert found(record) == {"success": HELD}
    judgement = judge(looked(record, phase, at, 3_000, 1))
    assert they.verdicts(judgement) == {"success": UNKNOWN}
    told_so = "1 of 6399 failed, at most 0.1028% at the second look (first: 1 of 3000)"
    assert told_so in they.why(judgement, "success")
    observed = next(o for o in judgement.observations if o.name == f"success-{phase}")
    assert observed.detail["first_look"] == {"bad": 1, "n": 3_000}


def test_a_second_look_passes_when_the_first_could_not() -> None:
    """2,400 requests without a failure decide nothing, and 6,400 with one do."""
    judgement = judge(looked(failing(1, -60, -59), "before", -100, 2_400, 0))
    assert they.verdicts(judgement) == {"success": HELD}
    assert "at the second look (first: 0 of 2400)" in they.why(judgement, "success")


def test_a_phase_whose_first_look_decided_is_judged_as_one() -> None:
    record = looked(failing(1, -10, -9), "before", -10.5, 5_900, 0)
    judgement = judge(record)
    assert they.verdicts(judgement) == {"success": HELD}
    assert "second look" not in they.why(judgement, "success")


@pytest.mark.parametrize(("n", "failed"), [(3_300, 0), (3_000, 2)])
def test_a_first_look_that_counted_what_is_not_recorded_decides_nothing(
    n: int, failed: int
) -> None:
    """3,200 requests were due by then, and one failed in all."""
    judgement = judge(looked(failing(1, -150, -149), "before", -80, n, failed))
    assert they.verdicts(judgement) == {"success": UNKNOWN}
    assert "(the first look counted others)" in they.why(judgement, "success")


# ── known truths: failover ────────────────────────────────────────────────────────────────────────


def failover(**changes: object) -> Judgement:
    story = replace(Story(objectives=("failover",)), **changes)  # type: ignore[arg-type]
    return judge(told(story))


def test_a_breaker_that_never_opens() -> None:
    judgement = failover(opens=None)
    assert they.verdicts(judgement) == {"failover": BROKEN}
    assert "never opened in wallet-a, wallet-b, wallet-c" in they.why(judgement, "failover")
    assert judgement.exit_code == 1


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, HELD), (1.49, HELD), (1.6, BROKEN), (5.0, BROKEN)]
)
def test_how_late_a_breaker_may_open(factor: float, verdict: str) -> None:
    judgement = failover(opens=factor * FLOOR_S)
    assert they.verdicts(judgement) == {"failover": verdict}
    assert f"its floor is {FLOOR_S:.2f} s" in they.why(judgement, "failover")


@pytest.mark.parametrize(("share", "verdict"), [(1.0, HELD), (0.992, HELD), (0.98, BROKEN)])
def test_what_the_backup_has_to_carry(share: float, verdict: str) -> None:
    judgement = failover(carried=share)
    assert they.verdicts(judgement) == {"failover": verdict}
    assert f"carried {share:.2%}" in they.why(judgement, "failover")


@pytest.mark.parametrize(
    ("calls", "verdict"), [(they.PRIMARY, UNKNOWN), (they.BACKUP, HELD)], ids=str
)
@pytest.mark.parametrize("born", [4.5, 20.5, 31.5])
def test_a_replica_that_came_since_the_fault_has_to_call_the_backup_too(
    calls: str, verdict: str, born: float
) -> None:
    """Nobody waits for its breaker: it was not there when the gateway turned slow."""
    story = Story(objectives=("failover",))
    record, took = told(story), {they.PRIMARY: 2.0, they.BACKUP: 0.02}[calls]
    labels = {"pod": "wallet-d", "job": "wallet-api", "instance": "wallet-d", "gateway": calls}
    labels |= {"outcome": "ok" if calls == they.BACKUP else "timeout", "trial": "false"}
    series = dict(record.series)
    for name, each in (("gateway_calls_count", 13.0), ("gateway_calls_sum", 13.0 * took)):
        points = [
            [WALL + at, repr(each * (min(at, story.hold) - born + 0.5))]
            for at in they.scraped(story, 0.0)
            if at >= born
        ]
        answer = series[name]["data"]["result"] + [{"metric": labels, "values": points}]
        series[name] = {"status": "success", "data": {"resultType": "matrix", "result": answer}}
    more = {"name": "wallet-d", "uid": "uid-wallet-d", "zone": "a", "ready": True}
    pods = tuple(
        {**one, "pods": [*one["pods"], more]} if one["looked_ns"] >= ns(born) else one
        for one in record.pods
    )
    verdict = verdict if born < story.hold else HELD
    assert found(replace(record, series=series, pods=pods)) == {"failover": verdict}


def test_customers_who_lost_requests_before_the_breakers_opened() -> None:
    story = Story(objectives=("failover",), service=errors(1.0, 1.5))
    judgement = judge(told(story))
    assert they.verdicts(judgement) == {"failover": BROKEN}
    assert value(judgement, "lost-before-opening") in (20, 21)
    allowed = {**told(story).plan["extension"], "lost_requests": 21}
    assert found(they.planned(told(story), extension=allowed)) == {"failover": HELD}


def test_what_the_fault_cut_off_is_lost() -> None:
    """Transfers that were under way when the gateway was cut are reset: they were due before."""
    story = Story("gateway.cut", opens=0.75, objectives=("failover",))
    reset = [
        replace(one, done_ns=ns(0.02), outcome="reset", code=0)
        if ns(-1) <= one.scheduled_ns < ns(0)
        else one
        for one in told(story).samples
    ]
    judgement = judge(they.as_customers_saw(story, told(story), reset))
    assert they.verdicts(judgement) == {"failover": BROKEN}
    assert value(judgement, "lost-before-opening") == 40


def test_what_had_failed_before_the_fault_is_not_lost_to_it() -> None:
    """It was due after a slow one that was open when the fault came, and had been refused."""

    def service(sent: float, took: float, _: random.Random) -> Fate:
        if -1.0 <= sent < -0.97:
            return Fate(sent + 0.001, "wrong", 503)
        return Fate(1.0 if -1.6 <= sent < -1.57 else sent + took)

    judgement = judge(told(Story(service=service)))
    assert (value(judgement, "lost-before-opening"), value(judgement, "bad-seconds")) == (0, 0)
    assert they.verdicts(judgement)["failover"] == HELD


def test_the_floor_is_of_the_time_in_which_customers_came() -> None:
    """The run began 3 s before them: a mean over that time would excuse a late breaker."""
    story = Story("gateway.cut", opens=1.6 * 0.75, objectives=("failover",))
    record = told(story)
    events = tuple(
        event(story.start - 3, "anchor")
        if one["event"] == "anchor" and one["mono_ns"] < ns(0)
        else one
        for one in record.events
    )
    calls = record.series["gateway_calls_count"]["data"]["result"]
    idle = [
        {
            **one,
            "values": [
                [WALL + story.start - 8 + number, one["values"][4][1]] for number in range(8)
            ]
            + one["values"][4:],
        }
        for one in calls
    ]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": idle}}
    series = {**record.series, "gateway_calls_count": answer}
    judgement = judge(replace(record, events=they.numbered(events), series=series))
    assert "its floor is 0.75 s" in they.why(judgement, "failover")
    assert they.verdicts(judgement) == {"failover": BROKEN}


def test_the_floor_is_of_the_load_that_met_the_fault() -> None:
    """Four times as many come from 4 s before it on: the mean of before would excuse a late one."""
    story = Story(before=16.0, opens=1.8 * FLOOR_S, objectives=("failover",))
    record = told(story)
    few = [one for n, one in enumerate(record.samples) if n % 4 == 0 or ns(-4) <= one.scheduled_ns]

    def fewer(at: float) -> float:
        return 0.75 * 40 / 3 * min(at - WALL + 20, 16)

    calls = [
        {**one, "values": [[at, repr(float(count) - fewer(at))] for at, count in one["values"]]}
        if (one["metric"]["gateway"], one["metric"]["outcome"]) == (they.PRIMARY, "ok")
        else one
        for one in record.series["gateway_calls_count"]["data"]["result"]
    ]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": calls}}
    record = they.as_customers_saw(story, record, few)
    record = replace(record, series={**record.series, "gateway_calls_count": answer})
    steps = {"pix": {"shape": "steps", "rates": [10.0, 40.0], "each": 12.0}}
    extension = {**record.plan["extension"], "load": steps}
    judgement = judge(they.planned(record, extension=extension))
    assert "its floor is 2.75 s" in they.why(judgement, "failover")
    assert they.verdicts(judgement) == {"failover": BROKEN}


def test_a_replica_whose_calls_are_not_known_leaves_the_floor_unknown() -> None:
    """The rate of two replicas over three would excuse a late breaker."""
    record = told(Story(opens=1.7 * FLOOR_S, objectives=("failover",)))
    assert found(record) == {"failover": BROKEN}
    late = [
        {**one, "values": [pair for pair in one["values"] if pair[0] >= WALL + 1]}
        if one["metric"]["pod"] == PODS[1]
        else one
        for one in record.series["gateway_calls_count"]["data"]["result"]
    ]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": late}}
    series = {**record.series, "gateway_calls_count": answer}
    judgement = judge(replace(record, series=series))
    assert they.verdicts(judgement) == {"failover": UNKNOWN}
    assert "its floor is not known" in they.why(judgement, "failover")


# ── known truths: restart ─────────────────────────────────────────────────────────────────────────


KILLED = Story("pods.kill", hold=70.0, objectives=("restart",))


@pytest.mark.parametrize(
    ("back", "verdict"),
    [(3.0, HELD), (30.0, HELD), (59.9, UNKNOWN), (61.0, BROKEN), (None, BROKEN)],
)
@pytest.mark.parametrize("kind", ["pods.kill", "zones.drop"])
def test_when_the_replacement_is_ready(kind: str, back: float | None, verdict: str) -> None:
    record = told(replace(KILLED, kind=kind, back=back))
    assert found(record) == {"restart": verdict}
    assert exit_code(record) == {HELD: 0, BROKEN: 1, UNKNOWN: 3}[verdict]


@pytest.mark.parametrize(
    "keep",
    [
        lambda at: False,
        lambda at: at > ns(0),
        lambda at: at < ns(0),
        lambda at: at < ns(10),  # ready at 6 s, and nobody looked any more
    ],
    ids=["never", "not before", "not after", "not to the end"],
)
def test_pods_that_nobody_saw(keep: Callable[[int], bool]) -> None:
    record = told(KILLED)
    record = replace(record, pods=tuple(one for one in record.pods if keep(one["looked_ns"])))
    assert found(record) == {"restart": UNKNOWN}
    assert exit_code(record) == 3


def test_looks_that_failed_are_no_looks() -> None:
    record = told(KILLED)
    failed = tuple(
        {"looked_ns": one["looked_ns"], "mono_ns": one["mono_ns"], "error": "no answer"}
        for one in record.pods
    )
    assert found(replace(record, pods=failed)) == {"restart": UNKNOWN}


def test_none_ready_before_is_nothing_to_come_back_to() -> None:
    """A selector that matches nothing would be satisfied at once."""
    record = told(KILLED)
    empty = tuple({**one, "pods": []} for one in record.pods)
    assert found(replace(record, pods=empty)) == {"restart": UNKNOWN}


def test_a_look_during_which_the_fault_came_says_nothing_of_before() -> None:
    """It began before the kill and saw two pods: two would then be whole again at once."""
    record = told(replace(KILLED, back=None))
    torn = {"looked_ns": ns(-0.01), "mono_ns": ns(0.02), "pods": record.pods[-1]["pods"]}
    assert len(torn["pods"]) == 2
    later = [one for one in record.pods if one["looked_ns"] > ns(0)]
    sooner = [one for one in record.pods if one["looked_ns"] < ns(0)]
    assert found(replace(record, pods=(*sooner, torn, *later))) == {"restart": BROKEN}


def test_a_replica_that_was_missing_just_before_the_fault_is_wanted_back() -> None:
    """What was whole in the steady state is what the platform has to come back to."""
    record = told(replace(KILLED, back=None))
    last = max(number for number, one in enumerate(record.pods) if one["looked_ns"] < ns(0))
    pods = list(record.pods)
    pods[last] = {**pods[last], "pods": pods[last]["pods"][:2]}
    assert found(replace(record, pods=tuple(pods))) == {"restart": BROKEN}


def test_a_middle_that_nobody_saw() -> None:
    """The replacement was ready at 6 s; it may have died and come back while nobody looked."""
    record = told(KILLED)
    blind = tuple(
        {"looked_ns": one["looked_ns"], "mono_ns": one["mono_ns"], "error": "no answer"}
        if ns(8) < one["looked_ns"] < ns(64)
        else one
        for one in record.pods
    )
    judgement = judge(replace(record, pods=blind))
    assert they.verdicts(judgement) == {"restart": UNKNOWN}
    assert they.why(judgement, "restart").endswith("but then nobody looked for 57 s")
    short = [one for one in record.pods if not ns(8) < one["looked_ns"] < ns(17)]
    assert found(replace(record, pods=tuple(short))) == {"restart": HELD}


def test_a_replacement_that_died_again() -> None:
    record = told(KILLED)
    again = tuple(
        {**one, "pods": [pod for pod in one["pods"] if pod["name"] != "wallet-d"]}
        if one["looked_ns"] > ns(60)
        else one
        for one in record.pods
    )
    assert found(replace(record, pods=again)) == {"restart": BROKEN}


def heard(at: float, pods: int, ready: Sequence[Json]) -> Json:
    """A look that a watch made: it happened in the 40 ms before this second."""
    return {"looked_ns": ns(at - 0.04), "mono_ns": ns(at), "pods": [*ready[:pods]]}


def also_heard(record: Record, *more: Json) -> Record:
    """The record with more looks, in their order."""
    ordered = sorted((*record.pods, *more), key=lambda one: int(one["mono_ns"]))
    return replace(record, pods=tuple(ordered))


def restart_s(record: Record) -> Interval:
    every = judge(record).observations
    value = next(one.value for one in every if one.name == "replicas-restored")
    assert isinstance(value, Interval)
    return value


def test_a_watch_makes_the_interval_narrow() -> None:
    """The replacement is ready at 6 s, and was heard of: not between two looks a second apart."""
    record = told(replace(KILLED, back=5.98))
    alone, whole = restart_s(record), record.pods[-1]["pods"]
    assert alone.high - alone.low > 1
    found = restart_s(also_heard(record, heard(6, len(whole) - 1, whole), heard(6, 9, whole)))
    assert (found.low, found.high) == pytest.approx((5.96, 6.0))


def test_a_replica_that_was_away_for_a_moment_was_away() -> None:
    """Nobody would have seen it once a second."""
    record = told(KILLED)
    whole = record.pods[-1]["pods"]
    gone = also_heard(record, heard(63.0, len(whole) - 1, whole), heard(63.1, 9, whole))
    assert found(record) == {"restart": HELD}
    assert found(gone) != {"restart": HELD}


def test_a_pod_too_many_for_a_moment_before_the_fault_is_not_wanted_back() -> None:
    """A rollout makes one before it takes another away."""
    record = told(KILLED)
    before = next(one["pods"] for one in record.pods if one["looked_ns"] < ns(-3))
    extra = [*before, {**before[0], "name": "wallet-x", "uid": "uid-wallet-x"}]
    surge = also_heard(record, heard(-2.9, 9, extra), heard(-2.8, 9, before))
    assert found(surge) == {"restart": HELD}
    stayed = also_heard(record, *(heard(-2.9 + n / 10, 9, extra) for n in range(9)))
    assert found(stayed) == {"restart": BROKEN}


def test_a_replica_that_went_right_before_the_fault_is_wanted_back_however_it_was_seen() -> None:
    record = told(replace(KILLED, back=None))
    before = next(one["pods"] for one in record.pods if one["looked_ns"] < ns(-3))
    assert found(also_heard(record, heard(-0.1, 2, before))) == {"restart": BROKEN}


# ── known truths: money ───────────────────────────────────────────────────────────────────────────


def rows(**changes: object) -> Record:
    """The ledger with one row changed."""
    ledger = list(told(PAID).transfers or ())
    ledger[9] = transfer(9, **changes)
    return replace(told(PAID), transfers=tuple(ledger))


DEBIT_ONLY = rows(postings=postings(("acc-0001", -1010)))
PAID_TWICE = replace(told(PAID), settlements=(*(told(PAID).settlements or ()), settlement(9)))
LOST = replace(told(PAID), transfers=tuple(told(PAID).transfers or ())[1:])
UNSETTLED = replace(told(PAID), settlements=tuple(told(PAID).settlements or ())[1:])
OTHERS_MONEY = replace(
    told(PAID), settlements=(*(told(PAID).settlements or ()), settlement(99_999))
)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (DEBIT_ONLY, "debit only"),
        (PAID_TWICE, "paid twice"),
        (LOST, "lost"),
        (UNSETTLED, "settled without settlement record"),
        (OTHERS_MONEY, "settlement without settled transfer"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_money_that_does_not_add_up(record: Record, kind: str) -> None:
    judgement = judge(record)
    assert they.verdicts(judgement) == WELL | {"money": BROKEN}
    assert kind in they.why(judgement, "money")
    assert judgement.exit_code == 1


def test_what_others_settled_after_the_ledger_was_read_is_no_difference() -> None:
    """The bank side was read before the ledger, too: what it did not hold then accuses nobody."""
    known = tuple(told(PAID).settlements or ())
    busy = replace(told(PAID), settlements=(*known, settlement(99_999)))
    assert found(replace(busy, settlements_before=known))["money"] == HELD
    assert found(replace(busy, settlements_before=busy.settlements))["money"] == BROKEN
    assert found(busy)["money"] == BROKEN


def test_a_settlement_of_the_run_that_the_bank_told_late_is_not_excused() -> None:
    """It was made before the ledger was read, which knows nothing of it."""
    known = tuple(told(PAID).settlements or ())
    ghost = {**settlement(99_999), "settled_at": WALL + 5}
    for before in (known, ()):
        record = replace(told(PAID), settlements=(*known, ghost), settlements_before=before)
        assert found(record)["money"] == UNKNOWN
        assert "told after the ledger was read only" in they.why(they.judged(record), "money")
    both = replace(told(PAID), settlements=(*known, ghost), settlements_before=(*known, ghost))
    assert found(both)["money"] == BROKEN


@pytest.mark.parametrize(
    ("books", "at", "verdict"),
    [
        (
            {"read_wall_ns": 43 * SECOND},
            44.0,
            HELD,
        ),  # customers stopped at 42 s, the run ended at 45
        ({"read_wall_ns": 43 * SECOND}, 42.5, UNKNOWN),
        ({}, 44.0, UNKNOWN),  # nobody says when
        ({"read_wall_ns": 0}, 41.0, UNKNOWN),  # before customers stopped: that cannot be
        ({"read_wall_ns": 9_000 * SECOND}, 50.0, HELD),  # collected again, long afterwards
        ({"read_wall_ns": "43"}, 44.0, UNKNOWN),
        ({"read_wall_ns": True}, 44.0, UNKNOWN),
    ],
)
def test_what_others_settled_while_both_sides_were_read_is_excused(
    books: dict[str, Any], at: float, verdict: str
) -> None:
    """They are read before the run's end, while the last scrape is waited for."""
    if type(books.get("read_wall_ns")) is int:
        books = {"read_wall_ns": round(WALL * SECOND) + books["read_wall_ns"]}
    known = tuple(told(PAID).settlements or ())
    other = {**settlement(99_999), "settled_at": WALL + at}
    record = replace(told(PAID), settlements=(*known, other), settlements_before=known, books=books)
    assert found(record)["money"] == verdict


@pytest.mark.parametrize("off", [-3600.0, -60.0, -13.5, 30.0])
def test_a_bank_whose_clock_does_not_fit_excuses_nothing(off: float) -> None:
    """By its clock, the money that nobody asked for left before the run, or after it."""
    ghost = {**settlement(99_999), "settled_at": WALL + 5}
    those = [*(told(PAID).settlements or ()), ghost]
    moved = tuple({**one, "settled_at": one["settled_at"] + off} for one in those)
    record = replace(told(PAID), settlements=moved, settlements_before=moved[:-1])
    assert found(record)["money"] == UNKNOWN
    assert "clock does not fit" in they.why(they.judged(record), "money")
    alone = replace(record, settlements=moved[:-1])
    assert found(alone)["money"] == UNKNOWN


def test_a_bank_that_settled_nothing_of_ours_does_not_show_its_clock() -> None:
    story = replace(PAID, service=errors(-99, 999), objectives=("money",))
    ghost = {**settlement(99_999), "settled_at": WALL - 3600}
    assert found(told(story)) == {"money": HELD}
    record = replace(told(story), settlements=(ghost,))
    assert found(record) == {"money": UNKNOWN}
    assert "nobody knows if its clock fits" in they.why(they.judged(record), "money")


@pytest.mark.parametrize(
    ("account", "at", "verdict"),
    [
        ("acc-0001", WALL + 5, UNKNOWN),
        ("acc-0001", WALL + 100, UNKNOWN),  # after the run: a retry that came late
        ("acc-0001", WALL - 40, HELD),  # before the run
        ("acc-7777", WALL + 5, HELD),  # of others, who pay as they like
    ],
)
def test_a_payment_from_our_customers_account_that_none_asked_for(
    account: str, at: float, verdict: str
) -> None:
    """The wallet paid a transfer again, under an id and a number of its own."""
    moved = postings((account, -1010), ("settlement:pix", 1000), ("fees", 10))
    again = transfer(88_888, id="again-9", account=account, postings=moved)
    paid = {**settlement(88_888), "settled_at": at}
    record = replace(
        told(PAID),
        transfers=(*(told(PAID).transfers or ()), again),
        settlements=(*(told(PAID).settlements or ()), paid),
    )
    assert found(record)["money"] == verdict
    if verdict == UNKNOWN:
        assert "none of them asked for (again-9)" in they.why(they.judged(record), "money")


def test_every_journey_that_pays_is_ours() -> None:
    """TED beside PIX, from the same accounts."""
    record = told(PAID)
    sent = [
        replace(one, journey="ted") if number % 3 == 0 else one
        for number, one in enumerate(record.samples)
    ]
    journeys = {**record.plan["journeys"], "ted": record.plan["journeys"]["pix"]}
    both = they.planned(replace(record, samples=tuple(sent)), journeys=journeys)
    extension = {**record.plan["extension"], "load": {"pix": 80 / 3, "ted": 40 / 3}}
    both = they.planned(replace(both, load=they.load(sent)), extension=extension)
    assert found(both)["money"] == HELD


def test_a_transfer_whose_answer_had_the_right_status_has_to_be_in_the_ledger() -> None:
    """The body of the answer was not good, so the customer's request was not good either."""
    record = told(PAID)
    first = next(iter(record.samples))
    answered = (replace(first, outcome="wrong", code=200), *tuple(record.samples)[1:])
    gone = replace(
        record,
        samples=answered,
        transfers=tuple(one for one in record.transfers or () if one["id"] != first.id),
        settlements=tuple(record.settlements or ())[1:],
    )
    assert found(gone)["money"] == BROKEN
    assert "lost" in they.why(they.judged(gone), "money")
    for codes, verdict in (
        ((201, 200), BROKEN),  # it was made, and the last question was answered
        ((200, 201), HELD),  # the first question was not answered well
        ((200, 200), HELD),
    ):
        steps = [{"good": {"status": [code]}} for code in codes]
        pix = {**record.plan["journeys"]["pix"], "good": None, "steps": steps}
        assert found(they.planned(gone, journeys={"pix": pix}))["money"] == verdict


def test_settlements_of_transfers_made_before_the_run_are_not_ours() -> None:
    """The bank side answers with more than was asked for; the ledger began later."""
    old = {**settlement(99_999), "settled_at": WALL - 40}
    record = replace(told(PAID), settlements=(*(told(PAID).settlements or ()), old))
    assert found(record)["money"] == HELD


# ── exit codes, and the same verdict each time ────────────────────────────────────────────────────


def test_exit_codes_by_rank() -> None:
    """5 a fault may remain, 4 aborted, 1 broken, 3 unknown, 0 held."""
    broken = replace(told(PAID), settlements=tuple(told(PAID).settlements or ())[1:])
    unknown = they.unanswered(told(PAID), "breaker_state")
    both = they.unanswered(broken, "breaker_state")
    abort = event(29.9, "abort", why="SIGINT was received")
    failed = event(30.5, "undo_failed", heals=["1"], why="no answer")
    assert exit_code(told(PAID)) == 0
    assert exit_code(unknown) == 3
    assert exit_code(both) == 1
    assert exit_code(also(both, abort)) == 4
    assert exit_code(also(both, abort, failed)) == 5


def test_the_same_record_is_judged_the_same() -> None:
    record = told(replace(LONG, service=errors(5, 20), objectives=PAID.objectives))
    assert judge(record) == judge(record)


def test_the_order_of_samples_does_not_matter() -> None:
    record = told(replace(LONG, service=errors(5, 20), objectives=PAID.objectives))
    mixed = list(record.samples)
    random.Random(7).shuffle(mixed)
    assert judge(replace(record, samples=tuple(mixed))) == judge(record)


# ── less evidence ─────────────────────────────────────────────────────────────────────────────────

BAD = Story(
    opens=None,
    service=one_after_another(errors(-6, -5.9), errors(6, 30.1)),
    objectives=(*PAID.objectives, "restart", "success"),
)
BAD_KILL = replace(BAD, kind="pods.kill", back=None, opens=FLOOR_S, hold=70.0)
SPAN = st.tuples(st.floats(-15, 45), st.floats(0, 60)).map(lambda one: (one[0], one[0] + one[1]))
LOSSES = st.one_of(
    st.tuples(st.just("answer"), st.sampled_from(sorted(told(BAD).series)), st.none()),
    st.tuples(st.just("samples of"), st.sampled_from(sorted(told(BAD).series)), SPAN),
    st.tuples(st.sampled_from(["pods", "readbacks"]), st.none(), SPAN),
    st.tuples(st.sampled_from(["samples", "transfers", "settlements"]), st.none(), SPAN),
)


def lost(record: Record, what: str, name: str | None, span: tuple[float, float] | None) -> Record:
    """The record without something."""
    start, end = span or (0.0, 0.0)
    if what == "answer":
        return they.unanswered(record, str(name))
    if what == "samples of":
        return they.cut(record, str(name), start, end) if name in record.series else record
    if what in ("transfers", "settlements"):
        return replace(record, **{what: None})  # type: ignore[arg-type]
    instant = "scheduled_ns" if what == "samples" else "looked_ns"
    rows = [one if what != "samples" else asdict(one) for one in getattr(record, what)]
    kept = [
        one
        for one, row in zip(getattr(record, what), rows, strict=True)
        if not ns(start) <= row[instant] < ns(end)
    ]
    return replace(record, **{what: tuple(kept)})  # type: ignore[arg-type]


@pytest.mark.parametrize("story", [BAD, BAD_KILL], ids=lambda one: one.kind)
@given(losses=st.lists(LOSSES, min_size=1, max_size=3))
@settings(max_examples=8)
def test_less_evidence_never_makes_a_promise_held(
    story: Story, losses: list[tuple[str, str | None, tuple[float, float] | None]]
) -> None:
    """What is missing may make a finding unknown; it never speaks for the platform."""
    whole = record = told(story)
    for what, name, span in losses:
        record = lost(record, what, name, span)
    before = they.found(whole)
    after = they.found(record)
    better = {name for name in after if after[name] == HELD and before[name] != HELD}
    assert not better, (losses, judge(record).findings)
