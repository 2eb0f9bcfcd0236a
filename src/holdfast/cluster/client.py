"""One call to the Kubernetes API: bounded, never retried in secret, its errors made plain.

The kubernetes package's client sends a request up to four times and sleeps for as long as a
`Retry-After` asks, whatever time limit it was given. Here its retries are off, and a call ends
after a time limit in all. TLS is always verified.
"""

import contextlib
import json
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from holdfast.clock import within
from holdfast.errors import HoldfastError, InvalidInput, Refused, Unreachable
from holdfast.redact import keep_secret, redacted

_OPEN_S = 10.0  # reading a kubeconfig: it may name a program that fetches credentials
_CONNECT_S = 2.0
_LONGEST = 10_000  # bytes of such an answer that are looked at
_EXCERPT = 200  # characters of a foreign answer that an error quotes
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}

type Json = dict[str, Any]


class Client:
    """The API server that a kubeconfig names."""

    def __init__(self, api: Any, call_s: float) -> None:
        self._api = api
        self._call_s = call_s
        self.url = str(api.configuration.host)

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
        """
        kind = "application/json-patch+json" if method == "PATCH" else "application/json"

        def send() -> tuple[int, bytes]:
            request = self._api.param_serialize(
                method,
                path,
                query_params=[*(query or {}).items()],
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
            )
            _keep_secrets(self._api.configuration)  # a token may have been renewed just now
            answer = self._api.call_api(*request, _request_timeout=(_CONNECT_S, self._call_s))
            return answer.status, answer.read()

        code, content = self._bounded(send)
        if code in accept:
            return None
        if not 200 <= code < 300:
            raise _wrong(self.url, code, content, _wanted(method, path))
        document = _object(content)
        if document is None:
            raise _wrong(self.url, code, content, "")
        return document

    def _bounded(self, send: Any) -> tuple[int, bytes]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        try:
            code, content = within(self._call_s, send)
        except (TimeoutError, ReadTimeoutError):
            reason = f"it accepted the connection and did not answer within {self._call_s:g} s"
        except (HTTPError, OSError) as error:
            reason = f"it could not be reached ({type(error).__name__})"
        except ApiException as error:  # how the package reports a TLS failure
            reason = f"it could not be trusted: {str(error.reason)[:_EXCERPT]}"
        else:
            return int(code), bytes(content)
        raise Unreachable(self.url, reason, "Is the API server running, and is the URL right?")


def open_client(kubeconfig: str, call_s: float) -> Client:
    """The client for a kubeconfig; one per version of the file, so that connections are reused.

    Raises:
        InvalidInput: it cannot be read, or is no kubeconfig.
        Refused: it turns the verification of TLS off.
    """
    path = Path(kubeconfig).expanduser()
    try:
        return _opened(str(path.resolve()), path.stat().st_mtime_ns, call_s)
    except OSError as error:
        raise InvalidInput(
            kubeconfig, f"cannot be read: {error.strerror}", "Correct `kubernetes.kubeconfig`"
        ) from None


@cache
def _opened(path: str, _changed_ns: int, call_s: float) -> Client:
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration
    from kubernetes.config.kube_config import load_kube_config

    configuration = Configuration()
    configuration.retries = False
    load: Any = load_kube_config
    try:
        within(_OPEN_S, lambda: load(path, None, configuration, persist_config=False))
    except Exception as error:  # noqa: BLE001  # the package raises anything at all on a malformed file
        raise InvalidInput(path, f"is no usable kubeconfig: {error}", "Correct the file") from None
    try:
        _keep_secrets(configuration)
    except ValueError as error:
        raise InvalidInput(path, str(error), "Use longer credentials") from None
    host = urlsplit(configuration.host)
    loopback = host.hostname == "localhost" or (host.hostname or "").startswith("127.")
    if not configuration.verify_ssl or (host.scheme != "https" and not loopback):
        raise Refused(
            path, "it turns the verification of TLS off", "Name the cluster's CA there instead"
        )
    return Client(ApiClient(configuration), call_s)


def _keep_secrets(configuration: Any) -> None:
    """No token, password or key of a kubeconfig stands in what we write.

    Raises:
        ValueError: one of them is too short for that.
    """
    found: list[str | None] = []
    for kind, _, value in (one.rpartition(" ") for one in configuration.api_key.values()):
        found.append(value)
        if kind == "Basic":
            found.append(b64decode(value).decode().partition(":")[2])
    found += [urlsplit(url or "").password for url in (configuration.host, configuration.proxy)]
    if configuration.key_file:
        found.append(Path(configuration.key_file).read_text())
    for one in filter(None, found):
        keep_secret(one)


def _object(content: bytes) -> Json | None:
    with contextlib.suppress(ValueError):
        document = json.loads(content)
        return document if isinstance(document, dict) else None
    return None


def _wrong(url: str, code: int, content: bytes, wanted: str) -> HoldfastError:
    document = _object(content) or {}
    said = str(document.get("message") or content[:_LONGEST].decode(errors="replace").strip())
    said = redacted(said)[:_EXCERPT]  # before it is cut: half a secret would not be found
    if code == 401:
        return Unreachable(url, "it does not accept this kubeconfig's credentials (401)", "Renew")
    if code == 403:
        return Unreachable(url, f"no right to {wanted} (403): {said}", "Grant exactly that right")
    reason = f"it answered {code}: {said}"
    return Unreachable(url, reason, "Is this a Kubernetes API server? Look at its log")


def _wanted(method: str, path: str) -> str:
    """The right that a call needs, as an administrator would write it."""
    if not path.startswith(("/api/", "/apis/")):
        return f"get {path}"
    parts = path.split("/")[3 if path.startswith("/api/") else 4 :]
    namespace = f" in namespace {parts[1]}" if parts[0] == "namespaces" and len(parts) > 2 else ""
    parts = parts[2:] if namespace else parts
    verb = "list" if method == "GET" and len(parts) == 1 else _VERBS[method]
    return f"{verb} {parts[0]}{namespace}"
