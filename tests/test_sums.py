"""The ledger's sums are read while a run is on, and every look is written down."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from holdfast.clock import SECOND, until
from holdfast.context import Context
from holdfast.documents import Ledger, checked
from holdfast.errors import Unreachable
from holdfast.probes.ledger import look_at_sums, sums
from holdfast.run.watch import Sums
from holdfast.store import Run
from tests.fakes import Broken, absent
from tests.test_faults import Failing

pytestmark = pytest.mark.integration

HOST = "127.10.0.12"


def telling(text: bytes) -> Broken:
    """A ledger that tells this as its sums."""

    class Telling(Broken):
        ANSWERS: ClassVar[dict[str, bytes]] = {
            "it": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
        }

    return Telling("it", HOST)


def books(url: str) -> Ledger:
    return checked(Ledger, {"transfers": "csv:t", "settlements": "csv:s", "sums": url}, "ledger")


def summing(here: Context, url: str) -> Context:
    return Context(here.run, here.environment.model_copy(update={"ledger": books(url)}))


@pytest.fixture
def here(make_here: Callable[..., Context]) -> Context:
    """A run that has begun, with a window of stability of 10 s."""
    here = make_here()
    stable(here, 10.0)
    here.run.append("events.jsonl", {"event": "anchor"})
    return here


def stable(here: Context, seconds: float) -> None:
    here.run.write_json("plan.json", {**here.plan(), "extension": {"stable": seconds}})


def looks(here: Context) -> list[dict[str, Any]]:
    return here.run.records("samples/sums.jsonl")


def test_a_sum_is_read_since_then() -> None:
    with telling(b'{"postings_cents": -3, "total_cents": 12, "more": "x"}\n') as server:
        assert sums(books(server.url), 5.0) == {"postings_cents": -3, "total_cents": 12}
        assert server.seen == ["GET /?since=5.000000 HTTP/1.1"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"postings_cents": 0}',
        b'{"postings_cents": 0.5}\n',
        b'{"postings_cents": true}\n',
        b'{"postings_cents": null}\n',
        b'{"other": 0}\n',
        b'{"postings_cents": 0}\n{"postings_cents": 0}\n',
        b"[0]\n",
        b'{"postings_cents": 0, }\n',
    ],
)
def test_what_is_no_sum_is_not_nothing(text: bytes) -> None:
    with telling(text) as server, pytest.raises(Unreachable, match=server.url):
        sums(books(server.url), 0.0)


def test_a_look_without_an_answer_leaves_its_reason(here: Context) -> None:
    url = absent(HOST)
    look_at_sums(summing(here, url), 0.0)
    (look,) = looks(here)
    assert url in look["error"]
    assert look["looked_ns"] <= look["mono_ns"]


def test_looks_go_on_until_they_are_stopped(here: Context) -> None:
    with telling(b'{"postings_cents": 0}\n') as server:
        began = here.run.records("events.jsonl")[0]["wall_ns"] / SECOND
        looking = Sums(summing(here, server.url), pytest.fail)
        looking.start()
        assert until(lambda: len(looks(here)) == 2, seconds=9)
        looking.stop()
        assert not looking.is_alive()
        assert [one["postings_cents"] for one in looks(here)] == [0, 0]
        assert server.seen == [f"GET /?since={began:.6f} HTTP/1.1"] * 2
    assert [one["postings_cents"] for one in here.run.record().sums] == [0, 0]


def test_no_short_window_of_stability_passes_between_two_looks(here: Context) -> None:
    stable(here, 0.2)
    with telling(b'{"postings_cents": 0}\n') as server:
        looking = Sums(summing(here, server.url), pytest.fail)
        looking.start()
        assert until(lambda: len(looks(here)) == 3, seconds=4)
        looking.stop()


def test_where_no_sums_are_named_nobody_looks(here: Context) -> None:
    looking = Sums(here, pytest.fail)
    looking.start()
    looking.join(2)
    assert not looking.is_alive()
    assert looks(here) == []


def test_a_look_that_cannot_be_written_down_ends_the_run(here: Context) -> None:
    full = Context(Run(here.run.folder, Failing(0)), summing(here, absent(HOST)).environment)
    told: list[str] = []
    looking = Sums(full, told.append)
    looking.start()
    assert until(lambda: bool(told), seconds=5)
    looking.stop()
    assert "the run cannot be recorded" in told[0]
