"""The lab's own client of the Kubernetes API: raw JSON over HTTPS, with watches that resume."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

MERGE = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

type Object = dict[str, Any]

_LINE = 8 << 20  # bytes; a watch event is one line
_GONE = 410


class ApiError(Exception):
    """The API server refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class ExpiredError(Exception):
    """The resource version is too old to resume from: list again."""


@dataclass(frozen=True)
class Access:
    """Where the API server is, whose certificate it shows, and with which token."""

    url: str
    ca: Path
    token: str


class Api:
    """Requests with one identity; use as an async context."""

    def __init__(self, access: Access) -> None:
        context = ssl.create_default_context(cafile=str(access.ca))
        self._session = aiohttp.ClientSession(
            access.url,
            headers={"Authorization": f"Bearer {access.token}"},
            connector=aiohttp.TCPConnector(ssl=context),
            timeout=aiohttp.ClientTimeout(total=10),
            read_bufsize=_LINE,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Object:
        """Read an object or a list."""
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: Object) -> Object:
        """Create."""
        return await self._call("POST", path, body=body)

    async def patch(self, path: str, body: Object, kind: str = MERGE, **query: str) -> Object:
        """Change; `kind` is the content type of the patch."""
        return await self._call("PATCH", path, body=body, kind=kind, query=query)

    async def delete(self, path: str, body: Object) -> Object:
        """Delete, with options."""
        return await self._call("DELETE", path, body=body)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        async with self._session.request(
            method,
            path,
            params=query or {},
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": kind},
        ) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise ApiError(answer.status, _message(text))
            result: Object = json.loads(text)
            return result

    async def watch(
        self, path: str, version: str, **query: str
    ) -> AsyncIterator[tuple[str, Object]]:
        """Events after that resource version, as (type, object), until the server ends the watch.

        Raises:
            ExpiredError: the version is too old.
        """
        asked = {**query, "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with self._session.get(path, params=asked, timeout=timeout) as answer:
            if answer.status == _GONE:
                raise ExpiredError
            if answer.status >= 400:
                raise ApiError(answer.status, _message(await answer.text()))
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    if event["object"].get("code") == _GONE:
                        raise ExpiredError
                    raise ApiError(event["object"].get("code", 500), str(event["object"]))
                yield event["type"], event["object"]


TRANSIENT = (ApiError, aiohttp.ClientError, asyncio.TimeoutError, OSError)


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
