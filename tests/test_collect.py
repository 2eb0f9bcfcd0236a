"""What is asked when a run is over, and what is left where nobody answered."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from holdfast.clock import SECOND
from holdfast.collect import collect, span
from holdfast.context import Context
from holdfast.documents import Environment, recorded
from holdfast.errors import InvalidInput
from holdfast.store import Run
from tests.fakes import Broken, FakePrometheus, absent

pytestmark = pytest.mark.integration

HOST = "127.10.0.12"
SERIES = {
    "entrance_count",
    "entrance_bucket",
    "proxy_bytes",
    "up",
    "alerts",
    "breaker_state",
    "breaker_entered",
    "gateway_calls_count",
    "gateway_calls_sum",
    "gateway_calls_bucket",
}
PAYS = {
    "request": {"method": "POST", "path": "/pix"},
    "good": {"status": [201]},
    "within": 5.0,
    "target": 0.25,
    "limit": 8.0,
    "money": True,
}
READS = PAYS | {"within": 2.0, "target": 1.0, "money": False}
JOURNEYS = {"pix-transfer": PAYS, "balance": READS}
BOTH_SIDES = {"transfers.jsonl", "settlements.jsonl", "settlements_before.jsonl"}


class Records(Broken):
    """A ledger and a bank side that answer lines of JSON; `cut` ends in the middle of one."""

    WHOLE = b'{"id": "1", "state": "settled"}\n{"id": "2", "state": "failed"}\n'
    ANSWERS: ClassVar[dict[str, bytes]] = Broken.ANSWERS | {
        "well": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(WHOLE), WHOLE),
        "none": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + WHOLE[:9],
        "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    }


def finished(root: Path, prometheus: str, ledger: str = "", breakers: bool = True) -> Context:
    """A run that took 100 s by its anchors."""
    document: dict[str, Any] = {
        "name": "unit",
        "kubernetes": {"kubeconfig": "none", "cluster_uid": "cluster-1"},
        "prometheus": {"url": prometheus},
        "toxiproxy": [],
        "customers": {"url": "http://127.10.0.10:9", "values": {}},
        "workload": {"namespace": "wallet", "selector": "app=wallet-api"},
        "policy": {"namespaces": ["wallet"]},
    }
    if ledger:
        document["ledger"] = {"transfers": f"{ledger}/t", "settlements": f"{ledger}/s"}
    if breakers:
        document["breakers"] = {"pix-primary": {"failures": 10, "call_limit": 2.0}}
    environment = recorded(Environment, document, "environment")
    run = Run.create(root, "unit")
    plan = {"environment": environment.model_dump(mode="json"), "journeys": JOURNEYS}
    run.write_json("plan.json", plan)
    run.append("events.jsonl", {"event": "anchor"})
    run.append("events.jsonl", {"event": "anchor"})
    return Context(run, environment)


def not_collected(here: Context) -> list[str]:
    return [
        one["why"] for one in here.run.records("events.jsonl") if one["event"] == "not_collected"
    ]


def kept(here: Context) -> set[str]:
    return {one.name for one in here.run.path("series").iterdir()}


@pytest.fixture
def records() -> Iterator[Callable[[str], Records]]:
    """Start a ledger that answers in one way."""
    with contextlib.ExitStack() as stack:
        yield lambda kind: stack.enter_context(Records(kind, HOST))


def test_raw_answers_are_kept_as_they_came(
    tmp_path: Path, prometheus: FakePrometheus, records: Callable[[str], Records]
) -> None:
    prometheus.result = [{"metric": {"a": "b"}, "values": [[1.5, "NaN"]]}]
    prometheus.warnings = ["only half of it"]
    here = finished(tmp_path, prometheus.url, records("well").url)
    collect(here)
    names = {f"{one}.json" for one in SERIES} | BOTH_SIDES
    assert kept(here) == names
    assert not_collected(here) == []
    answer = json.loads(here.run.path("series/up.json").read_text())
    assert answer["data"]["result"] == prometheus.result
    assert answer["warnings"] == ["only half of it"]
    assert here.run.path("series/transfers.jsonl").read_bytes() == Records.WHOLE
    assert here.run.record().books["read_wall_ns"] > span(here)[1].wall_ns


def test_the_whole_run_is_asked_for_and_a_little_more(
    tmp_path: Path, prometheus: FakePrometheus, records: Callable[[str], Records]
) -> None:
    ledger = records("none")
    here = finished(tmp_path, prometheus.url, ledger.url)
    start, end = span(here)
    collect(here)
    queries = [one for one in prometheus.asked if "query" in one]
    assert len(queries) == len(SERIES)
    asked = {one["query"] for one in queries}
    assert 'ALERTS{alertstate="firing"}[10s]' in asked
    assert sum(one.endswith("{}[10s]") for one in asked) == len(SERIES) - 3
    assert {one["time"] for one in queries} == {f"{end.wall_ns / SECOND + 5:.3f}"}
    since = f"since={start.wall_ns / SECOND - 60:.6f}"
    assert ledger.seen == [f"GET /{one}?{since} HTTP/1.1" for one in "sts"]


def test_no_rate_is_ever_asked_for(tmp_path: Path, prometheus: FakePrometheus) -> None:
    """`rate()` tells of the end of an outage most of a minute late."""
    collect(finished(tmp_path, prometheus.url))
    assert prometheus.asked
    assert not any("rate(" in one.get("query", "") for one in prometheus.asked)


def query_for_buckets(prometheus: FakePrometheus, metric: str) -> str:
    (asked,) = [
        one["query"]
        for one in prometheus.asked
        if metric in one["query"] and "_bucket" in one["query"]
    ]
    return asked


def test_of_the_calls_to_gateways_only_buckets_at_the_limits_of_payments_are_asked_for(
    tmp_path: Path, prometheus: FakePrometheus
) -> None:
    """The others are nine tenths of the answer, and nobody reads them."""
    collect(finished(tmp_path, prometheus.url))
    asked = query_for_buckets(prometheus, "call_duration")
    assert asked.endswith(r"""_bucket{le=~"0\\.250*|5(\\.0*)?"}[10s]""")
    wanted = re.compile(r"0\.250*|5(\.0*)?")
    assert all(wanted.fullmatch(one) for one in ("0.25", "0.250", "5", "5.0", "5."))
    assert not any(wanted.fullmatch(one) for one in ("0.2", "0125", "0.255", "15", "5.5", "50"))


def test_of_the_entrance_only_buckets_at_what_journeys_promise_are_asked_for(
    tmp_path: Path, prometheus: FakePrometheus
) -> None:
    """It has nine for each pod that ever was, and code, and route."""
    collect(finished(tmp_path, prometheus.url))
    asked = query_for_buckets(prometheus, "edge_request_duration")
    assert asked.endswith(r"""_bucket{le=~"2(\\.0*)?|5(\\.0*)?"}[10s]""")


def test_what_is_not_there_is_not_asked_for(tmp_path: Path, prometheus: FakePrometheus) -> None:
    here = finished(tmp_path, prometheus.url, breakers=False)
    collect(here)
    assert kept(here) == {
        f"{one}.json" for one in SERIES if one.startswith(("entr", "prox", "up", "al"))
    }
    assert here.run.record().transfers is None


def test_a_prometheus_that_is_gone_leaves_its_reason(
    tmp_path: Path, records: Callable[[str], Records]
) -> None:
    """No data is not zero; the ledger is asked all the same."""
    url = absent(HOST)
    here = finished(tmp_path, url, records("none").url)
    collect(here)
    assert kept(here) == BOTH_SIDES
    assert len(not_collected(here)) == 4
    assert all(url in one for one in not_collected(here))
    record = here.run.record()
    assert record.series == {}
    assert record.transfers is not None
    assert list(record.transfers) == []


def test_a_query_that_fails_leaves_no_answer(tmp_path: Path, prometheus: FakePrometheus) -> None:
    prometheus.failure = 422, {"status": "error", "errorType": "bad_data", "error": "too many"}
    here = finished(tmp_path, prometheus.url)
    collect(here)
    assert kept(here) == set()
    assert "bad_data: too many" in not_collected(here)[0]


@pytest.mark.parametrize("kind", ["500", "404", "html", "redirect", "empty", "cut", "busy"])
def test_a_ledger_that_does_not_answer_well(
    tmp_path: Path, prometheus: FakePrometheus, records: Callable[[str], Records], kind: str
) -> None:
    ledger = records(kind)
    here = finished(tmp_path, prometheus.url, ledger.url, breakers=False)
    collect(here)
    record = here.run.record()
    assert (record.transfers, record.settlements) == (None, None)
    assert [ledger.url in one for one in not_collected(here)] == [True]


def test_collecting_again_mends_what_was_missing(
    tmp_path: Path, prometheus: FakePrometheus
) -> None:
    here = finished(tmp_path, prometheus.url)
    prometheus.failure = 503, {"status": "error", "errorType": "unavailable", "error": "starting"}
    collect(here)
    assert kept(here) == set()
    prometheus.failure = None
    collect(here)
    assert kept(here) == {f"{one}.json" for one in SERIES}


@pytest.mark.parametrize("gone", ["transfers", "settlements"])
def test_sides_that_were_read_at_different_times_are_not_mixed(
    tmp_path: Path, prometheus: FakePrometheus, records: Callable[[str], Records], gone: str
) -> None:
    """Read again, one side does not answer: the other would lack, or add, what was paid since."""
    here = finished(tmp_path, prometheus.url, records("well").url)
    collect(here)
    books = {"transfers": f"{records('none').url}/t", "settlements": f"{records('none').url}/s"}
    books[gone] = f"{absent(HOST)}/x"
    document = here.environment.model_dump(mode="json") | {"ledger": books}
    collect(Context(here.run, recorded(Environment, document, "environment")))
    assert not_collected(here)
    for name in BOTH_SIDES:
        assert here.run.path(f"series/{name}").read_bytes() == Records.WHOLE


def test_a_run_that_never_began_has_no_span(make_here: Callable[..., Context]) -> None:
    with pytest.raises(InvalidInput, match="it holds no anchor"):
        span(make_here())
