"""Starting customers, refusing what cannot be sent, and reading samples while they grow."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast import customers
from holdfast.clock import until
from holdfast.customers import Tail, recent
from holdfast.documents import JourneyFile, read_journeys
from holdfast.errors import InvalidInput, Unreachable
from holdfast.store import LOAD_REPORT, SAMPLES, Run
from tests.load_case import environment, journey, start, transfer
from tests.slow_server import SlowServer, serving

URL = "http://127.11.0.5:8080"
HEADER = "journey,scheduled_ns,sent_ns,done_ns,outcome,code,id,account,amount_cents\n"


def rows(first: int, last: int) -> str:
    return "".join(f"balance,{n},{n},{n + 5},ok,200,,,0\n" for n in range(first, last))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path, "test")


def test_the_journeys_that_ship_can_be_sent() -> None:
    journeys = read_journeys(Path(__file__).parents[1] / "experiments" / "journeys.yaml")
    customers.check(environment(URL), journeys, dict.fromkeys(journeys, 1.0))
    assert {name: (one.within, one.target, one.limit) for name, one in journeys.items()} == {
        "pix-transfer": (5.0, 2.0, 10.0),
        "ted-transfer": (5.0, 2.0, 10.0),
        "balance": (2.0, None, 10.0),
    }
    assert [name for name, one in journeys.items() if one.money] == ["pix-transfer", "ted-transfer"]


def request(**more: Any) -> JourneyFile:
    return journey(request={"method": "GET", "path": "/ok", **more})


def steps(take: dict[str, str], path: str, **until: str) -> JourneyFile:
    """Two requests, the second of which may be repeated."""
    good = {"status": [200]}
    first = {"request": {"method": "POST", "path": "/a"}, "good": good, "take": take}
    second: dict[str, Any] = {"request": {"method": "GET", "path": path}, "good": good}
    if until:
        second["until"] = {"body": {"state": "settled"}, **until}
    values = {"who": {"pick": "accounts"}}
    return journey(steps=[first, second], values=values)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (request(path="/a/${acount}"), "acount} is not among its values"),
        (request(path="/a b"), "blank"),
        (request(headers={"X-A": "a\r\nX-B: b"}), "control character"),
        (request(headers={"X A": "a"}), "a header's name"),
        (request(headers={"Content-Length": "5"}), "content-length is set by the customers"),
        (request(headers={"X-Holdfast-Run": "5"}), "x-holdfast-run is set by the customers"),
        (request(path="/${secret:HOLDFAST_TEST}"), "a header's value may hold it"),
        (request(headers={"X-A": "${secret:HOLDFAST_NOT_SET}"}), "variable is not set"),
        (steps({"a": "body.a"}, "/${b}"), "${b} is not among its values"),
        (steps({"who": "body.a"}, "/x"), "who is taken from an answer, and is a value already"),
        (steps({}, "/x", every="1s", at_most="5s"), "not shorter than the journey's limit"),
        (journey(values={"who": {"pick": "nobody"}}), "has no nobody"),
        (journey(values={"n": {"between": [2, 1]}}), "2 is above 1"),
        (journey(values={"id": {"between": [1, 2]}}), "made fresh"),
        (journey(money=True), "needs a value `amount`"),
        (transfer().model_copy(update={"request": journey().request}), "needs `${id}`"),
    ],
)
def test_a_journey_that_cannot_be_sent_is_refused(wrong: JourneyFile, why: str) -> None:
    with pytest.raises(InvalidInput, match="one: ") as error:
        customers.check(environment(URL), {"one": wrong}, {"one": 1.0})
    assert why in str(error.value)


def test_a_load_that_cannot_be_started_is_refused(run: Run) -> None:
    with pytest.raises(InvalidInput, match=r"customers.ca: http://127.11.0.5:8080 is not https"):
        customers.check(environment(URL, ca="/ca.pem"), {"a": journey()}, {"a": 1.0})
    secure = environment("https://127.11.0.5", ca="/none.pem")
    with pytest.raises(InvalidInput, match=r"customers.ca: /none.pem: .*No such file"):
        customers.check(secure, {"a": journey()}, {"a": 1.0})
    with pytest.raises(InvalidInput, match="no such journey"):
        customers.check(environment(URL), {"a": journey()}, {"b": 1.0})
    with pytest.raises(InvalidInput, match="names no journey"):
        customers.check(environment(URL), {"a": journey()}, {})
    assert not run.path("load_plan.json").exists()


@pytest.mark.integration
def test_a_run_has_customers_once(tmp_path: Path) -> None:
    with serving(SlowServer(host="127.11.0.5")) as server:
        case = start(tmp_path, server.url, {"a": journey()}, {"a": 20.0})
        again = case.run, environment(server.url), {"a": journey()}, {"a": 20.0}
        with pytest.raises(InvalidInput, match="already has customers"):
            customers.start(*again, seed=1, max_seconds=5)
        assert case.customers.alive()
        assert case.customers.stop()
        assert not case.customers.alive()
        assert not case.customers.stop()


@pytest.mark.integration
def test_a_process_that_cannot_start_says_why(run: Run) -> None:
    run.path(SAMPLES).write_text(HEADER)
    with pytest.raises(Unreachable, match="File exists"):
        customers.start(run, environment(URL), {"a": journey()}, {"a": 1.0}, seed=1, max_seconds=5)


FORGETFUL = """
import gc, sys, warnings
from pathlib import Path
from holdfast import customers
from holdfast.clock import until
from holdfast.clock import until
from holdfast.store import Run
from tests.load_case import environment, journey

warnings.simplefilter("ignore", ResourceWarning)
run = Run.create(Path(sys.argv[1]), "test")
customers.start(
    run, environment(sys.argv[2]), {"a": journey()}, {"a": 50.0}, seed=1, max_seconds=30
)
gc.collect()
tail, seen = customers.Tail(run), []
def enough():
    seen.extend(tail.read())
    return len(seen) > 50
assert until(enough, seconds=20)
print(run.folder)
"""


@pytest.mark.integration
def test_customers_whom_nobody_holds_live_as_long_as_their_process(tmp_path: Path) -> None:
    with serving(SlowServer(host="127.11.0.6")) as server:
        done = subprocess.run(
            [sys.executable, "-c", FORGETFUL, str(tmp_path), server.url],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
        run = Run(Path(done.stdout.strip()))
        assert until(lambda: run.read_json(LOAD_REPORT)["ended"] == "pipe", seconds=20)


def test_the_tail_reads_each_whole_row_once(run: Run) -> None:
    tail = Tail(run)
    assert tail.read() == []
    with run.path(SAMPLES).open("w") as file:
        file.write(HEADER + rows(1, 3) + "balance,3,3,8,o")
        file.flush()
        assert [one.scheduled_ns for one in tail.read()] == [1, 2]
        assert tail.read() == []
        file.write("k,200,,,0\n" + rows(4, 6))
        file.flush()
        assert [one.scheduled_ns for one in tail.read()] == [3, 4, 5]


@pytest.mark.parametrize(("since", "first"), [(0, 1), (6, 1), (7, 2), (9_990, 9_985), (20_004, 0)])
def test_recent_is_what_was_settled_since(run: Run, since: int, first: int) -> None:
    run.path(SAMPLES).write_text(HEADER + rows(1, 19_999) + "balance,19999,19999,2000")
    found = [one.scheduled_ns for one in recent(run, since)]
    assert found == (list(range(first, 19_999)) if first else [])


def test_before_the_first_request_nothing_is_recent(run: Run) -> None:
    assert recent(run, 0) == []
    run.path(SAMPLES).write_text("journey,sched")
    assert recent(run, 0) == []
