"""A call is bounded in time and memory, goes where it was sent, and nowhere that is forbidden."""

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import ClassVar

import pytest

from holdfast.addresses import check_address, check_host
from holdfast.clock import SECOND, now_ns, sleep
from holdfast.documents import Environment, checked
from holdfast.errors import InvalidInput, Unreachable
from holdfast.fetch import SMALL, Answer, Limits, NoAnswer, TooSlow, fetch, with_query
from holdfast.probes.ledger import lines
from holdfast.prometheus import Prometheus
from holdfast.redact import keep_secret
from holdfast.toxiproxy import Toxiproxy
from tests.fakes import Broken, absent, serving, slow_name
from tests.test_documents import ENVIRONMENT, changed

pytestmark = pytest.mark.integration

HOST = "127.10.0.15"
SOON = Limits(2.0)


class Odd(Broken):
    """Answers that no client should take as they are."""

    ZIPPED = gzip.compress(b"x" * (64 << 20))
    ANSWERS: ClassVar[dict[str, bytes]] = {
        "deep": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
        "zipped": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
        % (len(ZIPPED), ZIPPED),
        "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        "sized": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * (2 << 20),
        "text": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{\xff}\n",
        "lines": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n",
    }


class Flood(Broken):
    """Sends an answer without end, as fast as it can."""

    ANSWERS: ClassVar[dict[str, bytes]] = {"": b""}
    sent = 0

    def _answer(self, connection: object) -> None:
        import contextlib
        import socket

        assert isinstance(connection, socket.socket)
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self._end.is_set():
                self.sent += connection.send(b"x" * (1 << 20))


# ── what is asked ─────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_taken_whatever_its_code() -> None:
    with serving(HOST, lambda method, target, body: (404, {"is": [method, target, body]})) as url:
        answer = fetch(with_query(url + "/a?b=c", {"d": "ä &"}), SOON, method="POST", body={"e": 1})
        assert answer.status_code == 404
        assert answer.json() == {"is": ["POST", "/a?b=c&d=%C3%A4+%26", {"e": 1}]}


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with Broken("redirect", HOST) as server:
        assert fetch(server.url, SOON).status_code == 302
        assert server.seen == ["GET / HTTP/1.1"]


def test_no_proxy_of_the_environment_is_used() -> None:
    """Neither by our calls nor by the kubernetes package."""
    code = (
        "import sys\n"
        "from holdfast.cluster import Cluster\n"
        "from holdfast.fetch import Limits, fetch\n"
        "assert fetch(sys.argv[1], Limits(5)).status_code == 200\n"
        "from tests.fakes import kubeconfig\n"
        "import json, pathlib, tempfile\n"
        "path = pathlib.Path(tempfile.mkdtemp()) / 'kubeconfig'\n"
        "path.write_text(json.dumps(kubeconfig(sys.argv[1])))\n"
        "assert Cluster(str(path)).version() == 'v1'\n"
    )
    nowhere = absent(HOST)
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    proxies = {case: nowhere for name in names for case in (name, name.lower())}
    with serving(HOST, lambda *_: (200, {"gitVersion": "v1"})) as url:
        done = subprocess.run(
            [sys.executable, "-c", code, url],
            env={**os.environ, **proxies},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("zipped", "answered in the coding 'gzip', which was not asked for"),
        ("cut", "accepted the connection and did not answer within 0.5 s"),
        ("sized", "closed the connection without a whole answer"),
        ("silent", "accepted the connection and did not answer within 0.5 s"),
        ("drip", "accepted the connection and did not answer within 0.5 s"),
    ],
)
def test_an_answer_that_is_not_accepted(kind: str, words: str) -> None:
    with Odd(kind, HOST) as server:
        began = now_ns()
        with pytest.raises(NoAnswer, match=words):
            fetch(server.url, Limits(0.5))
        assert now_ns() - began < 2 * SECOND


def test_a_port_where_nobody_listens() -> None:
    with pytest.raises(NoAnswer, match=r"could not be reached \(ConnectionError\)"):
        fetch(absent(HOST), SOON)


def test_a_call_that_was_given_up_while_its_name_was_looked_up_is_never_sent() -> None:
    """The caller has undone by then whatever it may have done: nothing may come after that."""
    came: list[str] = []

    def answer(method: str, *_: object) -> tuple[int, dict[str, object]]:
        came.append(method)
        return 200, {}

    with serving(HOST, answer) as url, slow_name("slow.test", HOST, 0.8) as answered:
        with pytest.raises(TooSlow):
            fetch(url.replace(HOST, "slow.test"), Limits(0.4), method="POST", body={})
        assert answered.wait(5)
        sleep(1.0)
        assert came == []
        assert fetch(url.replace(HOST, "slow.test"), Limits(5.0), method="PUT").status_code == 200
    assert came == ["PUT"]


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(NoAnswer, match="could not be reached"):
        fetch("http://no-such-name.invalid:1", SOON)


def test_json_that_is_nested_too_deeply_is_no_crash() -> None:
    with Odd("deep", HOST) as server:
        answer = fetch(server.url, SOON)
        with pytest.raises(ValueError, match="nested too deeply"):
            answer.json()


def test_an_excerpt_never_ends_inside_a_secret() -> None:
    keep_secret("a-secret-at-the-edge-of-it")
    answer = Answer(500, b"x" * 190 + b"a-secret-at-the-edge-of-it")
    assert answer.excerpt() == "x" * 190 + "[redacted]"


# ── row 42 of the fault matrix: a probe that hangs or floods is unknown, not memory ───────────────


def memory() -> int:
    """The most that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


CALLS: dict[str, Callable[[str], object]] = {
    "prometheus": lambda url: Prometheus(url, 5.0).version(),
    "toxiproxy": lambda url: Toxiproxy(url).proxies(),
    "fetch": lambda url: fetch(url, Limits(5.0)),
}


@pytest.mark.row(42)
@pytest.mark.parametrize("call", CALLS)
def test_a_flood_ends_at_one_mebibyte(call: str) -> None:
    before = memory()
    with Flood("", HOST) as server:
        began = now_ns()
        with pytest.raises((Unreachable, NoAnswer), match="answered with more than 1 MiB"):
            CALLS[call](server.url)
        assert now_ns() - began < 5 * SECOND
        assert server.sent < 64 << 20
    assert memory() - before < 32 << 20
    assert SMALL == 1 << 20


@pytest.mark.parametrize("kind", ["text", "deep", "zipped", "cut"])
def test_a_ledger_that_answers_something_else_is_unreachable(kind: str) -> None:
    with Odd(kind, HOST) as server, pytest.raises(Unreachable):
        lines(server.url, 0.0)


def test_a_ledger_that_answers_lines() -> None:
    with Odd("lines", HOST) as server:
        assert lines(server.url, 0.0) == "{}\n"


# ── addresses that are never called ───────────────────────────────────────────────────────────────

NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "::",
    "224.0.0.1",
]


@pytest.mark.parametrize("address", NEVER)
def test_an_address_that_is_never_called(address: str) -> None:
    with pytest.raises(ValueError, match="never called"):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "93.184.216.34"]
)
def test_an_address_that_may_be_called(address: str) -> None:
    check_address(address)
    check_host(address)


@pytest.mark.parametrize(
    "host", ["metadata", "metadata.google.internal", "METADATA.google.internal.", *NEVER[:4]]
)
def test_a_host_that_is_never_called(host: str) -> None:
    with pytest.raises(ValueError, match="never called"):
        check_host(host)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.google.internal",
        "http://[fe80::1]:80",
        "http://[::ffff:169.254.169.254]",
    ],
)
def test_no_file_may_name_it(url: str) -> None:
    for key in ("prometheus.url", "customers.url", "toxiproxy.0.url", "ledger.transfers"):
        with pytest.raises(InvalidInput, match="never called"):
            checked(Environment, changed(ENVIRONMENT, key, url), "environment")


@pytest.mark.parametrize("host", ["2852039166", "0xA9FEA9FE", "0251.0376.0251.0376"])
def test_it_is_never_called_in_another_notation(host: str) -> None:
    """The system's own resolver understands these; what it found is checked."""
    with pytest.raises(NoAnswer, match=r"was not called: 169.254.169.254 is link-local"):
        fetch(f"http://{host}/latest", Limits(1.0))


def test_json_is_parsed_once() -> None:
    assert Answer(200, json.dumps({"a": 1}).encode()).json() == {"a": 1}
