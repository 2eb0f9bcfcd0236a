"""Prometheus: the raw answer kept whole, or an error in time."""

from collections.abc import Callable
from itertools import product

import pytest

from holdfast import prometheus as module
from holdfast.clock import SECOND, now_ns
from holdfast.errors import Unreachable
from holdfast.prometheus import Prometheus
from tests.fakes import Broken, FakePrometheus, absent

pytestmark = pytest.mark.integration


def test_what_it_is(prometheus: FakePrometheus) -> None:
    client = Prometheus(prometheus.url + "/")
    assert client.version() == "3.5.0"
    assert client.ready()
    prometheus.ready = False
    assert not client.ready()
    assert client.targets() == [{"labels": {"job": "edge"}, "health": "up"}]


def test_the_answer_is_kept_whole(prometheus: FakePrometheus) -> None:
    prometheus.result = [{"metric": {"pod": "wallet-a"}, "values": [[1.5, "NaN"]]}]
    prometheus.warnings = ["a block could not be read"]
    answer = Prometheus(prometheus.url).raw('up{job="edge"}[60s]', 1767322800.1234)
    assert answer == {
        "status": "success",
        "data": {"resultType": "matrix", "result": prometheus.result},
        "warnings": ["a block could not be read"],
    }
    assert prometheus.asked == [{"query": 'up{job="edge"}[60s]', "time": "1767322800.123"}]


def test_no_data_is_an_answer(prometheus: FakePrometheus) -> None:
    assert Prometheus(prometheus.url).raw("up", 1.0)["data"]["result"] == []


@pytest.mark.parametrize(
    ("code", "document", "words"),
    [
        (400, {"status": "error", "errorType": "bad_data", "error": "parse error"}, "parse error"),
        (422, {"status": "error", "errorType": "execution", "error": "too many"}, "execution"),
        (503, {"status": "error", "errorType": "unavailable"}, "unavailable"),
        (500, {"status": "success", "data": {}}, "500"),
        (200, {"status": "success"}, "200"),
        (200, {"hello": "world"}, "hello"),
    ],
)
def test_an_answer_that_is_an_error(
    prometheus: FakePrometheus, code: int, document: dict[str, object], words: str
) -> None:
    prometheus.failure = code, document
    with pytest.raises(Unreachable, match=words):
        Prometheus(prometheus.url).raw("up", 1.0)


@pytest.mark.parametrize("data", [[], {"activeTargets": 7}, {"version": 7}])
def test_another_form(prometheus: FakePrometheus, data: object) -> None:
    prometheus.failure = 200, {"status": "success", "data": data}
    with pytest.raises(Unreachable, match="Is this Prometheus"):
        Prometheus(prometheus.url).version()
    with pytest.raises(Unreachable, match="Is this Prometheus"):
        Prometheus(prometheus.url).targets()


def test_readiness_is_the_code_alone() -> None:
    with Broken("html", "127.10.0.13") as server:
        assert Prometheus(server.url).ready()


CALLS: dict[str, Callable[[Prometheus], object]] = {
    "version": lambda one: one.version(),
    "ready": lambda one: one.ready(),
    "raw": lambda one: one.raw("up", 1.0),
    "targets": lambda one: one.targets(),
}


WORDS = {
    "500": "500",
    "html": "Welcome to the proxy",
    "redirect": "it answered 302",
    "empty": "closed the connection without a whole answer",
    "silent": "did not answer within 0.3 s",
    "drip": "did not answer within 0.3 s",
}


@pytest.mark.row(42)
@pytest.mark.parametrize(
    ("call", "kind"), [pair for pair in product(CALLS, WORDS) if pair != ("ready", "html")]
)
def test_a_broken_server_is_an_error_within_the_deadline(call: str, kind: str) -> None:
    with Broken(kind, "127.10.0.13") as server:
        began = now_ns()
        with pytest.raises(Unreachable) as caught:
            CALLS[call](Prometheus(server.url, call_s=0.3))
        assert now_ns() - began < 2 * SECOND
        assert WORDS[kind] in str(caught.value)
        assert server.url in str(caught.value)
        assert len(server.seen) == 1, "asked once: not followed, not repeated"


def test_an_absent_server() -> None:
    with pytest.raises(Unreachable, match="could not be reached"):
        Prometheus(absent("127.10.0.13")).version()


def test_a_call_takes_at_most_ten_seconds() -> None:
    assert module.CALL_S == 10.0
