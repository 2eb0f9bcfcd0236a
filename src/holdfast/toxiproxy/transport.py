"""What stands in for `requests` inside toxiproxy-python: bounded, and no failure is a success."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import toxiproxy.api

from holdfast.errors import Silent, Unreachable
from holdfast.fetch import Answer, Limits, NoAnswer, TooSlow, fetch

_BUSY = 429  # not now: to ask again is no mistake
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

    def get(self, url: str, params: None = None) -> Answer:
        """Fetch."""
        assert params is None
        return self._call("GET", url)

    def delete(self, url: str) -> Answer:
        """Remove."""
        return self._call("DELETE", url)

    def post(self, url: str, data: None = None, json: Any = None) -> Answer:
        """Create or change."""
        assert data is None
        return self._call("POST", url, json)

    def _call(self, method: str, url: str, body: Any = None) -> Answer:
        server = current.get()
        target = server.url.rstrip("/") + urlsplit(url).path
        headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}

        try:
            answer = fetch(target, Limits(server.call_s), method=method, headers=headers, body=body)
        except TooSlow as error:
            raise Silent(target, f"Toxiproxy {error}", _FROZEN) from None
        except NoAnswer as error:
            raise Unreachable(target, f"Toxiproxy {error}", _FROZEN) from None
        return _accepted(target, answer)


def _accepted(target: str, answer: Answer) -> Answer:
    """The answer, if it is 2xx and JSON (or empty, as to a removal)."""
    code, excerpt = answer.status_code, answer.excerpt()
    if 400 <= code < 500 and code != _BUSY:
        raise RefusedError(code, excerpt)
    if not 200 <= code < 300:
        raise Unreachable(
            target, f"it answered {code}: {excerpt}", "Is this Toxiproxy? Look at its log"
        )
    if answer.content:
        try:
            answer.json()
        except ValueError:
            raise Unreachable(
                target, f"it answered something that is not JSON: {excerpt}", "Is this Toxiproxy?"
            ) from None
    return answer


toxiproxy.api.requests = _Transport()
