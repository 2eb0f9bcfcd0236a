"""Did the fault really happen: three proofs, each shown, missing, and measured by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast.clock import SECOND
from holdfast.judge import judge, timeline
from holdfast.judge.counts import Counts
from holdfast.judge.proof import Proof
from holdfast.judge.witness import witness
from holdfast.model import Record
from tests import judge_stories as they
from tests.judge_stories import BACKUP, PODS, PRIMARY, Story, also, event, looked, told
from tests.stories import WALL, errors, ns

SLOW = Story()
CUT = Story("gateway.cut", opens=0.75)
THROTTLE = Story("gateway.throttle")
KILL = Story("pods.kill", objectives=("recovery", "availability", "pix-latency", "restart"))

type Change = Callable[[Record], Record]


def proofs(record: Record) -> dict[str, Proof]:
    when = timeline.read(record)
    return {one.name: one for one in witness(record, when, Counts(record, when))}


def shown(record: Record) -> dict[str, bool | None]:
    return {name: one.shown for name, one in proofs(record).items()}


def values(
    name: str, keep: Callable[[dict[str, str]], bool], change: Callable[[float], float]
) -> Change:
    """Change the values of some series of an answer."""

    def changed(record: Record) -> Record:
        left = [
            {**one, "values": [[at, repr(change(float(text)))] for at, text in one["values"]]}
            if keep(one["metric"])
            else one
            for one in record.series[name]["data"]["result"]
        ]
        data = {"resultType": "matrix", "result": left}
        answer = {"status": "success", "data": data}
        return replace(record, series={**record.series, name: answer})

    return changed


def flat(name: str, **labels: str) -> Change:
    """Those series never rise."""
    return values(name, lambda one: labels.items() <= one.items(), lambda _: 7.0)


def gone(name: str, **labels: str) -> Change:
    """Those series are not in the answer."""
    return lambda record: they.series(record, name, lambda one: not labels.items() <= one.items())


def readbacks(*looks: dict[str, Any]) -> Change:
    return lambda record: replace(record, readbacks=looks)


# ── each proof, shown ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("story", [SLOW, CUT, THROTTLE, KILL], ids=lambda one: one.kind)
def test_a_fault_that_happened(story: Story) -> None:
    assert shown(told(story)) == {"exposed": True, "struck": True, "lasting": True}


def test_a_witness_says_what_it_saw() -> None:
    seen = proofs(told())
    assert seen["exposed"].why == (
        "520 calls and 208000 bytes went through pix-primary before the fault"
    )
    assert "took 2.00 s on average, where 8 s were added" in seen["struck"].why
    assert seen["lasting"].why == "read back 7 times, the last 0.2 s before the undo"


# ── each proof, missing ───────────────────────────────────────────────────────────────────────────

EXPOSED: list[tuple[str, Story, Change, bool | None]] = [
    ("no bytes: a bypass", SLOW, flat("proxy_bytes"), False),
    ("no calls", SLOW, flat("gateway_calls_count", gateway=PRIMARY, outcome="ok"), False),
    ("bytes unknown", SLOW, lambda one: they.unanswered(one, "proxy_bytes"), None),
    ("bytes NaN", SLOW, lambda one: they.nan(one, "proxy_bytes"), None),
    ("another proxy's bytes", SLOW, gone("proxy_bytes", proxy=PRIMARY), None),
    ("calls unknown", SLOW, gone("gateway_calls_count", gateway=PRIMARY), None),
    ("bytes began late", SLOW, lambda one: they.cut(one, "proxy_bytes", -99, 5), None),
    ("the target idled", KILL, flat("entrance_count", upstream=f"uid-{PODS[0]}"), False),
    ("target unknown", KILL, gone("entrance_count", upstream=f"uid-{PODS[0]}"), None),
    ("no entrance", KILL, lambda one: they.unanswered(one, "entrance_count"), None),
]
STRUCK: list[tuple[str, Story, Change, bool | None]] = [
    (
        "calls were as quick as ever: a bypass",
        SLOW,
        values("gateway_calls_sum", lambda one: one["outcome"] == "timeout", lambda one: one / 100),
        False,
    ),
    (
        "calls took 70 % of what was asked",
        SLOW,
        values("gateway_calls_sum", lambda one: one["outcome"] == "timeout", lambda one: one * 0.7),
        False,
    ),
    ("nobody called", SLOW, flat("gateway_calls_count", outcome="timeout"), None),
    ("durations unknown", SLOW, lambda one: they.unanswered(one, "gateway_calls_sum"), None),
    ("calls NaN", SLOW, lambda one: they.nan(one, "gateway_calls_count"), None),
    ("counted no more", SLOW, lambda one: they.cut(one, "gateway_calls_count", 2, 99), None),
    ("calls still succeed", CUT, lambda _: bypassed(), False),
    ("no call failed", CUT, flat("gateway_calls_count", gateway=PRIMARY, outcome="refused"), False),
    ("good calls unknown", CUT, gone("gateway_calls_count", gateway=PRIMARY, outcome="ok"), None),
    ("still fast", THROTTLE, values("proxy_bytes", lambda _: True, lambda one: one * 2), False),
    ("slow before", THROTTLE, values("proxy_bytes", lambda _: True, lambda one: one / 20), False),
    ("bytes unknown", THROTTLE, lambda one: they.unanswered(one, "proxy_bytes"), None),
    ("the process still answers", KILL, lambda _: undead(), False),
    (
        "its counters vanished",
        KILL,
        lambda one: replace(one, series={**one.series, **vanished(one, PODS[0])}),
        None,
    ),
]
LASTING: list[tuple[str, Story, Change, bool | None]] = [
    ("never read back", SLOW, readbacks(), None),
    ("a hole at the start", SLOW, readbacks(*map(looked, (10.1, 15, 20, 25, 29.8))), None),
    ("a hole of 10.5 s", SLOW, readbacks(*map(looked, (0.1, 5, 10, 20.5, 25, 29.8))), None),
    ("a hole at the end", SLOW, readbacks(*map(looked, (0.1, 5, 10, 15, 20, 24.9))), None),
    ("no answer", SLOW, readbacks(looked(0.1), looked(5, in_place=None, error="silent")), None),
    (
        "it was not there",
        SLOW,
        readbacks(looked(0.1), looked(5), looked(10, in_place=False, missing=["t"]), looked(15)),
        False,
    ),
    (
        "the last look saw the undo",
        SLOW,
        readbacks(*map(looked, (0.1, 5, 10, 15, 20)), looked(29.99, mono_ns=ns(30.01))),
        None,
    ),
    ("killed, yet there", KILL, readbacks(looked(0.1, in_place=False, missing=["pod"])), False),
]


def bypassed() -> Record:
    """A few of the wallet's calls to the gateway went another way."""
    record = told(CUT)
    calls = told(replace(CUT, kind="pods.kill")).series["gateway_calls_count"]
    mixed = [
        other if one["metric"]["pod"] == PODS[1] and one["metric"]["outcome"] == "ok" else one
        for one, other in zip(
            record.series["gateway_calls_count"]["data"]["result"],
            calls["data"]["result"],
            strict=True,
        )
    ]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": mixed}}
    return replace(record, series={**record.series, "gateway_calls_count": answer})


def undead() -> Record:
    """Force-deleted, gone from the API, and its process goes on answering."""
    record = told(KILL)
    alive = they.entrance(replace(KILL, kind="gateway.slow"), record.samples)
    return replace(record, series={**record.series, **alive})


def vanished(record: Record, pod: str) -> dict[str, Any]:
    """The entrance forgot its counters of a pod when it was gone."""
    left = [
        {**one, "values": [pair for pair in one["values"] if pair[0] < WALL + 1]}
        if one["metric"]["pod"] == pod
        else one
        for one in record.series["entrance_count"]["data"]["result"]
    ]
    data = {"resultType": "matrix", "result": left}
    return {"entrance_count": {"status": "success", "data": data}}


CASES = [("exposed", *one) for one in EXPOSED]
CASES += [("struck", *one) for one in STRUCK]
CASES += [("lasting", *one) for one in LASTING]


@pytest.mark.parametrize(
    ("proof", "story", "change", "expected"),
    [(name, *rest) for name, _, *rest in CASES],
    ids=[f"{name}, {what}" for name, what, *_ in CASES],
)
def test_one_proof_missing_leaves_everything_unknown(
    proof: str, story: Story, change: Change, expected: bool | None
) -> None:
    record = change(told(story))
    assert shown(record)[proof] is expected, proofs(record)
    judgement = judge(record)
    assert set(they.verdicts(judgement).values()) == {"unknown"}
    assert judgement.exit_code == 3
    why = they.why(judgement, "recovery")
    assert why.startswith("the fault was not shown (")
    assert proof in why.partition(")")[0]


def test_without_a_fault_no_proof_is_shown() -> None:
    record = they.without(told(), "fault")
    assert shown(record) == {"exposed": False, "struck": False, "lasting": False}
    assert proofs(record)["exposed"].why == "no fault took effect"


def test_what_looks_broken_without_a_fault_is_not_known_to_be() -> None:
    """Customers suffered, but nobody can say that it was our doing."""
    story = replace(SLOW, hold=70.0, service=errors(0.2, 70.1), opens=None)
    record = told(story)
    assert they.found(record)["recovery"] == "broken"
    assert they.found(record)["failover"] == "broken"
    blind = they.unanswered(record, "proxy_bytes")
    assert set(they.found(blind).values()) == {"unknown"}
    why = they.why(judge(blind), "recovery")
    assert "otherwise: pix: not served well" in why


def test_a_moved_clock_leaves_counters_unaligned() -> None:
    *events, end = told().events
    later = {**end, "wall_ns": end["wall_ns"] + SECOND}
    record = replace(told(), events=(*events, later))
    assert shown(record) == {"exposed": None, "struck": None, "lasting": True}


# ── the measure of each ───────────────────────────────────────────────────────────────────────────


def test_a_caller_that_waits_is_slowed_by_all_that_was_asked() -> None:
    """Without a limit of its own, calls of 2 s are a quarter of the 8 s that were added."""
    environment = {**told().plan["environment"], "breakers": {}}
    record = they.planned(told(), environment=environment)
    seen = proofs(they.planned(record, objectives={}))
    assert seen["struck"].shown is False
    assert "callers give up" not in seen["struck"].why


def test_a_hold_too_short_to_miss_anybody() -> None:
    """Counters that are flat for less than a scrape may take are no sign of death."""
    short = told(replace(KILL, hold=7.0))
    assert shown(short)["struck"] is None
    assert shown(told(replace(KILL, hold=9.0)))["struck"] is True


def test_other_gateways_say_nothing() -> None:
    """The backup's calls and bytes are no proof for the primary."""
    only_backup = gone("gateway_calls_count", gateway=PRIMARY)(told())
    assert any(
        one["metric"]["gateway"] == BACKUP
        for one in only_backup.series["gateway_calls_count"]["data"]["result"]
    )
    assert shown(only_backup)["exposed"] is None


def test_a_look_after_the_undo_is_not_asked() -> None:
    late = looked(31, in_place=False, missing=["toxic"])
    record = replace(told(), readbacks=(*told().readbacks, late))
    assert shown(record)["lasting"] is True


def test_a_hole_of_ten_seconds_is_bearable() -> None:
    record = readbacks(*map(looked, (0.1, 10.1, 20.1, 29.8)))(told())
    assert shown(record)["lasting"] is True


def test_signals_under_other_names() -> None:
    """The labels of another platform, told apart by their roles."""
    names = {"gateway": "bank", "outcome": "result"}
    renamed = [
        {**one, "metric": {names.get(key, key): text for key, text in one["metric"].items()}}
        for one in told().series["gateway_calls_count"]["data"]["result"]
    ]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": renamed}}
    record = replace(told(), series={**told().series, "gateway_calls_count": answer})
    assert shown(record)["exposed"] is None
    signals = {"gateway_calls": {"metric": "calls", "labels": names, "where": {}}}
    environment = {**told().plan["environment"], "signals": signals}
    assert shown(they.planned(record, environment=environment))["exposed"] is True


def test_an_abort_in_the_first_second_shows_nothing() -> None:
    short = also(told(replace(KILL, hold=1.0)), event(1.0, "abort", why="SIGTERM was received"))
    assert shown(short)["struck"] is None
    judgement = judge(short)
    assert set(they.verdicts(judgement).values()) == {"unknown"}
    assert judgement.exit_code == 4


def test_each_instance_of_toxiproxy_has_to_be_exposed() -> None:
    """A fault on two instances, of which one carried nothing, was seen by half of the customers."""
    events = tuple(
        {**one, "targets": [*one["targets"], {**one["targets"][0], "toxiproxy": "http://second"}]}
        if one["event"] == "fault"
        else one
        for one in told().events
    )
    seen = proofs(replace(told(), events=events))
    assert seen["exposed"].shown is False
    assert "only 1 of 2 instances of Toxiproxy carried traffic" in seen["exposed"].why


def test_a_replica_that_was_replaced_before_the_run_says_nothing() -> None:
    """Its last sample is not stale when the run begins, and its counters are never seen again."""
    record = told()
    answer = record.series["gateway_calls_count"]
    old = {
        "metric": {**answer["data"]["result"][0]["metric"], "pod": "replaced"},
        "values": [[WALL + SLOW.start - 2.5, "1000"]],
    }
    result = [*answer["data"]["result"], old]
    more = {**answer, "data": {**answer["data"], "result": result}}
    seen = replace(record, series={**record.series, "gateway_calls_count": more})
    assert shown(seen) == {"exposed": True, "struck": True, "lasting": True}
