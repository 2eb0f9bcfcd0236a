"""Journeys of several requests, https entrances and credentials, against real servers."""

import datetime as dt
import ipaddress
import json
import os
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.clock import SECOND, now_ns
from holdfast.documents import JourneyFile
from holdfast.errors import InvalidInput, Unreachable
from holdfast.model import Window
from holdfast.store import LOAD_PLAN
from tests.load_case import journey, start
from tests.slow_server import Seen, SlowServer, serving

pytestmark = pytest.mark.integration

SETTLED_AT = 3  # the look at which a transfer is settled
TOKEN = "a-token-of-thirty-two-characters"


class Bank:
    """Accepts a transfer, and settles it by the time that it is asked for the third time."""

    def __init__(self) -> None:
        self.looks: Counter[str] = Counter()
        self.created: list[str] = []

    def __call__(self, seen: Seen) -> tuple[bytes, bytes]:
        """The answer to a request."""
        if seen.method == "POST":
            number = f"t-{len(self.created)}"
            self.created.append(number)
            return b"202 Accepted", json.dumps({"transfer": {"id": number}}).encode()
        number = seen.path.rpartition("/")[2]
        self.looks[number] += 1
        state = "settled" if self.looks[number] >= SETTLED_AT else "pending"
        return b"200 OK", json.dumps({"state": state}).encode()


def settled(**more: Any) -> JourneyFile:
    """A transfer, and looks at it until it is settled."""
    return followed("/transfers/${transfer}", **more)


def followed(path: str, **more: Any) -> JourneyFile:
    """A transfer, and looks at a path until it is settled."""
    until = {"body": {"state": "settled"}, "every": "50ms", "at_most": "2s"} | more
    post = {
        "method": "POST",
        "path": "/transfers",
        "headers": {"Idempotency-Key": "${id}"},
        "body": {"account": "${account}", "amount_cents": "${amount}"},
    }
    return journey(
        limit="4s",
        steps=[
            {
                "request": post,
                "good": {"status": [202]},
                "take": {"transfer": "body.transfer.id"},
            },
            {
                "request": {"method": "GET", "path": path},
                "good": {"status": [200]},
                "until": until,
            },
        ],
        values={"account": {"pick": "accounts"}, "amount": {"between": [1, 5000]}},
        money=True,
    )


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with serving(SlowServer(host="127.11.0.6")) as one:
        yield one


def test_a_transfer_is_followed_until_it_is_settled(server: SlowServer, tmp_path: Path) -> None:
    """Its latency runs from the scheduled instant of the first request to the last answer."""
    bank = Bank()
    server.reply = bank
    case = start(tmp_path, server.url, {"pix": settled()}, {"pix": 40.0})
    case.wait_for(30)
    samples = case.stop()
    report = case.report()
    assert {(one.outcome, one.code) for one in samples} == {("ok", 200)}
    assert len(bank.created) == len(samples) == report["journeys"]["pix"]["scheduled"]
    assert set(bank.looks.values()) == {SETTLED_AT}
    assert report["requests"] == len(server.seen) == len(samples) * (1 + SETTLED_AT)
    assert {one.headers.get("idempotency-key") for one in server.seen if one.body} == {
        one.id for one in samples
    }
    for one in samples:
        assert one.latency >= 0.1  # two pauses of 50 ms
        assert one.sent_ns - one.scheduled_ns < one.done_ns - one.sent_ns


def test_a_transfer_that_is_never_settled_is_a_timeout(server: SlowServer, tmp_path: Path) -> None:
    def pending(seen: Seen) -> tuple[bytes, bytes]:
        return (b"202 Accepted", b'{"transfer": {"id": 20}}') if seen.body else (b"200 OK", b"{}")

    server.reply = pending
    silent = followed("/wait/${transfer}", at_most="400ms").model_copy(update={"limit": 0.5})
    journeys = {"a": silent, "b": settled(at_most="1s")}
    case = start(tmp_path, server.url, journeys, {"a": 20.0, "b": 20.0})
    case.wait_for(40)
    samples = case.stop()
    assert {(one.journey, one.outcome, one.code) for one in samples} == {
        ("a", "timeout", 0),  # the customer gave up
        ("b", "timeout", 200),  # the journey's own patience ended
    }
    assert min(one.latency for one in samples) >= 0.5
    assert case.report()["open"] == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((b"500 Broken", b"{}"), (b"200 OK", b'{"state": "settled"}')),
        ((b"202 Accepted", b"{}"), (b"200 OK", b'{"state": "settled"}')),  # nothing to take
        ((b"202 Accepted", b"<html>"), (b"200 OK", b'{"state": "settled"}')),
        ((b"202 Accepted", b'{"transfer": {"id": ["x"]}}'), (b"200 OK", b'{"state": "settled"}')),
        ((b"202 Accepted", b'{"transfer": {"id": "a\\nb"}}'), (b"200 OK", b'{"state": "settled"}')),
        ((b"202 Accepted", b'{"transfer": {"id": 7}}'), (b"404 Gone", b'{"state": "settled"}')),
    ],
)
def test_a_journey_is_good_only_when_every_step_was(
    server: SlowServer, tmp_path: Path, first: tuple[bytes, bytes], second: tuple[bytes, bytes]
) -> None:
    server.reply = lambda seen: first if seen.method == "POST" else second
    case = start(tmp_path, server.url, {"pix": settled()}, {"pix": 50.0})
    case.wait_for(5)
    assert {one.outcome for one in case.stop()} == {"wrong"}


def test_a_reset_at_the_second_step_is_a_reset_of_the_journey(
    server: SlowServer, tmp_path: Path
) -> None:
    server.reply = lambda _: (b"202 Accepted", b'{"transfer": {"id": "reset"}}')
    case = start(tmp_path, server.url, {"pix": followed("/${transfer}")}, {"pix": 50.0})
    case.wait_for(5)
    assert {(one.outcome, one.code) for one in case.stop()} == {("reset", 0)}


def test_every_request_says_that_it_is_synthetic_and_of_which_run(
    server: SlowServer, tmp_path: Path
) -> None:
    server.reply = Bank()
    case = start(tmp_path, server.url, {"pix": settled()}, {"pix": 40.0})
    case.wait_for(3)
    case.stop()
    assert {one.headers["x-holdfast-run"] for one in server.seen} == {case.run.id}


@pytest.fixture
def token() -> Iterator[str]:
    """The name of a variable that holds a token."""
    name = "HOLDFAST_TEST_TOKEN"
    os.environ[name] = TOKEN
    yield name
    del os.environ[name]


def test_a_secret_is_sent_and_never_written(server: SlowServer, tmp_path: Path, token: str) -> None:
    headers = {"Authorization": f"Bearer ${{secret:{token}}}"}
    request = {"method": "GET", "path": "/ok", "headers": headers}
    case = start(tmp_path, server.url, {"balance": journey(request=request)}, {"balance": 50.0})
    case.wait_for(5)
    assert {one.outcome for one in case.stop()} == {"ok"}
    assert {one.headers["authorization"] for one in server.seen} == {f"Bearer {TOKEN}"}
    assert f"${{secret:{token}}}" in case.run.path(LOAD_PLAN).read_text()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN not in path.read_text(), path


class Authority:
    """A certificate authority of one's own, and a server's certificate by it."""

    def __init__(self, folder: Path, host: str) -> None:
        self.ca, self.chain = folder / "ca.pem", folder / "server.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        root = self._signed(key, key, "test authority", None)
        mine = ec.generate_private_key(ec.SECP256R1())
        name = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        server = self._signed(mine, key, host, name)
        self.ca.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        private = mine.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.chain.write_bytes(private + server.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self,
        key: ec.EllipticCurvePrivateKey,
        by: ec.EllipticCurvePrivateKey,
        subject: str,
        host: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        authority = x509.SubjectKeyIdentifier.from_public_key(by.public_key())
        begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("test authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + dt.timedelta(days=36_500))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), False
            )
        )
        if host is None:
            builder = builder.add_extension(authority, critical=False).add_extension(
                _signs_certificates(), critical=True
            )
        else:
            builder = builder.add_extension(host, critical=False)
        return builder.sign(by, hashes.SHA256())

    @property
    def tls(self) -> ssl.SSLContext:
        """What the server shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        return context


def _signs_certificates() -> x509.KeyUsage:
    no = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **no)


def test_an_https_entrance_is_verified_and_served(tmp_path: Path) -> None:
    host = "127.11.0.7"
    authority = Authority(tmp_path, host)
    with serving(SlowServer(host=host, tls=authority.tls)) as server:
        assert re.match(r"https://127\.11\.0\.7:\d+", server.url)
        more: Any = {"ca": str(authority.ca)}
        case = start(tmp_path, server.url, {"a": journey()}, {"a": 100.0}, **more)
        case.wait_for(100)
        samples = case.stop()
        assert {(one.outcome, one.code) for one in samples} == {("ok", 200)}
        assert len(server.seen) == len(samples)
        assert sorted(one.latency for one in samples)[len(samples) // 2] < 0.25 * SECOND


def test_an_entrance_that_cannot_be_verified_is_never_sent_to(tmp_path: Path) -> None:
    """Its certificate is for another address, or by an authority that nobody trusts."""
    elsewhere = Authority(tmp_path, "127.11.0.99")
    trusts: list[Any] = [{"ca": str(elsewhere.ca)}, {}]
    for number, more in enumerate(trusts):
        with serving(SlowServer(host="127.11.0.8", tls=elsewhere.tls)) as server:
            root = tmp_path / str(number)
            case = start(root, server.url, {"a": journey()}, {"a": 50.0}, **more)
            case.wait_for(10)
            assert {one.outcome for one in case.stop()} == {"connect"}
            assert server.seen == []


def test_how_many_connections_were_used_is_published(server: SlowServer, tmp_path: Path) -> None:
    case = start(tmp_path, server.url, {"slow": journey("/wait/1")}, {"slow": 100.0})
    case.wait_for(50)
    case.stop()
    used = case.report()["connections"]
    assert used["limit"] == 2_000 + 550  # what can be open at 100/s for 5 s, and a margin
    assert used["kept_open"] == 50
    assert 80 <= used["most_open"] <= used["opened"] < 500
    assert case.report()["no_socket_left"] == 0


MODULE = """
import os

import aiohttp

async def qr(session, values):
    async with session.post("/qr", json={"key": values["id"], "from": values["who"]}) as created:
        pass
    async with session.get(f"/qr/{values['id']}") as answer:
        return answer.status

async def broken(session, values):
    raise KeyError("nothing there")

async def leaks(session, values):
    raise ValueError(os.environ["HOLDFAST_TEST_LEAKED"])

def plain(session, values):
    return 200
"""


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    """An installed module with journeys."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "their_journeys.py").write_text(MODULE)
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), before)))
    yield "their_journeys"
    os.environ["PYTHONPATH"] = before


def by_python(name: str, **more: Any) -> JourneyFile:
    return journey(python=name, values={"who": {"pick": "accounts"}}, **more)


def test_a_journey_in_python_is_measured_like_the_others(
    server: SlowServer, tmp_path: Path, module: str
) -> None:
    journeys = {"qr": by_python(f"{module}.qr")}
    case = start(tmp_path, server.url, journeys, {"qr": 50.0}, modules=[module])
    case.wait_for(40)
    samples = case.stop()
    assert {(one.outcome, one.code) for one in samples} == {("ok", 200)}
    assert case.report()["journeys"]["qr"]["scheduled"] == len(samples)
    assert len(server.seen) == 2 * len(samples)
    assert {one.headers["x-holdfast-run"] for one in server.seen} == {case.run.id}
    assert len({one.path for one in server.seen if one.method == "GET"}) == len(samples)


def test_what_becomes_of_a_journey_in_python(
    server: SlowServer, tmp_path: Path, module: str
) -> None:
    server.reply = lambda seen: (b"404 Gone" if seen.path == "/qr" else b"503 Down", b"{}")
    journeys = {"qr": by_python(f"{module}.qr"), "broken": by_python(f"{module}.broken")}
    rates = dict.fromkeys(journeys, 30.0)
    case = start(tmp_path, server.url, journeys, rates, modules=[module])
    case.wait_for(20)
    found = {(one.journey, one.outcome, one.code) for one in case.stop()}
    assert found == {("qr", "wrong", 503), ("broken", "wrong", 0)}
    log = case.run.path("samples/customers.log").read_text()
    assert log.count("broken: KeyError: 'nothing there'") == 1


def test_a_secret_in_what_a_journey_raises_is_not_written_down(
    server: SlowServer, tmp_path: Path, module: str
) -> None:
    os.environ["HOLDFAST_TEST_LEAKED"] = "correct-horse-battery-staple"
    try:
        request = {
            "method": "GET",
            "path": "/ok",
            "headers": {"Authorization": "Bearer ${secret:HOLDFAST_TEST_LEAKED}"},
        }
        journeys = {"leaks": by_python(f"{module}.leaks"), "ok": journey(request=request)}
        rates = dict.fromkeys(journeys, 30.0)
        case = start(tmp_path, server.url, journeys, rates, modules=[module])
        case.wait_for(20)
        case.stop()
    finally:
        del os.environ["HOLDFAST_TEST_LEAKED"]
    log = case.run.path("samples/customers.log").read_text()
    assert "leaks: ValueError: [redacted]" in log


def test_a_journey_in_python_gives_up_at_the_limit(
    server: SlowServer, tmp_path: Path, module: str
) -> None:
    server.freezes.append(Window(0, now_ns() + 60 * SECOND))
    journeys = {"qr": by_python(f"{module}.qr", within="500ms", limit="500ms")}
    case = start(tmp_path, server.url, journeys, {"qr": 30.0}, modules=[module])
    case.wait_for(10)
    assert {one.outcome for one in case.stop()} == {"timeout"}


def test_where_nobody_listens_a_journey_in_python_is_not_connected(
    tmp_path: Path, module: str
) -> None:
    journeys = {"qr": by_python(f"{module}.qr")}
    case = start(tmp_path, "http://127.11.0.3:9", journeys, {"qr": 30.0}, modules=[module])
    case.wait_for(10)
    assert {(one.outcome, one.code) for one in case.stop()} == {("connect", 0)}
    assert case.report()["journeys"]["qr"]["sent"] == 0


def test_python_that_is_no_journey_is_refused(tmp_path: Path, module: str) -> None:
    url = "http://127.11.0.3:9"
    with pytest.raises(InvalidInput, match="`modules:` does not list the module of their"):
        start(tmp_path, url, {"qr": by_python(f"{module}.qr")}, {"qr": 1.0})
    for name, why in (("plain", "no `async def` function"), ("none", "has no attribute 'none'")):
        journeys = {"qr": by_python(f"{module}.{name}")}
        with pytest.raises(Unreachable, match=why):
            start(tmp_path / name, url, journeys, {"qr": 1.0}, modules=[module])
