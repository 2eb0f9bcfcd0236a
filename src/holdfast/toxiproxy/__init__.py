"""Toxiproxy, through toxiproxy-python behind a transport that cannot take a failure for success.

The package knows one server for the whole process, has no time limit, follows redirects and
returns normally on a 500. Its module attribute `requests` is therefore replaced by `_Transport`,
which takes the server from a context variable, ends every call after five seconds and raises on
every answer that is not 2xx and JSON. The server itself accepts a misspelt attribute as zero and a
toxicity of 7, so toxics are checked before they are sent and read back afterwards.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import toxiproxy.api
from toxiproxy.proxy import Proxy as PackagedProxy

from holdfast.errors import FaultNotApplied, FaultRemains, Unreachable
from holdfast.toxiproxy import toxics
from holdfast.toxiproxy.toxics import ATTRIBUTES, Proxy, Toxic
from holdfast.toxiproxy.transport import RefusedError, Server, current

__all__ = ["ATTRIBUTES", "Proxy", "Toxic", "Toxiproxy"]

CALL_S = 5.0  # one call, from looking up the name to the last byte of the answer


class Toxiproxy:
    """One instance. Every change is read back; nothing here is global (`reset`, `populate`)."""

    def __init__(self, url: str, token: str | None = None, call_s: float = CALL_S) -> None:
        self.url = url
        self._server = Server(url, token, call_s)

    def version(self) -> str:
        """Its version, such as `2.12.0`.

        Raises:
            Unreachable: absent, silent, or not Toxiproxy.
        """
        return self._understood(lambda: str(self._fetch("/version")["version"]))

    def proxies(self) -> dict[str, Proxy]:
        """Every proxy with its toxics, by name."""
        return self._understood(
            lambda: {name: toxics.parse(one) for name, one in self._fetch("/proxies").items()}
        )

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Add a toxic and read it back.

        Raises:
            InvalidInput: the toxic is one that the server would accept and misunderstand.
            FaultNotApplied: the server refused it, or it reads back differently.
        """
        toxics.check(toxic)
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
        except RefusedError as error:
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

    def remove_toxic(self, proxy: str, name: str) -> Proxy:
        """Remove a toxic and read back that it is gone; one that is absent is gone already.

        Answers with the proxy as it was read back.

        Raises:
            FaultRemains: it is still there, or the proxy itself is gone and with it the path.
        """
        try:
            self._change(proxy, lambda one: one.destroy_toxic(quote(name, safe="")))
        except RefusedError as error:
            if error.code != 404:
                raise FaultRemains(
                    f"toxic {name} on {proxy} at {self.url}", str(error), "Remove it by hand"
                ) from None
        now = self._still_there(proxy)
        if name in now.toxics:
            raise FaultRemains(
                f"toxic {name} on {proxy} at {self.url}",
                "it was removed and is still there",
                "Remove it by hand",
            )
        return now

    def set_enabled(self, proxy: str, enabled: bool) -> None:
        """Let a proxy listen, or close it and every connection through it; read back.

        Raises:
            FaultNotApplied, FaultRemains: it could not be closed, or not be opened again.
        """
        wrong = FaultRemains if enabled else FaultNotApplied
        try:
            self._change(proxy, lambda one: one.enable() if enabled else one.disable())
        except RefusedError as error:
            raise wrong(f"proxy {proxy} at {self.url}", str(error), "Look at the proxy") from None
        if self._still_there(proxy).enabled != enabled:
            raise wrong(
                f"proxy {proxy} at {self.url}",
                f"it reads back as {'disabled' if enabled else 'enabled'}",
                "Look at the proxy",
            )

    def create(self, proxy: Proxy) -> None:
        """Make a proxy that is not there, and read it back.

        Raises:
            FaultRemains: it could not be made, and nothing passes.
        """
        body = {
            "name": proxy.name,
            "listen": proxy.listen,
            "upstream": proxy.upstream,
            "enabled": proxy.enabled,
        }
        try:
            self._with_server(lambda: toxiproxy.api.APIConsumer.post("/proxies", json=body))
        except RefusedError as error:
            if error.code != 409:  # somebody else has just made it
                raise FaultRemains(
                    f"proxy {proxy.name} at {self.url}", str(error), "Create it by hand"
                ) from None
        self._still_there(proxy.name)

    def delete(self, proxy: str) -> None:
        """Delete a proxy with its toxics and its connections; one that is absent is gone."""
        try:
            self._with_server(
                lambda: toxiproxy.api.APIConsumer.delete(f"/proxies/{quote(proxy, safe='')}")
            )
        except RefusedError as error:
            if error.code != 404:
                raise FaultRemains(
                    f"proxy {proxy} at {self.url}", str(error), "Look at the proxy"
                ) from None

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
        token = current.set(self._server)
        try:
            return call()
        finally:
            current.reset(token)

    def _understood[T](self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (KeyError, TypeError, AttributeError, ValueError):
            reason = "its answer has another form"
        except RefusedError as error:
            reason = str(error)
        raise Unreachable(self.url, reason, "Is this Toxiproxy, and is the token right?")
