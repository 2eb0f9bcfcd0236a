"""What stands in for `requests` inside toxiproxy-python: bounded, and no failure is a success."""

import json
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import toxiproxy.api

from holdfast.clock import within
from holdfast.errors import Unreachable

_CONNECT_S = 2.0
_EXCERPT = 200  # characters of a foreign answer that an error quotes
_FROZEN = "Is it running? Before 2.13 its API can freeze while a toxic is removed: restart it"


@dataclass(frozen=True)
class Server:
    url: str
    token: str | None
    call_s: float


class RefusedError(Exception):
    """The server understood, and said no (4xx)."""

    def __init__(self, code: int, body: str) -> None:
        super().__init__(f"it answered {code}: {body}")
        self.code = code


current: ContextVar[Server] = ContextVar("toxiproxy server")


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
        server = current.get()
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
        raise RefusedError(code, excerpt)
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
