"""The parts of the customers' process: its schedule, its pacers, its requests, its own lateness."""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Self

import pytest

from holdfast.clock import SECOND, now_ns
from holdfast.load import pacing
from holdfast.load.connections import MAX_AGE, Connection, Entrance, Pool, told_already
from holdfast.load.process import socket_bound
from holdfast.load.record import Lateness
from holdfast.load.schedule import schedule
from holdfast.load.scripts import Exchange, Script, quoted
from tests.load_case import environment, journey, transfer
from tests.slow_server import SlowServer, serving

WAIT_S = 20.0


def test_two_journeys_share_a_second_in_order_and_apart() -> None:
    due = list(islice(schedule({"pix": 60.0, "balance": 40.0}, 1_000), 100))
    assert due == sorted(due)
    assert due[0] == (1_000, "pix")
    assert due[1] == (1_000 + 10_000_000, "balance")  # one step of 100/s later
    assert [name for _, name in due].count("pix") == 60
    assert due[-1][0] < 1_000 + SECOND
    assert len({at for at, _ in due}) == 100


def test_the_schedule_does_not_drift() -> None:
    due = next(islice(schedule({"a": 3.0}, 0), 3 * 3600, None))
    assert due == (3600 * SECOND, "a")


@pytest.mark.parametrize("make", [pacing.pacer, pacing.by_ctypes, pacing.LoopTimer])
def test_a_pacer_calls_back_at_the_instant_and_never_before(
    make: Callable[[asyncio.AbstractEventLoop, Callable[[], None]], pacing.Pacer],
) -> None:
    async def go() -> list[tuple[int, int]]:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        wanted = [now_ns() - SECOND, now_ns() + 20_000_000, now_ns() + 60_000_000]
        seen: list[tuple[int, int]] = []

        def due() -> None:
            seen.append((wanted[len(seen)], now_ns()))
            if len(seen) == len(wanted):
                done.set()
            else:
                pacer.arm(wanted[len(seen)])

        pacer = make(loop, due)
        pacer.arm(wanted[0])
        await asyncio.wait_for(done.wait(), WAIT_S)
        pacer.close()
        return seen

    for wanted, called in asyncio.run(go()):
        assert called >= wanted - 1_000_000  # the loop's own timers round to its resolution


def script(
    one: Any, *, seed: int = 7, run_id: str = "r1", url: str = "http://h:8080/api"
) -> Script:
    plan = {"url": url, "seed": seed, "values": environment(url).customers.values}
    return Script("pix", one.model_dump(mode="json"), plan, run_id)


def test_a_request_as_bytes() -> None:
    ready = script(transfer()).request()
    body = f'{{"account":"{ready.account}","amount_cents":{ready.amount}}}'
    assert ready.data.decode() == (
        "POST /api/transfers/pix HTTP/1.1\r\n"
        "Content-Type: application/json\r\n"
        "Host: h:8080\r\n"
        "User-Agent: holdfast\r\n"
        "X-Holdfast-Run: r1\r\n"
        f"Idempotency-Key: {ready.id}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"\r\n{body}"
    )


def test_the_same_seed_gives_the_same_customers_and_new_ids() -> None:
    def drawn(run_id: str, seed: int = 7) -> list[Exchange]:
        one = script(transfer(), run_id=run_id, seed=seed)
        return [one.request() for _ in range(50)]

    first, again, other = drawn("r1"), drawn("r2"), drawn("r1", seed=8)
    assert [(r.account, r.amount) for r in first] == [(r.account, r.amount) for r in again]
    assert [(r.account, r.amount) for r in first] != [(r.account, r.amount) for r in other]
    assert len({r.id for r in first} | {r.id for r in again} | {r.id for r in other}) == 150


def test_values_are_escaped_where_they_stand() -> None:
    request = {
        "method": "POST",
        "path": "/accounts/${who}/x",
        "headers": {"X-Who": "<${who}>"},
        "body": {"who": "${who}", "text": "for ${who}!", "${who}": ["${n}", "n=${n}"]},
    }
    values = {"who": {"pick": "names"}, "n": {"between": [5, 5]}}
    plan = {"url": "http://h", "seed": 1, "values": {"names": ['a/b "c"']}}
    one = journey(request=request, values=values)
    data = Script("odd", one.model_dump(mode="json"), plan, "r").request().data
    head, _, body = data.decode().partition("\r\n\r\n")
    assert head.startswith("POST /accounts/a%2Fb%20%22c%22/x HTTP/1.1\r\n")
    assert 'X-Who: <a/b "c">' in head
    name = 'a/b "c"'
    assert json.loads(body) == {"who": name, "text": f"for {name}!", name: [5, "n=5"]}


@pytest.mark.parametrize(
    ("text", "field"), [("acc-1", "acc-1"), ("a,b", '"a,b"'), ('a"b', '"a""b"')]
)
def test_a_field_of_a_row(text: str, field: str) -> None:
    assert quoted(text) == field


def test_lateness_is_counted_exactly() -> None:
    lateness = Lateness()
    for _ in range(998):
        lateness.add(1_000, 1_000 + 123_000)
    lateness.add(5_000, 5_000 + 7_000_000)
    lateness.add(9_000, 9_000 + 80_000_000)
    assert lateness.report() == {
        "lateness_ms": {"p50": 0.13, "p99": 0.13, "p99_9": 7.01, "max": 80.0},
        "late_over_50ms": [(9_000, 80.0)],
        "late_over_50ms_count": 1,
    }


def test_without_a_request_lateness_is_unknown() -> None:
    assert Lateness().report()["lateness_ms"] == {
        "p50": None,
        "p99": None,
        "p99_9": None,
        "max": 0.0,
    }


def test_there_are_sockets_for_every_request_that_may_be_open() -> None:
    limits = {"pix": 10.0, "balance": 5.0}
    assert socket_bound({"pix": 60.0, "balance": 40.0}, limits, 60.0) == 2_880
    ramp = {"shape": "ramp", "from": 20.0, "to": 60.0, "over": 300.0}
    assert socket_bound({"pix": ramp, "balance": 40.0}, limits, 600.0) == 2_880


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with serving(SlowServer(host="127.11.0.4")) as one:
        yield one


class Client:
    """A pool, and what became of each request that was sent through it."""

    def __init__(self, server: SlowServer, most: int = 100) -> None:
        self.outcomes: asyncio.Queue[str] = asyncio.Queue()
        self.pool = Pool(Entrance.of(server.url, None), most, self._settle)
        self._server = server

    def send(self, path: str = "/ok") -> Exchange:
        """Send one GET."""
        exchange = script(journey(path), url=self._server.url).request(now_ns())
        self.pool.send(exchange)
        return exchange

    async def next(self) -> str:
        """Wait until one more is settled; its outcome."""
        return await asyncio.wait_for(self.outcomes.get(), WAIT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self.pool._idle:
            connection.close()
        await asyncio.sleep(0)

    def _settle(self, exchange: Exchange, outcome: str, code: int) -> None:
        self.outcomes.put_nowait(outcome)


def test_a_connection_carries_a_hundred_requests(server: SlowServer) -> None:
    async def go() -> None:
        async with Client(server) as client:
            for _ in range(250):
                client.send()
                assert await client.next() == "ok"

    asyncio.run(go())
    assert [one.connection for one in server.seen] == [1] * 100 + [2] * 100 + [3] * 50


def test_a_connection_is_not_used_after_its_time(server: SlowServer) -> None:
    pool = Client(server).pool
    assert Connection(pool, MAX_AGE).usable(now_ns())
    assert not Connection(pool, 0).usable(now_ns())


def test_a_connection_that_was_given_up_is_no_failure_of_the_event_loop() -> None:
    closed = RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")
    assert told_already({"message": "Fatal error", "exception": closed, "protocol": object()})
    assert told_already({"message": "m", "exception": ConnectionResetError(), "future": object()})
    assert not told_already({"message": "m", "exception": closed})
    assert not told_already({"message": "m", "exception": OSError(28, "full"), "handle": object()})
    assert not told_already({"message": "m", "exception": RuntimeError("x"), "protocol": object()})


def test_a_request_that_finds_no_socket_is_recorded(server: SlowServer) -> None:
    async def go() -> None:
        async with Client(server, most=3) as client:
            for _ in range(5):
                client.send("/wait/0.2")
            assert client.pool.capped == 2
            outcomes = [await client.next() for _ in range(5)]
            assert outcomes == ["connect", "connect", "ok", "ok", "ok"]

    asyncio.run(go())


def test_an_answer_after_the_limit_changes_nothing(server: SlowServer) -> None:
    async def go() -> None:
        async with Client(server) as client:
            late = client.send("/wait/0.1")
            client.pool.settle(late, "timeout", 0)
            client.send("/wait/0.3")
            assert [await client.next() for _ in range(2)] == ["timeout", "ok"]
            assert client.outcomes.empty()

    asyncio.run(go())
