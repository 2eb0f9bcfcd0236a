"""One HTTP call to a system that the environment names: bounded in time and size, as it was asked.

No redirect is followed, no proxy or credential of the environment is used, TLS is verified, and no
compressed answer is accepted. A name is looked up once a call; every address that it has is checked
(`addresses`), and the call goes to those that were checked.
"""

import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from holdfast.addresses import check_address, check_host
from holdfast.clock import left_s, within
from holdfast.redact import redacted

SMALL = 1 << 20  # bytes: versions, states, lists
LARGE = 256 << 20  # bytes: series and ledgers of a whole run
_CONNECT_S = 2.0
_BLOCK = 64 << 10
_LOOKED_AT = 10_000  # bytes of a foreign answer that are read for an excerpt
_EXCERPT = 200  # characters of it that an error quotes


class NoAnswer(Exception):
    """There was none, or none that is accepted; the text says why, without a subject."""


class TooSlow(NoAnswer):
    """It was asked, and was not done in time."""


@dataclass(frozen=True)
class Answer:
    """What was answered, whatever its code."""

    status_code: int
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """The content as JSON.

        Raises:
            ValueError: it is none, or nested too deeply to be read.
        """
        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def excerpt(self) -> str:
        """The beginning of the content, to be quoted in an error."""
        text = self.content[:_LOOKED_AT].decode(errors="replace").strip()
        return redacted(text)[:_EXCERPT]  # before it is cut: half a secret would not be found


@dataclass(frozen=True)
class Limits:
    """The seconds that a call may take in all, and the bytes that an answer may have.

    `ca` is a PEM file of the authorities that TLS is verified with, if not the system's.
    """

    seconds: float
    most: int = SMALL
    ca: str | None = None


def fetch(
    url: str,
    limits: Limits,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: Any = None,
) -> Answer:
    """Ask once; `body` is sent as JSON.

    Raises:
        NoAnswer: absent, silent, too large, or an address that is never called.
    """
    sent = dict(headers or {})
    if body is not None:
        sent["Content-Type"] = "application/json"
    request = method, sent, None if body is None else json.dumps(body)
    try:
        return within(limits.seconds, lambda: _ask(url, request, limits))
    except TimeoutError:
        raise TooSlow(_slow(limits)) from None


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """The URL with more parameters."""
    joint = "&" if urlsplit(url).query else "?"
    return f"{url}{joint}{urlencode(parameters)}"


def _ask(url: str, request: tuple[str, dict[str, str], str | None], limits: Limits) -> Answer:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    method, headers, body = request
    headers |= {"Host": parts.netloc, "Accept-Encoding": "identity", "User-Agent": "holdfast"}
    for last, address in _addresses(host, port):
        try:
            with _pool(parts.scheme, host, (address, port), limits) as pool:
                answer = pool.urlopen(
                    method,
                    target,
                    body=body,
                    headers=headers,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                )
                with answer:
                    return Answer(answer.status, _content(answer, limits))
        except urllib3.exceptions.NewConnectionError as error:
            if last:
                raise NoAnswer("could not be reached (ConnectionError)") from error
        except urllib3.exceptions.ConnectTimeoutError:
            if last:
                raise NoAnswer(f"did not accept a connection within {_CONNECT_S:g} s") from None
        except urllib3.exceptions.ReadTimeoutError:
            raise TooSlow(_slow(limits)) from None
        except urllib3.exceptions.ProtocolError:
            raise NoAnswer("closed the connection without a whole answer") from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise NoAnswer(f"could not be reached ({type(error).__name__})") from None
    raise NoAnswer("could not be reached (it has no address)")


def _addresses(host: str, port: int) -> list[tuple[bool, str]]:
    """Each address of a name, and whether it is the last; one that is never called refuses all."""
    try:
        check_host(host)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [*dict.fromkeys(str(one[4][0]) for one in found)]
        for one in addresses:
            check_address(one)
    except (OSError, UnicodeError):
        raise NoAnswer(f"could not be reached (no address of {host})") from None
    except ValueError as error:
        raise NoAnswer(f"was not called: {error}") from None
    return [(number == len(addresses), one) for number, one in enumerate(addresses, 1)]


def _pool(
    scheme: str, host: str, where: tuple[str, int], limits: Limits
) -> urllib3.HTTPConnectionPool:
    """A connection to one address; what it shows as certificate has to be the host's."""
    timeout = urllib3.Timeout(connect=connect_s(), read=limits.seconds)
    if scheme == "http":
        return waited(urllib3.HTTPConnectionPool)(*where, timeout=timeout)
    return waited(urllib3.HTTPSConnectionPool)(
        *where,
        timeout=timeout,
        ssl_context=_tls(limits.ca),
        server_hostname=host,
        assert_hostname=host,
    )


def connect_s() -> float:
    """How long a connection may take to be made: seconds.

    Raises:
        TooSlow: nobody waits for it any more.
    """
    if not (left := left_s()):
        raise TooSlow("was not called in time")
    return min(_CONNECT_S, left)


@cache
def waited(pool: type[urllib3.HTTPConnectionPool]) -> type[urllib3.HTTPConnectionPool]:
    """Such a pool, whose connections say nothing once nobody waits for what they are made for."""
    connection = type("Waited", (_Waited, pool.ConnectionCls), {})
    return type("WaitedPool", (pool,), {"ConnectionCls": connection})


class _Waited(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        """A name's lookup has no time limit: what is said now may be heard far too late."""
        super().connect()
        connect_s()


@cache
def _tls(ca: str | None) -> ssl.SSLContext:
    """Verifies against the system's authorities; `SSL_CERT_FILE` names others."""
    return ssl.create_default_context(cafile=ca)


def _content(answer: urllib3.BaseHTTPResponse, limits: Limits) -> bytes:
    coding = answer.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        raise NoAnswer(f"answered in the coding {coding[:40]!r}, which was not asked for")
    content = bytearray()
    while block := answer.read(_BLOCK, decode_content=False):
        content += block
        if len(content) > limits.most:
            raise NoAnswer(f"answered with more than {limits.most / (1 << 20):g} MiB")
        if not left_s():
            raise TooSlow(_slow(limits))
    return bytes(content)


def _slow(limits: Limits) -> str:
    return f"accepted the connection and did not answer within {limits.seconds:g} s"
