"""Toxiproxy: faults that read back, and every way in which a server can seem to have obeyed."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast import toxiproxy as module
from holdfast.clock import SECOND, now_ns
from holdfast.errors import FaultNotApplied, FaultRemains, InvalidInput, Unreachable
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy
from tests.fakes import Broken, absent, serving

pytestmark = pytest.mark.integration

SLOW = Toxic("holdfast-1-slow", "latency", {"latency": 800, "jitter": 0})
CUT = Toxic("holdfast-1-cut", "latency", {"latency": 0, "jitter": 0}, toxicity=0.0)


def test_version_and_proxies(toxiproxy: RealToxiproxy) -> None:
    client = Toxiproxy(toxiproxy.url)
    assert client.version().startswith("2.")
    proxies = client.proxies()
    assert sorted(proxies) == ["pix-primary", "ted"]
    assert proxies["ted"].enabled
    assert proxies["ted"].upstream == "127.10.0.12:9"
    assert proxies["ted"].toxics == {}


def test_a_toxic_is_on_the_server_and_then_it_is_not(toxiproxy: RealToxiproxy) -> None:
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic("pix-primary", SLOW)
    assert toxiproxy.toxics("pix-primary") == [
        {
            "name": "holdfast-1-slow",
            "type": "latency",
            "stream": "downstream",
            "toxicity": 1,
            "attributes": {"latency": 800, "jitter": 0},
        }
    ]
    assert client.proxies()["pix-primary"].toxics == {"holdfast-1-slow": SLOW}
    client.remove_toxic("pix-primary", "holdfast-1-slow")
    assert toxiproxy.toxics("pix-primary") == []


@pytest.mark.parametrize("kind", ["bandwidth", "reset_peer"])
def test_the_other_kinds_read_back(toxiproxy: RealToxiproxy, kind: str) -> None:
    attribute = {"bandwidth": "rate", "reset_peer": "timeout"}[kind]
    toxic = Toxic("holdfast-1-it", kind, {attribute: 7})
    Toxiproxy(toxiproxy.url).add_toxic("ted", toxic)
    assert toxiproxy.toxics("ted")[0]["attributes"] == {attribute: 7}


def test_a_toxic_that_is_absent_is_removed_already(toxiproxy: RealToxiproxy) -> None:
    Toxiproxy(toxiproxy.url).remove_toxic("ted", "never-there")


def test_foreign_toxics_stay(toxiproxy: RealToxiproxy) -> None:
    foreign = {"name": "theirs", "type": "slicer", "attributes": {"average_size": 9}}
    toxiproxy.call("POST", "/proxies/ted/toxics", foreign)
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic("ted", SLOW)
    client.remove_toxic("ted", SLOW.name)
    assert [one["name"] for one in toxiproxy.toxics("ted")] == ["theirs"]


def test_a_proxy_is_closed_and_opened_again(toxiproxy: RealToxiproxy) -> None:
    client = Toxiproxy(toxiproxy.url)
    host, port = client.proxies()["ted"].listen.split(":")
    client.add_toxic("ted", CUT)
    client.set_enabled("ted", False)
    assert not toxiproxy.enabled("ted")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=2)
    client.set_enabled("ted", True)
    assert toxiproxy.enabled("ted")
    assert [one["toxicity"] for one in toxiproxy.toxics("ted")] == [0]


def test_a_proxy_name_with_odd_characters_is_quoted(toxiproxy: RealToxiproxy) -> None:
    toxiproxy.create("a b?c")
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic("a b?c", Toxic("x y?z", "bandwidth", {"rate": 9}))
    assert sorted(client.proxies()["a b?c"].toxics) == ["x y?z"]
    client.remove_toxic("a b?c", "x y?z")
    assert client.proxies()["a b?c"].toxics == {}


@pytest.mark.parametrize(
    ("toxic", "words"),
    [
        (Toxic("t", "latency", {"latncy": 800, "jitter": 0}), "latency got jitter, latncy"),
        (Toxic("t", "latency", {"latency": 800}), "It takes jitter, latency"),
        (Toxic("t", "latency", {"latency": -1, "jitter": 0}), "-1 is not a whole number"),
        (Toxic("t", "latency", {"latency": True, "jitter": 0}), "True is not a whole number"),
        (Toxic("t", "latencyy", {}), "no kind 'latencyy'"),
        (Toxic("t", "bandwidth", {"rate": 1}, toxicity=7), "a toxicity of 7 is no share"),
        (Toxic("t", "bandwidth", {"rate": 1}, stream="sideways"), "no stream 'sideways'"),
    ],
)
def test_what_the_server_would_misunderstand_is_never_sent(
    toxiproxy: RealToxiproxy, toxic: Toxic, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Toxiproxy(toxiproxy.url).add_toxic("ted", toxic)
    assert words in str(caught.value)
    assert toxiproxy.toxics("ted") == []


def test_a_name_that_is_taken_is_no_success(toxiproxy: RealToxiproxy) -> None:
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic("ted", SLOW)
    with pytest.raises(FaultNotApplied, match="409"):
        client.add_toxic("ted", Toxic(SLOW.name, "latency", {"latency": 1, "jitter": 0}))


def test_a_proxy_that_does_not_exist(toxiproxy: RealToxiproxy) -> None:
    client = Toxiproxy(toxiproxy.url)
    with pytest.raises(FaultNotApplied, match="404"):
        client.add_toxic("gone", SLOW)
    with pytest.raises(FaultNotApplied, match="404"):
        client.set_enabled("gone", False)
    with pytest.raises(FaultRemains, match="does not exist any more"):
        client.remove_toxic("gone", SLOW.name)


def test_a_server_that_says_yes_and_does_nothing_is_found_out() -> None:
    proxy = {"name": "ted", "listen": "x", "upstream": "y", "enabled": True, "toxics": []}

    def deaf(method: str, path: str, body: object) -> tuple[int, dict[str, object]]:
        return 200, {"ted": proxy} if method == "GET" else {}

    with serving("127.10.0.11", deaf) as url:
        client = Toxiproxy(url)
        with pytest.raises(FaultNotApplied, match="reads back as None"):
            client.add_toxic("ted", SLOW)
        with pytest.raises(FaultNotApplied, match="reads back as enabled"):
            client.set_enabled("ted", False)
        proxy["toxics"] = [
            {"name": SLOW.name, "type": "latency", "stream": "downstream"}
            | {"toxicity": 1, "attributes": {"latency": 0, "jitter": 0}}
        ]
        with pytest.raises(FaultNotApplied, match="reads back as Toxic"):
            client.add_toxic("ted", SLOW)
        with pytest.raises(FaultRemains, match="still there"):
            client.remove_toxic("ted", SLOW.name)
        proxy["enabled"] = False
        with pytest.raises(FaultRemains, match="reads back as disabled"):
            client.set_enabled("ted", True)


CALLS: dict[str, Callable[[Toxiproxy], object]] = {
    "version": lambda one: one.version(),
    "proxies": lambda one: one.proxies(),
    "add": lambda one: one.add_toxic("ted", SLOW),
    "remove": lambda one: one.remove_toxic("ted", SLOW.name),
    "disable": lambda one: one.set_enabled("ted", False),
    "enable": lambda one: one.set_enabled("ted", True),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("500", "it answered 500"),
        ("html", "not JSON: <html>"),
        ("redirect", "it answered 302"),
        ("empty", "closed the connection without a whole answer"),
        ("silent", "did not answer within 0.3 s"),
        ("drip", "did not answer within 0.3 s"),
    ],
)
def test_a_broken_server_is_an_error_within_the_deadline(call: str, kind: str, words: str) -> None:
    with Broken(kind, "127.10.0.11") as server:
        began = now_ns()
        with pytest.raises(Unreachable) as caught:
            CALLS[call](Toxiproxy(server.url, call_s=0.3))
        assert now_ns() - began < 2 * SECOND
        assert words in str(caught.value)
        assert server.url in str(caught.value)
        assert len(server.seen) == 1, "asked once: not followed, not repeated"


@pytest.mark.parametrize("call", CALLS)
def test_an_absent_server(call: str) -> None:
    with pytest.raises(Unreachable, match="could not be reached"):
        CALLS[call](Toxiproxy(absent("127.10.0.11")))


def test_an_answer_of_another_form_is_not_toxiproxy() -> None:
    with Broken("other", "127.10.0.11") as server:
        with pytest.raises(Unreachable, match="another form"):
            Toxiproxy(server.url).version()
        with pytest.raises(Unreachable, match="another form"):
            Toxiproxy(server.url).proxies()


def test_a_call_takes_at_most_five_seconds() -> None:
    assert module.CALL_S == 5.0


def test_the_token_is_sent_as_a_bearer() -> None:
    with socket.create_server(("127.10.0.11", 0)) as listener, ThreadPoolExecutor(1) as pool:
        port = listener.getsockname()[1]
        client = Toxiproxy(f"http://127.10.0.11:{port}", "a-secret")
        asked = pool.submit(client.version)
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(65536).decode()
            connection.sendall(b'HTTP/1.1 401 No\r\nContent-Length: 7\r\n\r\n{"a":1}')
        with pytest.raises(Unreachable, match="401") as caught:
            asked.result()
    assert "Authorization: Bearer a-secret" in request
    assert "a-secret" not in str(caught.value)


def test_two_servers_in_many_threads_are_kept_apart(
    start_toxiproxy: Callable[[], RealToxiproxy],
) -> None:
    servers = [start_toxiproxy(), start_toxiproxy()]
    for number, server in enumerate(servers):
        server.create(f"only-{number}")

    def cycle(turn: int) -> None:
        number = turn % 2
        client = Toxiproxy(servers[number].url)
        toxic = Toxic(f"t{turn}", "bandwidth", {"rate": 9})
        client.add_toxic(f"only-{number}", toxic)
        client.remove_toxic(f"only-{number}", toxic.name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(cycle, range(40)))
    assert [server.toxics(f"only-{n}") for n, server in enumerate(servers)] == [[], []]
