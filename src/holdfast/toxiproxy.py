"""Toxiproxy, through toxiproxy-python behind a transport that cannot take a failure for success.

The package knows one server for the whole process, has no time limit, follows redirects and
returns normally on a 500. Its module attribute `requests` is therefore replaced by `_Transport`,
which takes the server from a context variable, ends every call after five seconds and raises on
every answer that is not 2xx and JSON. The server itself accepts a misspelt attribute as zero and a
toxicity of 7, so toxics are checked before they are sent and read back afterwards.
"""

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import toxiproxy.api
from toxiproxy.proxy import Proxy as PackagedProxy

from holdfast.clock import within
from holdfast.errors import FaultNotApplied, FaultRemains, InvalidInput, Unreachable

CALL_S = 5.0  # one call, from looking up the name to the last byte of the answer
_CONNECT_S = 2.0
_EXCERPT = 200  # characters of a foreign answer that an error quotes
_FROZEN = "Is it running? Before 2.13 its API can freeze while a toxic is removed: restart it"

# What a toxic of each kind has to have, each a whole number: milliseconds, or kilobytes a second.
ATTRIBUTES = {
    "latency": {"latency", "jitter"},
    "bandwidth": {"rate"},
    "reset_peer": {"timeout"},
}


@dataclass(frozen=True)
class Toxic:
    """A fault on one proxy's traffic; `toxicity` is the share of connections that it hits."""

    name: str
    kind: str
    attributes: Mapping[str, int]
    stream: str = "downstream"
    toxicity: float = 1.0


@dataclass(frozen=True)
class Proxy:
    """One path through Toxiproxy: where it listens, where it leads, and what is wrong with it."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: Mapping[str, Toxic]


@dataclass(frozen=True)
class _Server:
    url: str
    token: str | None
    call_s: float


class _RefusedError(Exception):
    """The server understood, and said no (4xx)."""

    def __init__(self, code: int, body: str) -> None:
        super().__init__(f"it answered {code}: {body}")
        self.code = code


_server: ContextVar[_Server] = ContextVar("toxiproxy server")


class _Transport:
    """Stands in for `requests` inside toxiproxy-python."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc between us and Toxiproxy

    def get(self, url: str, params: None = None) -> requests.Response:
        """Fetch."""
        assert params is None
        return self._call("GET", url)

    def delete(self, url: str) -> requests.Response:
        """Remove."""
        return self._call("DELETE", url)

    def post(self, url: str, data: None = None, json: Any = None) -> requests.Response:
        """Create or change."""
        assert data is None
        return self._call("POST", url, json)

    def _call(self, method: str, url: str, body: Any = None) -> requests.Response:
        server = _server.get()
        target = server.url.rstrip("/") + urlsplit(url).path
        headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}

        def send() -> requests.Response:
            return self._session.request(
                method,
                target,
                json=body,
                headers=headers,
                timeout=(_CONNECT_S, server.call_s),
                allow_redirects=False,
            )

        try:
            answer = within(server.call_s, send)
        except (requests.RequestException, TimeoutError) as error:
            raise Unreachable(target, _reason(error, server.call_s), _FROZEN) from None
        return _accepted(target, answer)


def _reason(error: Exception, call_s: float) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"Toxiproxy did not accept a connection within {_CONNECT_S:g} s"
    if isinstance(error, requests.Timeout | TimeoutError):
        return f"Toxiproxy accepted the connection and did not answer within {call_s:g} s"
    return f"Toxiproxy could not be reached ({type(error).__name__})"


def _accepted(target: str, answer: requests.Response) -> requests.Response:
    """The answer, if it is 2xx and JSON (or empty, as to a removal)."""
    code, excerpt = answer.status_code, answer.text[:_EXCERPT].strip()
    if 400 <= code < 500:
        raise _RefusedError(code, excerpt)
    if not 200 <= code < 300:
        raise Unreachable(
            target, f"it answered {code}: {excerpt}", "Is this Toxiproxy? Look at its log"
        )
    if answer.content:
        try:
            json.loads(answer.content)
        except ValueError:
            raise Unreachable(
                target, f"it answered something that is not JSON: {excerpt}", "Is this Toxiproxy?"
            ) from None
    return answer


toxiproxy.api.requests = _Transport()


class Toxiproxy:
    """One instance. Every change is read back; nothing here is global (`reset`, `populate`)."""

    def __init__(self, url: str, token: str | None = None, call_s: float = CALL_S) -> None:
        self.url = url
        self._server = _Server(url, token, call_s)

    def version(self) -> str:
        """Its version, such as `2.12.0`.

        Raises:
            Unreachable: absent, silent, or not Toxiproxy.
        """
        return self._understood(lambda: str(self._fetch("/version")["version"]))

    def proxies(self) -> dict[str, Proxy]:
        """Every proxy with its toxics, by name."""
        return self._understood(
            lambda: {name: _proxy(one) for name, one in self._fetch("/proxies").items()}
        )

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Add a toxic and read it back.

        Raises:
            InvalidInput: the toxic is one that the server would accept and misunderstand.
            FaultNotApplied: the server refused it, or it reads back differently.
        """
        _check(toxic)
        try:
            self._change(
                proxy,
                lambda one: one.add_toxic(
                    name=toxic.name,
                    type=toxic.kind,
                    stream=toxic.stream,
                    toxicity=toxic.toxicity,
                    attributes=dict(toxic.attributes),
                ),
            )
        except _RefusedError as error:
            raise FaultNotApplied(
                f"toxic {toxic.name} on {proxy} at {self.url}", str(error), "Nothing was added"
            ) from None
        now = self.proxies().get(proxy)
        if now is None or now.toxics.get(toxic.name) != toxic:
            raise FaultNotApplied(
                f"toxic {toxic.name} on {proxy} at {self.url}",
                f"it reads back as {now and now.toxics.get(toxic.name)}",
                "Undo the run, and look at the proxy",
            )

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove a toxic and read back that it is gone; one that is absent is gone already.

        Raises:
            FaultRemains: it is still there, or the proxy itself is gone and with it the path.
        """
        try:
            self._change(proxy, lambda one: one.destroy_toxic(quote(name, safe="")))
        except _RefusedError as error:
            if error.code != 404:
                raise FaultRemains(
                    f"toxic {name} on {proxy} at {self.url}", str(error), "Remove it by hand"
                ) from None
        if name in self._still_there(proxy).toxics:
            raise FaultRemains(
                f"toxic {name} on {proxy} at {self.url}",
                "it was removed and is still there",
                "Remove it by hand",
            )

    def set_enabled(self, proxy: str, enabled: bool) -> None:
        """Let a proxy listen, or close it and every connection through it; read back.

        Raises:
            FaultNotApplied, FaultRemains: it could not be closed, or not be opened again.
        """
        wrong = FaultRemains if enabled else FaultNotApplied
        try:
            self._change(proxy, lambda one: one.enable() if enabled else one.disable())
        except _RefusedError as error:
            raise wrong(f"proxy {proxy} at {self.url}", str(error), "Look at the proxy") from None
        if self._still_there(proxy).enabled != enabled:
            raise wrong(
                f"proxy {proxy} at {self.url}",
                f"it reads back as {'disabled' if enabled else 'enabled'}",
                "Look at the proxy",
            )

    def _still_there(self, proxy: str) -> Proxy:
        if (found := self.proxies().get(proxy)) is None:
            raise FaultRemains(
                f"proxy {proxy} at {self.url}",
                "it does not exist any more, so nothing passes through it",
                "Was Toxiproxy restarted? Create its proxies again",
            )
        return found

    def _fetch(self, path: str) -> Any:
        return self._with_server(lambda: toxiproxy.api.APIConsumer.get(path).json())

    def _change(self, proxy: str, change: Callable[[PackagedProxy], Any]) -> None:
        """Let the package change one proxy; it puts the name into a path and does not quote it."""
        packaged = PackagedProxy(name=quote(proxy, safe=""), upstream="", enabled=None, listen="")
        self._with_server(lambda: change(packaged))

    def _with_server[T](self, call: Callable[[], T]) -> T:
        token = _server.set(self._server)
        try:
            return call()
        finally:
            _server.reset(token)

    def _understood[T](self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (KeyError, TypeError, AttributeError, ValueError):
            reason = "its answer has another form"
        except _RefusedError as error:
            reason = str(error)
        raise Unreachable(self.url, reason, "Is this Toxiproxy, and is the token right?")


def _check(toxic: Toxic) -> None:
    """Refuse what the server would accept and misunderstand."""
    known, given = ATTRIBUTES.get(toxic.kind, set()), toxic.attributes
    if not known:
        wrong = f"no kind {toxic.kind!r}", f"Kinds: {', '.join(ATTRIBUTES)}"
    elif set(given) != known:
        names = ", ".join(sorted(given)) or "nothing"
        wrong = f"{toxic.kind} got {names}", f"It takes {', '.join(sorted(known))}"
    elif odd := [one for one in given.values() if type(one) is not int or one < 0]:
        wrong = f"{odd[0]!r} is not a whole number from 0", "Correct the value"
    elif not 0 <= toxic.toxicity <= 1:
        wrong = f"a toxicity of {toxic.toxicity:g} is no share", "It lies between 0 and 1"
    elif toxic.stream not in ("upstream", "downstream"):
        wrong = f"no stream {toxic.stream!r}", "It is upstream or downstream"
    else:
        return
    raise InvalidInput(f"toxic {toxic.name}", *wrong)


def _proxy(data: Any) -> Proxy:
    toxics = [
        Toxic(one["name"], one["type"], one["attributes"], one["stream"], one["toxicity"])
        for one in data["toxics"]
    ]
    by_name = {one.name: one for one in toxics}
    return Proxy(data["name"], data["listen"], data["upstream"], data["enabled"], by_name)
