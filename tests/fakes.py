"""Small real servers on loopback: a Kubernetes API, a Prometheus, and servers that are broken."""

import contextlib
import copy
import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from holdfast.clock import sleep

type Json = dict[str, Any]
type Answer = tuple[int, Json | Iterator[bytes]]  # bytes are sent as they come, in chunks

ZONE = "topology.kubernetes.io/zone"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    answer: Callable[[str, str, Any], Answer]

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.open: list[socket.socket] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no news, and its trace must not land on the caller's stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as an API server does: an event waits for no other
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.append(self.connection)

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        code, document = self.server.answer(self.command, self.path, body)
        if not isinstance(document, dict):
            return self._stream(code, document)
        content = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)
        return None

    def _stream(self, code: int, parts: Iterator[bytes]) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  # http.server calls these


@contextlib.contextmanager
def serving(
    host: str,
    answer: Callable[[str, str, Any], Answer],
    accepted: list[socket.socket] | None = None,
) -> Iterator[str]:
    """Serve until the block ends; yields the URL. `accepted` collects the connections."""
    server = _Server(host)
    server.open = accepted if accepted is not None else []
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join(5)
        for connection in server.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()


class FakeKubernetes:
    """Pods and nodes behind the API's own paths, codes and preconditions.

    `forbidden` holds rights such as `delete pods`; `policies` says what refuses a dry run; `deaf`
    methods answer well and do nothing; `before` is called with method and path before each request,
    to let somebody else act first. `watch` answers a watch in the place of what `tell` was told.
    """

    def __init__(self) -> None:
        self.uid = "cluster-1"
        self.nodes: dict[str, Json] = {}
        self.pods: dict[tuple[str, str], Json] = {}
        self.listed: dict[str, list[Json]] = {}  # other kinds, such as `deployments`
        self.leases: dict[str, Json] = {}
        self.events: list[Json] = []
        self.other: dict[str, Json] = {}  # documents of other API groups, by path
        self.forbidden: set[str] = set()
        self.denies = ""  # what an admission policy says to every change
        self.deaf: set[str] = set()
        self.policies = {"labels": "holdfast-nodes", "annotations": "holdfast-fencing"}
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.calls: list[tuple[str, str]] = []
        self.accepted: list[socket.socket] = []
        self.url = ""
        self.watch: Callable[[], Answer] | None = None
        self.watches = 0  # how many were asked for
        self._told: list[tuple[int, str, Json]] = []
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._version = 0

    def add_node(self, name: str, zone: str, **spec: Any) -> Json:
        """A node that is ready."""
        node = {
            "metadata": self._metadata(name, labels={ZONE: zone}),
            "spec": spec,
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            },
        }
        self.nodes[name] = node
        return node

    def add_pod(
        self, name: str, node: str, namespace: str = "wallet", owner: str = "rs-1", **labels: str
    ) -> Json:
        """A pod that is ready, labelled `app=wallet-api` unless told otherwise."""
        metadata = self._metadata(name, labels=labels or {"app": "wallet-api"})
        metadata["namespace"] = namespace
        if owner:
            it = {"uid": owner, "controller": True, "kind": "ReplicaSet", "name": owner}
            metadata["ownerReferences"] = [it]
        resources = {"requests": {"cpu": "100m", "memory": "128Mi"}}
        pod = {
            "metadata": metadata,
            "spec": {"nodeName": node, "containers": [{"name": "it", "resources": resources}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        self.pods[namespace, name] = pod
        self.tell("ADDED", pod)
        return pod

    def tell(self, kind: str, pod: Json) -> None:
        """A pod has changed: watches hear of it."""
        with self._changed:
            self._version += 1
            pod["metadata"]["resourceVersion"] = str(self._version)
            self._told.append((self._version, kind, copy.deepcopy(pod)))
            self._changed.notify_all()

    def turn(self, name: str, ready: bool, namespace: str = "wallet") -> None:
        """A pod becomes ready, or not ready."""
        with self._lock:
            pod = self.pods[namespace, name]
            pod["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
            self.tell("MODIFIED", pod)

    def add_workload(self, kind: str, name: str, **labels: str) -> Json:
        """A workload of that kind in the namespace `wallet`, of pods labelled `app=<name>`."""
        metadata = {**self._metadata(name, labels), "namespace": "wallet"}
        one = {"metadata": metadata, "spec": {"selector": {"matchLabels": {"app": name}}}}
        self.listed.setdefault(kind, []).append(one)
        return one

    def add_budget(self, allowed: int, selector: Json | None = None) -> Json:
        """A disruption budget in `wallet`, for the pods `app=wallet-api` or others."""
        metadata = {**self._metadata("wallet-api", {}), "namespace": "wallet", "generation": 1}
        one = {
            "metadata": metadata,
            "spec": {"selector": selector or {"matchLabels": {"app": "wallet-api"}}},
            "status": {"disruptionsAllowed": allowed, "observedGeneration": 1},
        }
        self.listed.setdefault("poddisruptionbudgets", []).append(one)
        return one

    def touch(self, node: str) -> None:
        """Write to a node as a kubelet does: only its resource version changes."""
        self._version += 1
        self.nodes[node]["metadata"]["resourceVersion"] = str(self._version)

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig for this server."""
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(self.url)))
        return path

    def answer(self, method: str, target: str, body: Any) -> Answer:  # noqa: PLR0911  # it routes
        """One request."""
        url = urlsplit(target)
        self.before(method, url.path)
        with self._lock:
            self.calls.append((method, url.path))
            parts = url.path.strip("/").split("/")
            if parts == ["version"]:
                return 200, {"gitVersion": "v1.36.3"}
            if parts[-1] == "selfsubjectaccessreviews":
                wanted = body["spec"]["resourceAttributes"]
                right = f"{wanted['verb']} {wanted['resource']}"
                denied = {right, right if wanted["namespace"] else f"{right} everywhere"}
                return 201, {"status": {"allowed": not denied & self.forbidden}}
            if "leases" in parts:
                return self._lease(method, parts[parts.index("leases") + 1 :], body)
            if parts[0] == "apis" and (len(parts) < 4 or url.path in self.other):
                return self._other(url.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            selector, rest = query.get("labelSelector", ""), parts[2 if parts[0] == "api" else 3 :]
            if "watch" in query:
                return self._watched(selector, int(query["resourceVersion"]))
            if "dryRun" in query:
                return self._tried(body[-1]["path"].rpartition("/")[2])
            return self._resource(method, rest, body, selector)

    def _watched(self, selector: str, since: int) -> Answer:
        self.watches += 1
        if "watch pods" in self.forbidden:
            return _failed(403, "pods is forbidden: cannot watch resource")
        return self.watch() if self.watch else (200, self._changes(selector, since))

    def _changes(self, selector: str, since: int) -> Iterator[bytes]:
        """What was told after that version, for ever; a bookmark when nothing was for a second."""
        while True:
            with self._changed:
                told = self._since(since) or (self._changed.wait(1.0) and self._since(since))
            if not told:
                yield line("BOOKMARK", {"metadata": {"resourceVersion": str(since)}})
                continue
            since = told[-1][0]
            for _, kind, pod in told:
                if _wanted(selector).items() <= pod["metadata"].get("labels", {}).items():
                    yield line(kind, pod)

    def _since(self, version: int) -> list[tuple[int, str, Json]]:
        return [one for one in self._told if one[0] > version]

    def _tried(self, part: str) -> Answer:
        """What the admission policy says to a change of that part of a node's metadata."""
        if name := self.policies.get(part):
            words = f"with binding '{name}' denied request: holdfast does not do that"
            return _failed(403, f"nodes is forbidden: ValidatingAdmissionPolicy '{name}' {words}")
        return 200, {}

    def _resource(self, method: str, parts: list[str], body: Any, selector: str) -> Answer:
        namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 2 else None
        kind, *name = parts[2:] if namespace else parts
        verb = {"DELETE": "delete", "PATCH": "patch"}.get(method, "get" if name else "list")
        if self.denies and verb not in ("get", "list"):
            return _failed(403, f"{kind} is forbidden: {self.denies}")
        if f"{verb} {kind}" in self.forbidden:
            return _failed(403, f"{kind} is forbidden: cannot {verb} resource")
        if kind == "events":
            self.events.append(body)
        if kind in ("namespaces", "events"):
            return 200, {"metadata": {"name": "".join(name), "uid": self.uid}}
        if not name:
            items = copy.deepcopy(self._listed(kind, namespace, selector))
            return 200, {"metadata": {"resourceVersion": str(self._version)}, "items": items}
        if kind == "nodes":
            return self._one(method, self.nodes, name[0], body)
        return self._one(method, self.pods, (namespace or "", name[0]), body)

    def _lease(self, method: str, name: list[str], body: Any) -> Answer:
        """Leases: created once, replaced only as they were read."""
        verb = {"POST": "create", "PUT": "update"}.get(method, "get")
        if f"{verb} leases" in self.forbidden:
            return _failed(403, f"leases is forbidden: cannot {verb} resource")
        key = name[0] if name else body["metadata"]["name"]
        known = self.leases.get(key)
        if method == "GET":
            return (200, copy.deepcopy(known)) if known else _failed(404, f"{key} not found")
        if method == "POST" and known:
            return _failed(409, f"{key} already exists")
        if method == "PUT":
            if known is None:
                return _failed(404, f"{key} not found")
            given = body["metadata"]["uid"], body["metadata"]["resourceVersion"]
            if given != (known["metadata"]["uid"], known["metadata"]["resourceVersion"]):
                return _failed(409, "the object has been modified")
        self._version += 1
        uid = known["metadata"]["uid"] if known else f"uid-{key}-{self._version}"
        metadata = {**body["metadata"], "uid": uid, "resourceVersion": str(self._version)}
        self.leases[key] = {**copy.deepcopy(body), "metadata": metadata}
        return 200, copy.deepcopy(self.leases[key])

    def _other(self, path: str) -> Answer:
        kind = path.rpartition("/")[2]
        if f"list {kind}" in self.forbidden:
            return _failed(403, f"{kind} is forbidden: cannot list resource")
        return (200, self.other[path]) if path in self.other else _failed(404, f"no {path}")

    def _listed(self, kind: str, namespace: str | None, selector: str) -> list[Json]:
        if kind == "nodes":
            return list(self.nodes.values())
        if kind != "pods":
            return [
                one
                for one in self.listed.get(kind, [])
                if namespace in (None, one["metadata"]["namespace"])
            ]
        wanted = _wanted(selector)
        return [
            pod
            for (place, _), pod in self.pods.items()
            if namespace in (None, place)
            and wanted.items() <= pod["metadata"].get("labels", {}).items()
        ]

    def _one(self, method: str, kept: dict[Any, Json], key: Any, body: Any) -> Answer:
        if key not in kept:
            return _failed(404, f"{key} not found")
        one = kept[key]
        if method == "DELETE":
            wanted = (body or {}).get("preconditions", {}).get("uid", one["metadata"]["uid"])
            if wanted != one["metadata"]["uid"]:
                return _failed(409, "Precondition failed: UID in precondition does not match")
            if method in self.deaf:
                return 200, one
            if body.get("gracePeriodSeconds"):
                one["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
                self.tell("MODIFIED", one)
            else:
                del kept[key]
                self.tell("DELETED", one)
            return 200, one
        if method == "PATCH" and method not in self.deaf:
            try:
                kept[key] = one = patched(one, body)
            except ValueError as error:
                return _failed(422, str(error))
            self.touch(key)
        return 200, copy.deepcopy(one)

    def _metadata(self, name: str, labels: dict[str, str]) -> Json:
        self._version += 1
        return {
            "name": name,
            "uid": f"uid-{name}-{self._version}",
            "resourceVersion": str(self._version),
            "labels": labels,
        }


def line(kind: str, document: Json) -> bytes:
    """One event of a watch."""
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


def _wanted(selector: str) -> dict[str, str]:
    return dict(one.split("=") for one in selector.split(",")) if selector else {}


def kubeconfig(url: str, **cluster: Any) -> Json:
    """A kubeconfig with one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "it", "user": {"token": "the-token-of-the-fake"}}],
    }


def patched(document: Json, operations: list[Json]) -> Json:
    """JSON Patch (RFC 6902): test, add, remove, replace; all of it or, as ValueError, none."""
    after = copy.deepcopy(document)
    for one in operations:
        *way, last = [
            part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]
        ]
        place = after
        for part in way:
            if part not in place:
                raise ValueError(f"{one['path']} does not exist")
            place = place[part]
        if one["op"] != "add" and last not in place:
            raise ValueError(f"{one['path']} does not exist")
        if one["op"] == "test" and place[last] != one["value"]:
            raise ValueError(f"testing path {one['path']} failed")
        if one["op"] in ("add", "replace"):
            place[last] = one["value"]
        if one["op"] == "remove":
            del place[last]
    return after


def _failed(code: int, message: str) -> Answer:
    return code, {"kind": "Status", "code": code, "message": message}


class FakePrometheus:
    """Answers every query with `result`; `code` and `document` replace an answer whole."""

    def __init__(self) -> None:
        self.result: list[Json] = []
        self.warnings: list[str] = []
        self.failure: Answer | None = None
        self.asked: list[dict[str, str]] = []
        self.ready = True
        self.url = ""
        self.alerts: list[Json] = []
        self.rules: list[str] = []
        self.vectors: Callable[[str], list[Json]] | None = None  # instant queries, by their text

    def fire(self, name: str, severity: str = "critical", state: str = "firing") -> None:
        """An alert is there."""
        labels = {"alertname": name, "severity": severity}
        self.alerts.append({"labels": labels, "state": state, "annotations": {}, "value": "1"})

    def answer(self, _method: str, target: str, _body: Any) -> Answer:
        """One request."""
        url = urlsplit(target)
        self.asked.append({key: values[0] for key, values in parse_qs(url.query).items()})
        if url.path == "/-/ready":
            return (200 if self.ready else 503), {}
        if self.failure:
            return self.failure
        asked = self.asked[-1].get("query", "")
        answer: Json = {"status": "success", "data": self._data(url.path, asked)}
        return 200, answer | ({"warnings": self.warnings} if self.warnings else {})

    def _data(self, path: str, query: str) -> Json:
        if path.endswith("/alerts"):
            return {"alerts": self.alerts}
        if path.endswith("/rules"):
            return {"groups": [{"rules": [{"name": one} for one in self.rules]}]}
        if path.endswith("/buildinfo"):
            return {"version": "3.5.0"}
        if path.endswith("/targets"):
            return {"activeTargets": [{"labels": {"job": "edge"}, "health": "up"}]}
        if self.vectors:
            return {"resultType": "vector", "result": self.vectors(query)}
        return {"resultType": "matrix", "result": self.result}


class Broken:
    """A server that accepts and then does the wrong thing; it remembers what it was asked for."""

    HTML = b"<html><body>Welcome to the proxy</body></html>"
    ANSWERS: ClassVar[dict[str, bytes]] = {
        "500": b'HTTP/1.1 500 Oops\r\nContent-Length: 17\r\n\r\n{"error": "oops"}',
        "html": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(HTML), HTML),
        "redirect": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        "busy": b"HTTP/1.1 429 Slow\r\nRetry-After: 12\r\nContent-Length: 2\r\n\r\n{}",
        "other": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1, 2, 34]",
        "empty": b"",
    }

    def __init__(self, kind: str, host: str) -> None:
        self.kind = kind
        self.seen: list[str] = []
        self._end = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((host, 0))
        self._listener.settimeout(0.05)
        host, port = self._listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        threads = []
        while not self._end.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threads.append(threading.Thread(target=self._answer, args=(connection,)))
                threads[-1].start()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            while request := connection.recv(65536):
                first = request.split(b"\r\n")[0].decode()
                if not first.endswith("HTTP/1.1"):
                    continue  # a body that came by itself
                self.seen.append(first)
                if self.kind in self.ANSWERS:
                    connection.sendall(self.ANSWERS[self.kind])
                    if self.kind == "empty":
                        return
                elif self.kind == "drip":
                    self._drip(connection)
                else:
                    self._end.wait(30)
                    return

    def _drip(self, connection: socket.socket) -> None:
        """Never silent for long, and never done: only a deadline in all ends this."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self._end.wait(0.05):
            connection.sendall(b"x")


def absent(host: str) -> str:
    """The URL of a port where nothing listens."""
    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://{host}:{port}"


def swept(folder: Path) -> None:
    """Somebody removes a folder in which others may be writing: it is gone from one instant on."""
    away = folder.rename(folder.with_name(f"{folder.name}.away"))
    shutil.rmtree(away)


@contextlib.contextmanager
def slow_name(name: str, address: str, seconds: float) -> Iterator[threading.Event]:
    """The system's resolver takes so long for this name while the block lasts, as when its packets
    are lost; the event is set once it has answered."""
    real, answered = socket.getaddrinfo, threading.Event()

    def look_up(host: Any, *more: Any, **named: Any) -> Any:
        if host != name:
            return real(host, *more, **named)
        sleep(seconds)
        answered.set()
        return real(address, *more, **named)

    socket.getaddrinfo = look_up
    try:
        yield answered
    finally:
        socket.getaddrinfo = real
