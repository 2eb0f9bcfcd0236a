"""One call to the Kubernetes API: bounded, never retried in secret, its errors made plain.

The kubernetes package's client sends a request up to four times and sleeps for as long as a
`Retry-After` asks, whatever time limit it was given. Here its retries are off, and a call ends
after a time limit in all; what was not sent by then is never sent. Credentials that are not
accepted any more are read again, once; an API server that is busy (429) is asked once more, after
the time that it asks for, at most that limit. A watch is opened within that limit, too, and asked
for once; whoever wants more of it opens another.
"""

import contextlib
import errno
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from holdfast.clock import sleep, within
from holdfast.cluster import credentials
from holdfast.errors import HoldfastError, InvalidInput, Refused, Unreachable
from holdfast.fetch import TooSlow, connect_s, waited
from holdfast.redact import redacted

_EXPIRED = 401
_BUSY = 429
_MOST = 256 << 20  # bytes of an answer: ten thousand pods are less than half of it
_LONGEST = 10_000  # bytes of such an answer that are looked at
_BLOCK = 64 << 10
_LINE = 4 << 20  # bytes of one line of a watch: etcd keeps no object of more than 1.5 MiB
_QUIET_S = 120.0  # of a watch: an API server says about once a minute that it is still there
_EXCERPT = 200  # characters of a foreign answer that an error quotes
_DENIED = re.compile(r"ValidatingAdmissionPolicy '([^']+)'.* denied request: (.*)", re.DOTALL)
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

type Json = dict[str, Any]


class Client:
    """The API server that a kubeconfig names, or that of the pod in which we run."""

    def __init__(self, kubeconfig: str, call_s: float) -> None:
        self._kubeconfig = kubeconfig
        self._call_s = call_s
        self._enter()

    def _enter(self) -> None:
        """Read the credentials, and use them from now on."""
        from kubernetes.client.api_client import ApiClient

        self._api: Any = ApiClient(credentials.load(self._kubeconfig))
        manager = self._api.rest_client.pool_manager
        pools = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {name: waited(pool) for name, pool in pools.items()}
        self.url = str(self._api.configuration.host)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        accept: tuple[int, ...] = (),
    ) -> Json | None:
        """The JSON object that was answered; None for a code that the caller accepts.

        Raises:
            Unreachable: absent, silent, no Kubernetes API, or not allowed: names the missing right.
            Refused: the cluster's admission policy forbids it, whatever our rights.
        """

        def send() -> tuple[int, bytes, str]:
            answer = self._ask(method, path, query, body)
            after = str(answer.headers.get("Retry-After", ""))
            return int(answer.status), _content(answer.response), after

        code, content, after = self._bounded(send)
        if code == _EXPIRED:  # who asks is checked first: nothing was done
            self._enter()
            code, content, after = self._bounded(send)
        if code == _BUSY:  # nothing was done either
            sleep(min(float(after) if after.isdecimal() else 1.0, self._call_s))
            code, content, _ = self._bounded(send)
        if code in accept:
            return None
        if not 200 <= code < 300:
            raise _wrong(self.url, code, content, _wanted(method, path))
        document = _object(content)
        if document is None:
            raise _wrong(self.url, code, content, "")
        return document

    def follow(self, path: str, query: Mapping[str, str]) -> "Lines":
        """Open a watch; what it says is read as it comes.

        Raises:
            Unreachable: it was not opened.
        """

        def send() -> tuple[int, bytes, Any]:
            answer = self._ask("GET", path, query)
            opened = answer.status == 200
            return int(answer.status), b"" if opened else _content(answer.response), answer.response

        code, content, response = self._bounded(send)
        if code != 200:
            raise _wrong(self.url, code, content, _wanted("GET", path, "watch"))
        return Lines(response)

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any = None
    ) -> Any:
        kind = "application/json-patch+json" if method == "PATCH" else "application/json"
        request = self._api.param_serialize(
            method,
            path,
            query_params=[*(query or {}).items()],
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
        )
        credentials.keep_secrets(self._api.configuration)  # one may have been renewed
        return self._api.call_api(*request, _request_timeout=(connect_s(), self._call_s))

    def _bounded[T](self, send: Callable[[], T]) -> T:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        try:
            return within(self._call_s, send)
        except (TimeoutError, TooSlow, ReadTimeoutError):
            reason = f"it accepted the connection and did not answer within {self._call_s:g} s"
        except (HTTPError, OSError) as error:
            reason = f"it could not be reached ({type(error).__name__})"
        except ValueError as error:  # a line's end in a token, as files have it
            reason = f"it cannot be called with these credentials: {error}"
        except ApiException as error:  # how the package reports a TLS failure
            reason = f"it could not be trusted: {str(error.reason)[:_EXCERPT]}"
        raise Unreachable(self.url, reason, "Is the API server running, and is the URL right?")


class Lines:
    """Lines as a server sends them, until it ends, is quiet for too long, or one is too long."""

    def __init__(self, response: Any) -> None:
        from urllib3.exceptions import HTTPError

        self._response = response
        self._ends = (HTTPError, OSError, ValueError)
        self._socket: socket.socket | None = getattr(response.connection, "sock", None)
        if self._socket is not None:  # else it is closed after this answer, and keeps its limit
            self._socket.settimeout(_QUIET_S)

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        try:
            while (block := self._block()) and len(rest) <= _LINE:
                *whole, rest = (rest + block).split(b"\n")
                yield from whole
        finally:
            self._response.close()

    def stop(self) -> None:
        """Wake up whoever reads: there is no more."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _block(self) -> bytes:
        """What has come; empty at the end, whatever ended it."""
        try:
            block: bytes = self._response.read1(_BLOCK, decode_content=False)
        except self._ends:
            return b""
        return block


def open_client(kubeconfig: str, call_s: float) -> Client:
    """The client for these credentials; one per version of them, so that connections are reused.

    Raises:
        InvalidInput: they cannot be read, or cannot be used.
        Refused: they turn the verification of TLS off.
    """
    path = credentials.source(kubeconfig)
    try:
        return _opened(kubeconfig, str(path.resolve()), path.stat().st_mtime_ns, call_s)
    except OSError as error:
        raise InvalidInput(
            str(path), f"cannot be read: {error.strerror}", "Correct `kubernetes.kubeconfig`"
        ) from None


@cache
def _opened(kubeconfig: str, _path: str, _changed_ns: int, call_s: float) -> Client:
    return Client(kubeconfig, call_s)


def _content(response: Any) -> bytes:
    """The whole answer, unless it is more than a cluster can have to say."""
    content: bytes = response.read(_MOST + 1)
    if len(content) > _MOST:
        raise OSError(errno.EFBIG, "it is too large")
    return content


def _object(content: bytes) -> Json | None:
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(content)
        return document if isinstance(document, dict) else None
    return None


def _wrong(url: str, code: int, content: bytes, wanted: str) -> HoldfastError:
    document = _object(content) or {}
    said = str(document.get("message") or content[:_LONGEST].decode(errors="replace").strip())
    said = redacted(said)  # before it is cut: half a secret would not be found
    denied, said = _DENIED.search(said), said[:_EXCERPT]
    if code == _EXPIRED:
        why = "it does not accept our credentials (401), which were just read once more"
        return Unreachable(url, why, "Renew them where `kubernetes.kubeconfig` says")
    if code == 403 and denied:
        why = f"'{denied[1]}' does not let us {wanted}: {denied[2][:_EXCERPT]}"
        return Refused("the cluster's admission policy", why, "docs/deploy.md says what it is for")
    if code == 403:
        return Unreachable(url, f"no right to {wanted} (403): {said}", "Grant exactly that right")
    reason = f"it answered {code}: {said}"
    return Unreachable(url, reason, "Is this a Kubernetes API server? Look at its log")


def _wanted(method: str, path: str, verb: str = "") -> str:
    """The right that a call needs, as an administrator would write it."""
    parts = path.split("/")[4 if path.startswith("/apis/") else 3 :]
    if not parts:
        return f"get {path}"
    namespace = f" in namespace {parts[1]}" if parts[0] == "namespaces" and len(parts) > 2 else ""
    parts = parts[2:] if namespace else parts
    usual = "list" if method == "GET" and len(parts) == 1 else _VERBS[method]
    return f"{verb or usual} {parts[0]}{namespace}"
