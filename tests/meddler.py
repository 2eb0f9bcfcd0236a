"""A proxy on loopback in front of a real API, which meddles: it delays, cuts, holds, and answers.

A rule hits what its regular expression finds in `METHOD /path?query`, as often as `times` says;
the first rule that hits decides. What no rule hits goes through. Everything that came is in `seen`.

    with Meddler.of_cluster(Path("kubeconfig")) as meddler:
        held = meddler.hold_answer(r"PATCH .*/nodes/")  # the API server has it, the caller waits
        ...
        held.wait()
        held.release()
"""

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import struct
import tempfile
import threading
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.clock import sleep, utc_now

HOST = "127.0.0.1"
UPSTREAM_S = 30.0
_HELD_S = 120.0  # nothing is held for longer, whatever becomes of who holds it
_OWN = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass
class Held:
    """A request or an answer that waits; `reached` is set once one does."""

    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = 20.0) -> None:
        """Until something is held."""
        assert self.reached.wait(seconds), "nothing came that could be held"

    def release(self) -> None:
        """Let it go its way."""
        self.released.set()

    def hold(self) -> None:
        """Wait here."""
        self.reached.set()
        self.released.wait(_HELD_S)


@dataclass(frozen=True)
class Seen:
    """One request, and the code that was answered: 0 for none."""

    method: str
    path: str
    code: int


@dataclass
class _Rule:
    match: re.Pattern[str]
    times: int | None
    does: str  # answer, hold_request, hold_answer, cut_request, cut_answer, delay
    held: Held = field(default_factory=Held)
    code: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class Meddler:
    """Stands in front of `upstream`; with `authority` that speaks TLS, and so does the meddler."""

    def __init__(self, upstream: str, authority: bytes = b"") -> None:
        self.upstream = urlsplit(upstream)
        self.seen: list[Seen] = []
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._trust = ssl.create_default_context(cadata=authority.decode()) if authority else None
        self._server = _Server((HOST, 0), _Handler)
        self._server.meddler = self
        self.authority = b""
        if authority:
            self.authority, self._server.tls = _identity()
        scheme = "https" if authority else "http"
        self.url = f"{scheme}://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @classmethod
    def of_cluster(cls, kubeconfig: Path) -> Self:
        """In front of the API server that a kubeconfig names."""
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        if named := cluster.get("certificate-authority"):
            return cls(cluster["server"], (kubeconfig.parent / named).read_bytes())
        return cls(cluster["server"], b64decode(cluster["certificate-authority-data"]))

    def kubeconfig(self, source: Path, to: Path) -> Path:
        """Write that kubeconfig again, leading through here."""
        document = yaml.safe_load(source.read_text())
        authority = to.with_suffix(".crt")
        authority.write_bytes(self.authority)
        here = {"server": self.url, "certificate-authority": str(authority)}
        document["clusters"][0]["cluster"] = here
        to.write_text(yaml.safe_dump(document))
        return to

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    def answer(
        self,
        match: str,
        code: int,
        body: str = "{}",
        *,
        headers: dict[str, str] | None = None,
        times: int | None = None,
    ) -> None:
        """Answer so, and never ask upstream."""
        told = {"Content-Type": "application/json", **(headers or {})}
        rule = _Rule(re.compile(match), times, "answer", code=code, body=body.encode())
        rule.headers = told
        self._add(rule)

    def hold_request(self, match: str, times: int | None = 1) -> Held:
        """It was sent, and does not arrive upstream until it is released."""
        return self._add(_Rule(re.compile(match), times, "hold_request"))

    def hold_answer(self, match: str, times: int | None = 1) -> Held:
        """It was carried out upstream, and nobody is told until it is released."""
        return self._add(_Rule(re.compile(match), times, "hold_answer"))

    def cut_request(self, match: str, times: int | None = 1) -> None:
        """The connection is reset; upstream never hears of it."""
        self._add(_Rule(re.compile(match), times, "cut_request"))

    def cut_answer(self, match: str, times: int | None = 1) -> None:
        """It was carried out upstream; half of the answer comes, then a reset."""
        self._add(_Rule(re.compile(match), times, "cut_answer"))

    def delay(self, match: str, seconds: float, times: int | None = None) -> None:
        """It takes so much longer on its way there."""
        self._add(_Rule(re.compile(match), times, "delay", seconds=seconds))

    def clear(self) -> None:
        """Meddle no more, and release whatever is held."""
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.held.release()

    def count(self, match: str) -> int:
        """How many such requests were answered, or dropped, so far."""
        wanted = re.compile(match)
        return sum(bool(wanted.search(f"{one.method} {one.path}")) for one in [*self.seen])

    def _add(self, rule: _Rule) -> Held:
        with self._lock:
            self._rules.append(rule)
        return rule.held

    def rule_for(self, method: str, path: str) -> _Rule | None:
        """The rule that decides what becomes of a request."""
        with self._lock:
            for rule in self._rules:
                if rule.times != 0 and rule.match.search(f"{method} {path}"):
                    rule.times = rule.times and rule.times - 1
                    return rule
        return None

    def forward(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Upstream's answer."""
        place = self.upstream.hostname or "", self.upstream.port
        connection: http.client.HTTPConnection
        if self._trust:
            connection = http.client.HTTPSConnection(
                *place, timeout=UPSTREAM_S, context=self._trust
            )
        else:
            connection = http.client.HTTPConnection(*place, timeout=UPSTREAM_S)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    meddler: Meddler
    tls: ssl.SSLContext | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed is no news."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake is made in the connection's own thread."""
        if self.tls:
            request.settimeout(UPSTREAM_S)
            with self.tls.wrap_socket(request, server_side=True) as inner:
                _Handler(inner, client_address, self)
        else:
            _Handler(request, client_address, self)

    def shutdown_request(self, request: Any) -> None:
        """Closed as it is, so that a reset is a reset."""
        request.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        meddler = self.server.meddler
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = meddler.rule_for(self.command, self.path)
        does = rule.does if rule else ""
        if rule and does == "answer":
            return self._tell(rule.code, [*rule.headers.items()], rule.body)
        if rule and does == "hold_request":
            rule.held.hold()
        if rule and does == "delay":
            sleep(rule.seconds)
        if does == "cut_request":
            return self._reset()
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {*_OWN, "host"}}
        try:
            code, told, content = meddler.forward(self.command, self.path, body, headers)
        except OSError:  # upstream is gone: so is this connection
            return self._reset()
        if rule and does == "hold_answer":
            rule.held.hold()
        if does == "cut_answer":
            self._tell(code, told, content, half=True)
            return self._reset()
        return self._tell(code, told, content)

    def _tell(
        self, code: int, headers: list[tuple[str, str]], content: bytes, *, half: bool = False
    ) -> None:
        self.server.meddler.seen.append(Seen(self.command, self.path, 0 if half else code))
        self.send_response(code)
        for name, value in headers:
            if name.lower() not in _OWN:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + (1 if half else 0)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if half else content)
        self.wfile.flush()

    def _reset(self) -> None:
        self.server.meddler.seen.append(Seen(self.command, self.path, 0))
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  # http.server calls these


def _identity() -> tuple[bytes, ssl.SSLContext]:
    """A certificate that is its own authority, and what serves it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meddler")])
    mine = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    signs = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
        **usage,
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(hours=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(mine, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mine), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = certificate.public_bytes(serialization.Encoding.PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write(private + authority)
        file.flush()
        context.load_cert_chain(file.name)
    return authority, context


@contextlib.contextmanager
def between(environment: Path, folder: Path) -> Iterator[tuple[Meddler, Meddler]]:
    """Meddlers in front of the API server and of the first Toxiproxy that an environment names.

    `folder` gets an environment.yaml that leads through them.
    """
    document = yaml.safe_load(environment.read_text())
    kubeconfig = environment.parent / Path(document["kubernetes"]["kubeconfig"]).expanduser()
    toxiproxy = document["toxiproxy"][0]
    with Meddler.of_cluster(kubeconfig) as api, Meddler(toxiproxy["url"]) as proxies:
        through = api.kubeconfig(kubeconfig, folder / "kubeconfig")
        document["kubernetes"]["kubeconfig"] = str(through)
        toxiproxy["url"] = proxies.url
        (folder / "environment.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        yield api, proxies
