"""Somebody else broke something: numbers from marks, verdicts only where a named probe saw it."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import SECOND
from holdfast.context import Context
from holdfast.errors import InvalidInput
from holdfast.judge import Judgement, judge
from holdfast.model import Interval, Record
from holdfast.observe import _watch, find
from holdfast.pipeline.story import tell
from holdfast.probes import seen
from holdfast.probes.landed import READBACKS
from holdfast.reports import summary
from holdfast.store import Run
from tests.conftest import RealToxiproxy, configured
from tests.fakes import FakeKubernetes, FakePrometheus
from tests.judge_stories import Story, also, event, laid, told, verdicts, why
from tests.plan_case import Here, everything
from tests.stories import errors, ns
from tests.test_cli import holdfast, refused

STORY = Story(service=errors(0.5, 4), hold=40.0, objectives=("recovery", "availability"))


def observed(*marks: float, looks: Sequence[tuple[float, bool | None]] | None = None) -> Record:
    """The story of an outage from 0.5 s to 4 s, had holdfast only watched it."""
    record = told(STORY)
    kept = [
        one
        for one in record.events
        if one["event"] == "anchor" or one.get("name") in ("before", "drain", "end")
    ]
    witness = "seen.toxics" if looks is not None else ""
    plan = {**record.plan, "control": "observe", "witness": witness}
    readbacks = tuple(
        {"looked_ns": ns(at), "mono_ns": ns(at + 0.1), "in_place": there, "error": "silent"}
        for at, there in looks or []
    )
    bare = replace(record, plan=plan, events=tuple(kept), readbacks=readbacks)
    for at in marks:
        bare = also(bare, event(at, "mark", text="pulled the plug"))
    return bare


def recovery(judgement: Judgement) -> Any:
    return next(one.value for one in judgement.observations if one.name == "recovery")


SEEN = [(-6.0, False), (-1.0, False), (0.2, True), *((5.0 * n, True) for n in range(1, 11))]


# ── marks ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_mark_gives_numbers_and_no_verdict() -> None:
    """Marked at the fault: customers recovered 4 s later, and nobody may call that held."""
    judgement = judge(observed(0.0))
    value = recovery(judgement)
    assert isinstance(value, Interval)
    assert value.low <= 4.0 <= value.high
    assert value.high - value.low < 0.2
    assert set(verdicts(judgement).values()) == {"unknown"}
    assert "the fault was not shown" in why(judgement, "recovery")
    assert "customers recovered" in why(judgement, "recovery")
    assert judgement.exit_code == 3
    assert {one.shown for one in judgement.proofs} == {None}
    assert "a mark is no witness" in judgement.proofs[0].why


def test_times_count_from_the_first_mark() -> None:
    value = recovery(judge(observed(-2.0, 3.0)))
    assert value.low <= 6.0 <= value.high


def test_without_a_mark_times_count_from_the_start() -> None:
    """The observation began 13 s before."""
    value = recovery(judge(observed()))
    assert value.low <= 17.0 <= value.high


def test_an_outage_that_no_witness_saw_is_not_broken_either() -> None:
    record = observed(0.0)
    never = told(replace(STORY, service=errors(0.5, 100)))
    judgement = judge(replace(record, samples=never.samples, load=never.load, series=never.series))
    assert set(verdicts(judgement).values()) == {"unknown"}


# ── a named probe ─────────────────────────────────────────────────────────────────────────────────


def test_a_named_probe_that_saw_it_come_is_a_witness() -> None:
    judgement = judge(observed(looks=SEEN))
    assert [one.shown for one in judgement.proofs] == [True, True, True]
    assert verdicts(judgement)["recovery"] == "held"
    value = recovery(judgement)
    assert value.low <= 4.0 <= value.high


def test_the_fault_came_between_two_looks() -> None:
    """From the last look without it to the first with it: 1 s before to 0.3 s after."""
    fault = judge(observed(looks=SEEN)).timeline.fault
    assert fault
    assert (fault["began_ns"], fault["returned_ns"]) == (ns(-1.0), ns(0.3))


def test_what_was_there_from_the_beginning_was_not_seen_to_come() -> None:
    judgement = judge(observed(looks=[one for one in SEEN if one[1]]))
    assert [one.shown for one in judgement.proofs] == [None, True, True]
    assert verdicts(judgement)["recovery"] == "unknown"


def test_a_probe_that_saw_nothing_shows_nothing() -> None:
    judgement = judge(observed(0.0, looks=[(at, False) for at, _ in SEEN]))
    assert {one.shown for one in judgement.proofs} == {False}
    assert set(verdicts(judgement).values()) == {"unknown"}


@pytest.mark.parametrize(
    "looks",
    [
        [(at, None if at == 15.0 else there) for at, there in SEEN],
        [one for one in SEEN if not 5.0 < one[0] < 20.0],
        SEEN[:4],
        [(at, None) for at, _ in SEEN],
        [],
    ],
    ids=[
        "a look that failed",
        "a hole of 15 s",
        "not to the end",
        "never could look",
        "never looked",
    ],
)
def test_a_probe_that_could_not_look_is_no_witness(
    looks: Sequence[tuple[float, bool | None]],
) -> None:
    judgement = judge(observed(0.0, looks=looks))
    assert set(verdicts(judgement).values()) == {"unknown"}


def test_what_ends_by_itself_proves_no_recovery() -> None:
    """The fault was gone at 10 s: no window of 10 s after the outage lies before that."""
    looks = [(at, there and at < 9) for at, there in SEEN]
    judgement = judge(observed(looks=looks))
    assert judgement.timeline.undo_ns == ns(5.0)  # when it was surely there for the last time
    assert judgement.timeline.undone_ns == ns(10.1)
    assert verdicts(judgement)["recovery"] != "held"


def test_a_fault_that_came_again_is_not_the_one_that_was_measured() -> None:
    """It was gone at 20 s and there again at 25 s: what customers met then counts for nothing."""
    once = judge(observed(looks=[(at, there and at < 18) for at, there in SEEN]))
    assert verdicts(once)["recovery"] == "held"
    again = judge(observed(looks=[(at, there and at != 20) for at, there in SEEN]))
    assert verdicts(again)["recovery"] == "unknown"
    assert "came again" in again.proofs[2].why


# ── reports and commands ──────────────────────────────────────────────────────────────────────────


def test_reports_say_who_made_the_fault_and_show_marks() -> None:
    record = observed(0.0)
    report = tell(record, judge(record), Path("runs/observe/1"))
    assert report.title.startswith("[observe] ")
    assert "mark: pulled the plug" in [one.text for one in report.timeline]
    assert "not made by holdfast" in summary.render(report)


def test_mark_writes_into_a_run_that_is_under_way(tmp_path: Path) -> None:
    record = observed()
    going = replace(record, events=tuple(one for one in record.events if "name" not in one))
    run = laid(going, tmp_path)
    assert holdfast("mark", run.folder, "pulled the plug").code == 0
    marked = run.records("events.jsonl")[-1]
    assert (marked["event"], marked["text"]) == ("mark", "pulled the plug")


def test_a_run_that_has_ended_cannot_be_marked(tmp_path: Path) -> None:
    """Its record is finished, and its verdict follows from it."""
    run = laid(observed(), tmp_path)
    before = run.path("events.jsonl").read_bytes()
    assert "the run has ended" in refused(2, "mark", run.folder, "late")
    assert run.path("events.jsonl").read_bytes() == before


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    with everything(kubernetes, prometheus, tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("seen.nothing", "has no probe 'nothing'. It has: pods_not_ready, toxics"),
        ("recovery.wait", "missing a required argument"),
        ("holdfast.actions.null.no_fault", "no module"),
        ("os.getpid", "no module"),
        ("toxics", "no module"),
    ],
)
def test_what_is_no_probe_is_refused(here: Here, name: str, words: str) -> None:
    environment = here.read().environment
    with pytest.raises(InvalidInput, match="witness") as caught:
        find(name, environment)
    assert words in str(caught.value)
    assert find("seen.toxics", environment) is seen.toxics
    assert find("holdfast.probes.seen.toxics", environment) is seen.toxics


def test_observe_needs_no_right_and_asks_no_cluster(here: Here) -> None:
    """A whole observation, against an entrance that answers 404: numbers, exit code 3."""
    here.kubernetes.forbidden = {"list pods", "delete pods", "patch nodes"}
    here.document = {**here.document, "periods": {"scrape": "1s"}}
    here.document.pop("ledger")
    here.write("journeys.yaml", JOURNEYS)
    here.write("objectives.yaml", OBJECTIVES)
    here.change("extensions.0.load", {"balance": "40/s"})
    here.change("extensions.0.objectives", ["recovery", "availability"])
    runs = here.folder / "runs"
    options = ("-e", here.environment, "--runs", runs, "--load-of", here.path("mine"), "--json")
    ended = holdfast("observe", "--for", "1s", *options)
    assert ended.code == 3, ended
    found = json.loads(ended.stdout)
    assert found["control"] == "observe"
    assert {one["verdict"] for one in found["findings"]} == {"unknown"}
    assert "holdfast mark" in ended.stderr
    assert here.kubernetes.calls == []
    assert not (runs / "budget.jsonl").exists()


@pytest.mark.parametrize("answer", [None, 0, 0.0, "", [], "no data", 1])
def test_a_probe_that_says_neither_yes_nor_no_has_seen_nothing(
    make_here: Callable[..., Context], answer: object
) -> None:
    """No data before the fault is not that there was none."""
    here, end = make_here(), threading.Event()
    end.set()
    _watch(here, lambda **_: answer, end)
    (look,) = here.run.records(READBACKS)
    assert look["in_place"] is None


def watched(here: Here) -> Run:
    """The folder of a second of observing with balance queries."""
    here.document = {**here.document, "periods": {"scrape": "1s"}}
    here.write("journeys.yaml", JOURNEYS)
    here.write("objectives.yaml", OBJECTIVES)
    here.change("extensions.0.load", {"balance": "40/s"})
    here.change("extensions.0.objectives", ["recovery", "availability"])
    options = ("-e", here.environment, "--runs", here.folder / "runs", "--load-of")
    holdfast("observe", "--for", "1s", *options, here.path("mine"), "--json")
    (folder,) = (here.folder / "runs" / "observe").iterdir()
    return Run.open(folder)


def test_the_ledgers_sums_are_looked_at_meanwhile(here: Here) -> None:
    """Here nobody tells them: each look says why."""
    sums = f"{here.document['customers']['url']}/sums"
    here.document = {**here.document, "ledger": {**here.document["ledger"], "sums": sums}}
    looks = watched(here).record().sums
    assert len(looks) == 1
    assert f"{sums}: answered 404" in looks[0]["error"]


def test_both_sides_of_the_money_are_read_while_the_last_scrape_is_waited_for(here: Here) -> None:
    record = watched(here).record()
    phases = {one["name"]: one["wall_ns"] for one in record.events if one["event"] == "phase"}
    assert phases["drain"] < record.books["read_wall_ns"] < phases["end"] - 1.5 * SECOND
    assert (record.transfers, record.settlements) != (None, None)
    assert [*(record.transfers or ()), *(record.settlements or ())] == []


JOURNEYS = {
    "balance": {
        "request": {"method": "GET", "path": "/accounts"},
        "good": {"status": [200]},
        "within": "2s",
        "limit": "2s",
    }
}
OBJECTIVES = {
    name: {"kind": name, "promise": name, "limit": 60, "unit": "s", "source": "test"}
    for name in ("recovery", "availability")
}


def test_a_length_without_a_unit(here: Here) -> None:
    ended = holdfast("observe", "--for", "300", "-e", here.environment)
    assert ended.code == 2
    assert "'300' is not a duration" in ended.stderr


# ── the probes ────────────────────────────────────────────────────────────────────────────────────


def test_a_toxic_on_a_proxy_of_the_policy_is_seen(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    toxic = {"name": "theirs", "type": "latency", "attributes": {"latency": 100}}
    assert not seen.toxics(configured(here))
    toxiproxy.call("POST", "/proxies/ted/toxics", toxic)
    assert not seen.toxics(configured(here))  # not a proxy that the policy names
    toxiproxy.call("POST", "/proxies/pix-primary/toxics", toxic)
    assert seen.toxics(configured(here))
    toxiproxy.call("DELETE", "/proxies/pix-primary/toxics/theirs")
    toxiproxy.call("POST", "/proxies/pix-primary", {"enabled": False})
    assert seen.toxics(configured(here))


def test_a_pod_that_is_not_ready_is_seen(
    kubernetes: FakeKubernetes, wallet: Callable[..., Context]
) -> None:
    here = wallet()
    assert not seen.pods_not_ready(configured(here))
    pod = kubernetes.pods["wallet", "wallet-a"]
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    assert seen.pods_not_ready(configured(here))
    kubernetes.pods.clear()
    assert seen.pods_not_ready(configured(here))
