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

CALLS = "gateway_calls_count"

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
        return answering(record, name, left)

    return changed


def flat(name: str, **labels: str) -> Change:
    """Those series never rise."""
    return values(name, lambda one: labels.items() <= one.items(), lambda _: 7.0)


def gone(name: str, **labels: str) -> Change:
    """Those series are not in the answer."""
    return lambda record: they.series(record, name, lambda one: not labels.items() <= one.items())


def stopped(name: str, at: float, **labels: str) -> Change:
    """Those series rise no more from a second of the story on."""

    def changed(record: Record) -> Record:
        left = []
        for one in record.series[name]["data"]["result"]:
            last = next(text for then, text in reversed(one["values"]) if then <= WALL + at)
            values = [[then, text if then <= WALL + at else last] for then, text in one["values"]]
            mine = labels.items() <= one["metric"].items()
            left.append({**one, "values": values} if mine else one)
        return answering(record, name, left)

    return changed


def read_every(name: str, every: float, first: float) -> Change:
    """Those series are scraped that rarely, at that second of the story among others."""

    def changed(record: Record) -> Record:
        left = [
            {
                **one,
                "values": [
                    pair for pair in one["values"] if (pair[0] - WALL - first + 0.5) % every < 1
                ],
            }
            for one in record.series[name]["data"]["result"]
        ]
        return answering(record, name, left)

    return changed


def answering(record: Record, name: str, result: list[Any]) -> Record:
    """The record with another answer of that name."""
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    return replace(record, series={**record.series, name: answer})


def more(name: str, start: float, value: Callable[[float], float], **labels: str) -> Change:
    """One more series, scraped each second from one of the story on."""

    def changed(record: Record) -> Record:
        times = [start + number for number in range(60)]
        one = {"metric": labels, "values": [[WALL + at, repr(value(at))] for at in times]}
        return answering(record, name, [*record.series[name]["data"]["result"], one])

    return changed


def called(pod: str, outcome: str) -> dict[str, str]:
    """The labels of a replica's calls to the primary gateway."""
    labels = {"pod": pod, "job": "wallet-api", "instance": pod, "gateway": PRIMARY}
    return {**labels, "outcome": outcome, "trial": "false"}


def upstream(pod: str, code: str) -> dict[str, str]:
    """The labels of what the entrance counted of a pod's answers."""
    labels = {"job": "edge", "instance": "edge:9090", "route": "GET /other", "zone": "a"}
    return {**labels, "code": code, "pod": pod, "upstream": f"uid-{pod}"}


def readbacks(*looks: dict[str, Any]) -> Change:
    return lambda record: replace(record, readbacks=looks)


# ── each proof, shown ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("story", [SLOW, CUT, THROTTLE, KILL], ids=lambda one: one.kind)
def test_a_fault_that_happened(story: Story) -> None:
    assert shown(told(story)) == {"exposed": True, "struck": True, "lasting": True}


def test_a_witness_says_what_it_saw() -> None:
    seen = proofs(told())
    assert seen["exposed"].why == (
        "400 calls to pix-primary succeeded in the last 10 s before the fault, and 208000 bytes"
        " went through its proxy"
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
    ("only trial calls: an open breaker", CUT, lambda _: trials_only(told(CUT)), False),
    ("nobody called it at last", SLOW, stopped("gateway_calls_count", -11), False),
    ("bytes began late", SLOW, lambda one: they.cut(one, "proxy_bytes", -99, 5), None),
    ("the target idled", KILL, flat("entrance_count", upstream=f"uid-{PODS[0]}"), False),
    ("idle at last", KILL, stopped("entrance_count", -11, upstream=f"uid-{PODS[0]}"), False),
    ("target unknown", KILL, gone("entrance_count", upstream=f"uid-{PODS[0]}"), None),
    ("no entrance", KILL, lambda one: they.unanswered(one, "entrance_count"), None),
]
LATE = called(PODS[0], "ok") | {"instance": "first scraped in the hold"}
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
    ("not slow before", SLOW, lambda one: they.cut(one, "gateway_calls_sum", -99, 0), None),
    ("durations unknown", SLOW, lambda one: they.unanswered(one, "gateway_calls_sum"), None),
    ("calls NaN", SLOW, lambda one: they.nan(one, "gateway_calls_count"), None),
    ("counted no more", SLOW, lambda one: they.cut(one, "gateway_calls_count", 2, 99), None),
    ("calls still succeed", CUT, lambda _: bypassed(), False),
    ("one replica was not read", CUT, lambda _: unread(bypassed(), PODS[1], -4.5, 2), None),
    ("a new replica succeeds", CUT, more(CALLS, 5, lambda at: at, **called("new", "ok")), False),
    ("a late one may have", CUT, more(CALLS, 5, lambda _: 9, **LATE), None),
    ("no call failed", CUT, flat("gateway_calls_count", gateway=PRIMARY, outcome="refused"), False),
    ("good calls unknown", CUT, gone("gateway_calls_count", gateway=PRIMARY, outcome="ok"), None),
    ("still fast", THROTTLE, values("proxy_bytes", lambda _: True, lambda one: one * 2), False),
    ("slow before", THROTTLE, values("proxy_bytes", lambda _: True, lambda one: one / 20), False),
    ("bytes unknown", THROTTLE, lambda one: they.unanswered(one, "proxy_bytes"), None),
    ("the process still answers", KILL, lambda _: undead(), False),
    (
        "it answers with 404",
        KILL,
        more("entrance_count", -15.7, lambda at: at + 20, **upstream(PODS[0], "404")),
        False,
    ),
    (
        "it begins to answer with 404",
        KILL,
        more("entrance_count", 9.3, lambda _: 1.0, **upstream(PODS[0], "404")),
        False,
    ),
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
    return answering(record, CALLS, mixed)


def trials_only(record: Record) -> Record:
    """The breaker is open: what succeeds are its trial calls."""
    calm = flat(CALLS, gateway=PRIMARY, outcome="ok")(record)
    trial = called(PODS[0], "ok") | {"trial": "true"}
    return more(CALLS, -16, lambda at: at + 20, **trial)(calm)


def unread(record: Record, pod: str, start: float, end: float) -> Record:
    """A replica's calls were not scraped between two seconds of the story."""
    holed = they.cut(record, CALLS, start, end).series[CALLS]["data"]["result"]
    every = record.series[CALLS]["data"]["result"]
    mixed = [
        with_hole if whole["metric"]["pod"] == pod else whole
        for whole, with_hole in zip(every, holed, strict=True)
    ]
    return answering(record, CALLS, mixed)


def undead(story: Story = KILL) -> Record:
    """Force-deleted, gone from the API, and its process goes on answering."""
    record = told(story)
    alive = they.entrance(replace(story, kind="gateway.slow"), record.samples)
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


def test_counters_that_nobody_read_are_not_flat() -> None:
    """Scrapes lie 30 s apart, the hold between two of them: an old value twice is no silence."""
    story = replace(KILL, before=40.0, hold=21.0, after=40.0)
    alive = read_every("entrance_count", 30, -1.7)(undead(story))
    assert shown(alive)["struck"] is None
    assert shown(read_every("entrance_count", 10, -1.7)(undead(story)))["struck"] is False


def test_counters_are_flat_between_their_own_samples() -> None:
    """What a target answered between the last scrape and its death is not held against it."""
    rarely = read_every("entrance_count", 10, -1.7)(told(replace(KILL, before=40.0)))
    assert shown(rarely)["struck"] is True


def test_counters_read_only_once_are_not_flat() -> None:
    once = they.cut(undead(), "entrance_count", 6, 28)
    assert shown(read_every("entrance_count", 7, -1.7)(once))["struck"] is None


def test_an_entrance_that_speaks_for_a_dead_upstream() -> None:
    """It goes on trying one that does not answer: refused, not answered."""
    tried = more("entrance_count", -15.7, lambda at: at + 20, **upstream(PODS[0], "502"))
    assert shown(tried(told(KILL)))["struck"] is True


def test_a_throttle_that_nobody_measured() -> None:
    """No scrape of the proxy lies in the hold, and as many bytes went through it as ever."""
    story = replace(THROTTLE, before=56.0)
    free = they.proxy_bytes(replace(story, kind="pods.kill"))
    record = replace(told(story), series={**told(story).series, "proxy_bytes": free})
    assert shown(record)["struck"] is False
    assert shown(read_every("proxy_bytes", 30, 0.1)(record))["struck"] is None


def delayed(asked_ms: int, before: float, during: float) -> Record:
    """Every call takes so long before the fault, and so long from then on."""
    record = told()
    calls = they.gateway_calls(replace(SLOW, kind="pods.kill"))
    sums = []
    for one in calls[CALLS]["data"]["result"]:
        then = [(at, float(text)) for at, text in one["values"]]
        at_fault = next(value for at, value in then if at >= WALL)
        spent = [
            [at, repr(min(value, at_fault) * before + max(0.0, value - at_fault) * during)]
            for at, value in then
        ]
        sums.append({**one, "values": spent})
    asked = {"proxy": PRIMARY, "latency_ms": asked_ms}
    events = tuple({**e, "asked": asked} if e["event"] == "fault" else e for e in record.events)
    slow = replace(record, events=events, series={**record.series, **calls})
    return answering(slow, "gateway_calls_sum", sums)


@pytest.mark.parametrize(
    ("asked_ms", "before", "during", "expected"),
    [
        (500, 0.45, 0.45, False),  # it was as slow before
        (500, 0.45, 0.84, False),
        (500, 0.45, 0.86, True),
        (8000, 0.02, 1.7, True),  # callers give up after 2 s
        (8000, 0.02, 1.5, False),
        (8000, 1.7, 2.0, False),  # they were about to
        (8000, 1.5, 1.8, False),
    ],
)
def test_slowed_is_measured_against_the_time_before(
    asked_ms: int, before: float, during: float, expected: bool
) -> None:
    assert shown(delayed(asked_ms, before, during))["struck"] is expected


def test_a_replica_born_in_the_hold_counts_from_zero() -> None:
    """It met the fault as the others did, and was first scraped after some calls had failed."""
    failing = more(CALLS, 5, lambda at: at - 2, **called("new", "refused"))(told(CUT))
    record = more(CALLS, 5, lambda _: 0.0, **called("new", "ok"))(failing)
    assert shown(record) == {"exposed": True, "struck": True, "lasting": True}
    assert "after the fault 46 calls to pix-primary failed" in proofs(record)["struck"].why


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
