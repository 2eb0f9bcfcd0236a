"""The customers' process against a server whose faults are exactly known."""

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import SECOND, now_ns, sleep, until
from holdfast.load.schedule import schedule
from holdfast.model import Sample, Window
from holdfast.store import SAMPLES
from tests.load_case import WAIT_S, Case, journey, start, transfer
from tests.slow_server import SlowServer, serving

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with serving(SlowServer()) as one:
        yield one


@contextlib.contextmanager
def ended(case: Case) -> Iterator[Case]:
    """The case's process is gone when the block ends, whatever happened in it."""
    try:
        yield case
    finally:
        case.customers.kill()


def from_now(begin_s: float, length_s: float) -> Window:
    begin = now_ns() + round(begin_s * SECOND)
    return Window(begin, begin + round(length_s * SECOND))


def latencies(samples: list[Sample]) -> list[float]:
    return sorted(one.latency for one in samples)


def test_an_outage_of_one_second_is_a_second_of_bad_requests(
    server: SlowServer, tmp_path: Path
) -> None:
    server.outages.append(from_now(1.5, 1.0))
    with ended(start(tmp_path, server.url, {"balance": journey()}, {"balance": 100.0})) as case:
        outage = server.outages[0]
        assert until(lambda: now_ns() > outage.end_ns + SECOND // 2, seconds=WAIT_S)
        bad = [one for one in case.stop() if one.outcome != "ok"]
    assert len(bad) == sum(outage.holds(one.at_ns) for one in server.seen)
    assert abs(len(bad) - 100) <= 2
    assert {(one.outcome, one.code) for one in bad} == {("wrong", 503)}


def test_a_stall_counts_from_the_scheduled_instant_and_nothing_is_sent_twice(
    server: SlowServer, tmp_path: Path
) -> None:
    server.freezes.append(from_now(1.5, 1.0))
    freeze = server.freezes[0]
    with ended(start(tmp_path, server.url, {"pix": transfer()}, {"pix": 200.0})) as case:
        assert until(lambda: now_ns() > freeze.end_ns + SECOND // 2, seconds=WAIT_S)
        samples = case.stop()
    stalled = [one for one in samples if freeze.holds(one.scheduled_ns)]
    assert abs(len(stalled) - 200) <= 2
    assert 0.95 < latencies(samples)[-1] < 1.4
    assert 0.4 < latencies(stalled)[100] < 0.7  # evenly spread over the second
    assert server.most_at_once > 150  # an open loop: no request waited for a connection
    sent = Counter(one.headers["idempotency-key"] for one in server.seen)
    assert sent == Counter(one.id for one in samples)
    assert set(sent.values()) == {1}


def test_each_journey_keeps_its_rate_while_the_server_is_slow(
    server: SlowServer, tmp_path: Path
) -> None:
    journeys = {"pix": transfer("/wait/1"), "balance": journey("/wait/1")}
    with ended(start(tmp_path, server.url, journeys, {"pix": 60.0, "balance": 40.0})) as case:
        case.wait_for(100)
        samples = case.stop()
    assert server.most_at_once > 80
    for name, rate in (("pix", 60), ("balance", 40)):
        due = sorted(one.scheduled_ns for one in samples if one.journey == name)
        steps = {later - earlier for earlier, later in pairwise(due)}
        assert max(steps) - min(steps) <= 1  # nanosecond, from rounding
        assert abs(min(steps) - SECOND / rate) <= 1


def test_a_load_is_sent_as_its_shape_says(server: SlowServer, tmp_path: Path) -> None:
    """Every request at its instant, and no other: what was planned is what is recorded."""
    loads: dict[str, Any] = {
        "recorded": {"shape": "recorded", "instants": [0.0, 0.1, 0.1, 0.35], "over": 0.4},
        "ramp": {"shape": "ramp", "from": 20.0, "to": 200.0, "over": 1.0},
        "poisson": {"shape": "poisson", "rate": 100.0, "seed": 3},
        "steps": {"shape": "steps", "rates": [50.0, 150.0], "each": 0.5},
    }
    journeys = dict.fromkeys(loads, journey())
    with ended(start(tmp_path, server.url, journeys, loads, 1.5)) as case:
        assert case.customers.process.wait(WAIT_S) == 0
        samples, begin = list(case.run.samples()), case.report()["start_ns"]
    found = Counter((one.scheduled_ns - begin, one.journey) for one in samples)
    due = takewhile(lambda one: one[0] < 1.5 * SECOND, schedule(loads, 0))
    assert found == Counter(due)
    at = sorted(ns / SECOND for ns, name in found.elements() if name == "recorded")
    assert at == [0, 0.1, 0.1, 0.35, 0.4, 0.5, 0.5, 0.75, 0.8, 0.9, 0.9, 1.15, 1.2, 1.3, 1.3]
    assert sum(name == "ramp" for _, name in found.elements()) in (209, 210)


def test_what_a_journey_with_money_records(server: SlowServer, tmp_path: Path) -> None:
    with ended(start(tmp_path, server.url, {"pix": transfer()}, {"pix": 100.0})) as case:
        case.wait_for(50)
        samples = case.stop()
    assert all(one.outcome == "ok" and one.code == 200 for one in samples)
    bodies = {one.headers["idempotency-key"]: one.body.decode() for one in server.seen}
    for one in samples:
        expected = f'{{"account":"{one.account}","amount_cents":{one.amount_cents}}}'
        assert bodies[one.id] == expected
    assert {one.account for one in samples} == {"acc-0001", "acc-0002", "acc-0003"}
    assert {1 <= one.amount_cents <= 5000 for one in samples} == {True}


ANSWERS = {
    "/garbage": ("wrong", 0),
    "/two-lengths": ("wrong", 200),
    "/half": ("reset", 0),
    "/reset": ("reset", 0),
    "/until-closed": ("ok", 200),
    "/chunked": ("ok", 200),
    "/close": ("ok", 200),
}


def test_every_kind_of_answer_has_its_outcome(server: SlowServer, tmp_path: Path) -> None:
    good = {"status": [200], "body": {"state": "settled"}}
    journeys = {path: journey(path, good=good) for path in ANSWERS}
    with ended(start(tmp_path, server.url, journeys, dict.fromkeys(ANSWERS, 15.0))) as case:
        case.wait_for(len(ANSWERS) * 10)
        samples = case.stop()
    seen = {path: {(s.outcome, s.code) for s in samples if s.journey == path} for path in ANSWERS}
    assert seen == {path: {outcome} for path, outcome in ANSWERS.items()}
    assert len(server.seen) == len(samples)  # none was tried again


def test_a_body_that_is_not_the_good_one_is_wrong(server: SlowServer, tmp_path: Path) -> None:
    server.answer = b'{"state": "refused"}'
    with ended(start(tmp_path, server.url, {"pix": transfer()}, {"pix": 50.0})) as case:
        case.wait_for(5)
        assert {(one.outcome, one.code) for one in case.stop()} == {("wrong", 200)}


def test_a_customer_gives_up_at_the_limit(server: SlowServer, tmp_path: Path) -> None:
    journeys = {"slow": journey("/wait/20", within="500ms", limit="500ms")}
    with ended(start(tmp_path, server.url, journeys, {"slow": 50.0})) as case:
        case.wait_for(20)
        samples = case.stop()
    assert {(one.outcome, one.code) for one in samples} == {("timeout", 0)}
    assert 0.5 <= latencies(samples)[0] <= latencies(samples)[-1] < 1.0
    assert case.report()["open"] == 0


def test_who_was_held_up_itself_gives_up_and_sends_what_is_due_in_turn(tmp_path: Path) -> None:
    """Both take longer than from one tick to the next, and each brings about the other."""
    with socket.create_server(("127.11.0.12", 0), backlog=1) as deaf:
        url = "http://{}:{}".format(*deaf.getsockname())
        limit = {"silent": journey(limit="1s")}
        with ended(start(tmp_path, url, limit, {"silent": 3000.0})) as case:
            case.wait_for(10)
            case.customers.process.send_signal(signal.SIGSTOP)
            sleep(2.0)
            case.customers.process.send_signal(signal.SIGCONT)
            case.wait_for(9_000)
            found, report = case.stop(), case.report()
    assert (report["ended"], report["open"]) == ("stop", 0)
    assert len(found) == report["journeys"]["silent"]["scheduled"]
    assert {one.outcome for one in found} <= {"timeout", "connect"}
    assert report["lateness_ms"]["max"] > 1_000


def test_where_nobody_listens_each_request_is_recorded_as_not_connected(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.11.0.3", 0))
        url = f"http://127.11.0.3:{nobody.getsockname()[1]}"
        with ended(start(tmp_path, url, {"balance": journey()}, {"balance": 100.0})) as case:
            case.wait_for(50)
            samples = case.stop()
    assert {(one.outcome, one.code) for one in samples} == {("connect", 0)}
    assert case.report()["journeys"]["balance"]["sent"] == 0


def test_connections_do_not_live_long(server: SlowServer, tmp_path: Path) -> None:
    """The first fifty have different ages, so some of them are replaced within a second."""
    with ended(start(tmp_path, server.url, {"balance": journey()}, {"balance": 100.0})) as case:
        case.wait_for(150)
        case.stop()
    used = Counter(one.connection for one in server.seen)
    assert len(used) > 50
    assert max(used.values()) <= 100
    assert server.most_at_once < 50


def test_stop_waits_for_every_answer(server: SlowServer, tmp_path: Path) -> None:
    journeys = {"balance": journey("/wait/0.5")}
    with ended(start(tmp_path, server.url, journeys, {"balance": 100.0})) as case:
        case.wait_for(1)
        samples = case.stop()
        report = case.report()
    assert report["ended"] == "stop"
    assert report["open"] == 0
    counts = {"scheduled": len(samples), "sent": len(samples), "answered": len(samples)}
    assert report["journeys"] == {"balance": counts}
    assert len(server.seen) == len(samples) > 40
    assert {one.outcome for one in samples} == {"ok"}
    assert samples[0].scheduled_ns == report["start_ns"]
    assert samples[-1].scheduled_ns <= report["end_ns"] < samples[-1].done_ns


def test_it_ends_at_once_when_the_pipe_closes(server: SlowServer, tmp_path: Path) -> None:
    journeys = {"balance": journey("/ok"), "slow": journey("/wait/20", limit="30s")}
    rates = {"balance": 50.0, "slow": 50.0}
    with ended(start(tmp_path, server.url, journeys, rates)) as case:
        case.wait_for(10)
        assert case.customers.pipe is not None
        os.close(case.customers.pipe)
        case.customers.pipe = None
        assert case.customers.process.wait(WAIT_S) == 0
        report = case.report()
        assert report["ended"] == "pipe"
        slow, balance = (report["journeys"][name] for name in ("slow", "balance"))
        assert report["open"] == slow["scheduled"] + balance["scheduled"] - balance["answered"]
        assert (slow["answered"], slow["scheduled"] > 5, balance["answered"] > 0) == (0, True, True)
        assert {one.journey for one in case.run.samples()} == {"balance"}


def test_it_ends_at_once_on_sigterm_and_not_on_sigint(server: SlowServer, tmp_path: Path) -> None:
    with ended(start(tmp_path, server.url, {"balance": journey()}, {"balance": 50.0})) as case:
        case.customers.process.send_signal(signal.SIGINT)
        case.wait_for(30)
        case.customers.process.terminate()
        assert case.customers.process.wait(WAIT_S) == 0
        assert case.report()["ended"] == "signal"
        assert not case.customers.stop()


def test_it_never_runs_longer_than_it_was_told(server: SlowServer, tmp_path: Path) -> None:
    journeys = {"balance": journey()}
    with ended(start(tmp_path, server.url, journeys, {"balance": 100.0}, 0.5)) as case:
        assert case.customers.process.wait(WAIT_S) == 0
        assert case.report()["ended"] == "max_seconds"
        assert len(case.run.samples()) == 50


def test_a_full_disk_ends_it_and_leaves_whole_rows(server: SlowServer, tmp_path: Path) -> None:
    with ended(start(tmp_path, server.url, {"balance": journey()}, {"balance": 200.0})) as case:
        process = case.customers.process
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (9_999, 9_999))
        assert process.wait(WAIT_S) == 1
        assert case.report()["ended"] == "error"
        content = case.run.path(SAMPLES).read_text()
        assert 1_000 < len(content) <= 9_999
        assert content.endswith("\n")
        assert "cannot be written" in case.run.path("samples/customers.log").read_text()


@pytest.fixture(params=["uvloop", "asyncio"])
def event_loop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """With the extra `fast`, and as where it is not installed."""
    if request.param == "asyncio":
        (tmp_path / "uvloop.py").write_text("raise ImportError\n")
        os.environ["PYTHONPATH"] = str(tmp_path)
    yield request.param
    os.environ.pop("PYTHONPATH", None)


def test_both_event_loops_send_the_same(
    server: SlowServer, tmp_path: Path, event_loop: str
) -> None:
    server.freezes.append(from_now(1.5, 0.5))
    journeys = {"pix": transfer(), "reset": journey("/reset"), "chunked": journey("/chunked")}
    rates = {"pix": 100.0, "reset": 20.0, "chunked": 20.0}
    with ended(start(tmp_path / "runs", server.url, journeys, rates, 3.0)) as case:
        assert case.customers.process.wait(WAIT_S) == 0
        samples, report = list(case.run.samples()), case.report()
    assert report["event_loop"] == event_loop
    assert Counter(one.journey for one in samples) == {"pix": 300, "reset": 60, "chunked": 60}
    assert {(one.journey, one.outcome) for one in samples} == {
        ("pix", "ok"),
        ("reset", "reset"),
        ("chunked", "ok"),
    }
    assert 0.4 < latencies(samples)[-1] < 0.9
    assert len(server.seen) == report["requests"] == 420


RUNNER = """
import signal, sys
from pathlib import Path
from holdfast.clock import until
from tests.load_case import journey, start

heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
case = start(Path(sys.argv[1]), sys.argv[2], {"balance": journey()}, {"balance": 50.0})
case.wait_for(1)
print(case.customers.process.pid, flush=True)
assert until(lambda: bool(heard), seconds=30)
case.wait_for(len(case.samples) + 25)
print(case.customers.stop(), flush=True)
"""


@pytest.fixture
def runner(server: SlowServer, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A runner in a session of its own, as from a terminal."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", RUNNER, str(tmp_path), server.url]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def test_ctrl_c_reaches_the_runner_and_not_the_customers(runner: subprocess.Popen[str]) -> None:
    assert runner.stdout
    runner.stdout.readline()
    os.killpg(runner.pid, signal.SIGINT)
    assert runner.stdout.readline() == "True\n"
    assert runner.wait(WAIT_S) == 0


def test_it_ends_when_its_runner_is_killed(runner: subprocess.Popen[str]) -> None:
    assert runner.stdout
    customers = os.pidfd_open(int(runner.stdout.readline()))
    runner.kill()
    gone, _, _ = select.select([customers], [], [], WAIT_S)
    os.close(customers)
    assert gone
