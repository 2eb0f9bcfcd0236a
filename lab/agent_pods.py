"""What a node agent decides, touching nothing: pods read, probes counted, status written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from lab.addresses import reported

type Object = dict[str, Any]

# the kubelet's: at once, then 10 s doubled up to 5 min, and forgotten after 10 min of running
_FIRST_BACKOFF = 10.0
_LONGEST_BACKOFF = 300.0
_DEFAULT_PORT = 8080


@dataclass(frozen=True)
class Probe:
    """An HTTP GET that is repeated; times in seconds."""

    path: str
    port: int
    delay: float
    period: float
    timeout: float
    failures: int
    successes: int

    @classmethod
    def parse(cls, spec: Object | None, ports: Mapping[str, int]) -> Self | None:
        """A probe of the container's spec; None when there is none, or none by HTTP."""
        if not spec or "httpGet" not in spec:
            return None
        get = spec["httpGet"]
        port = get["port"]
        return cls(
            path=get.get("path", "/"),
            port=ports[port] if port in ports else int(port),
            delay=float(spec.get("initialDelaySeconds", 0)),
            period=float(spec.get("periodSeconds", 10)),
            timeout=float(spec.get("timeoutSeconds", 1)),
            failures=int(spec.get("failureThreshold", 3)),
            successes=int(spec.get("successThreshold", 1)),
        )


@dataclass(frozen=True)
class Streak:
    """Answers of one probe in a row, and the verdict that stands until enough others follow."""

    verdict: bool
    last: bool = False
    count: int = 0

    def after(self, good: bool, probe: Probe) -> "Streak":
        """The streak once one more answer is in."""
        count = self.count + 1 if self.count and good == self.last else 1
        needed = probe.successes if good else probe.failures
        return Streak(good if count >= needed else self.verdict, good, count)


@dataclass(frozen=True)
class Pod:
    """The part of a Pod object that an agent acts on. A pod of the lab has one container."""

    namespace: str
    name: str
    uid: str
    container: str
    image: str
    environment: Mapping[str, str]
    port: int
    readiness: Probe | None
    liveness: Probe | None
    grace: float | None
    restarts: int
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    account: str = "default"
    volumes: Mapping[str, Object] = field(default_factory=dict)  # by name, as the spec has them
    mounts: Mapping[str, str] = field(default_factory=dict)  # path in the container → volume

    @classmethod
    def parse(cls, item: Object) -> Self:
        """Read a Pod object; `grace` is None unless its deletion was asked for."""
        meta, spec = item["metadata"], item["spec"]
        container = spec["containers"][0]
        ports = {
            str(p.get("name", "")): int(p["containerPort"]) for p in container.get("ports", [])
        }
        statuses = item.get("status", {}).get("containerStatuses") or [{}]
        ending = "deletionTimestamp" in meta
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            container=container["name"],
            image=container["image"],
            environment={e["name"]: e.get("value", "") for e in container.get("env", [])},
            port=next(iter(ports.values()), _DEFAULT_PORT),
            readiness=Probe.parse(container.get("readinessProbe"), ports),
            liveness=Probe.parse(container.get("livenessProbe"), ports),
            grace=float(meta.get("deletionGracePeriodSeconds", 0)) if ending else None,
            restarts=int(statuses[0].get("restartCount", -1)) + 1,
            command=tuple(container.get("command", [])),
            arguments=tuple(container.get("args", [])),
            account=spec.get("serviceAccountName", "default"),
            volumes={one["name"]: one for one in spec.get("volumes", [])},
            mounts={one["mountPath"]: one["name"] for one in container.get("volumeMounts", [])},
        )

    @property
    def path(self) -> str:
        """Where the API server keeps it."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    def variables(self, address: str, node: str, zone: str) -> dict[str, str]:
        """The environment of its process: what its spec says, and where it runs."""
        return {
            **self.environment,
            "POD_NAME": self.name,
            "POD_UID": self.uid,
            "POD_NAMESPACE": self.namespace,
            "POD_IP": reported(address),
            "HOST": address,
            "PORT": str(self.port),
            "NODE_NAME": node,
            "ZONE": zone,
        }


@dataclass(frozen=True)
class Observed:
    """What the agent knows of a pod's process. Instants are UTC."""

    created: datetime
    changed: datetime  # when `ready` last changed
    address: str | None = None
    pid: int | None = None
    began: datetime | None = None
    ready: bool = False
    restarts: int = 0
    waiting: tuple[str, str] = ("ContainerCreating", "")
    last: Object | None = None  # how the container before this one ended

    def status(self, pod: Pod, host: str) -> Object:
        """The pod's status, as a strategic merge patch."""
        running = self.pid is not None
        truth = "True" if self.ready else "False"
        changed, created = stamp(self.changed), stamp(self.created)
        addresses = (
            {"podIP": self.address, "podIPs": [{"ip": self.address}]} if self.address else {}
        )
        return {
            "phase": "Running" if self.began else "Pending",
            "hostIP": host,
            "startTime": created,
            **addresses,
            "conditions": [
                {"type": "Initialized", "status": "True", "lastTransitionTime": created},
                {"type": "ContainersReady", "status": truth, "lastTransitionTime": changed},
                {"type": "Ready", "status": truth, "lastTransitionTime": changed},
            ],
            "containerStatuses": [
                {
                    "name": pod.container,
                    "image": pod.image,
                    "imageID": "",
                    "containerID": f"process://{self.pid}" if running else "",
                    "ready": self.ready,
                    "started": running,
                    "restartCount": self.restarts,
                    "state": self._state(),
                    "lastState": {"terminated": self.last} if self.last else {},
                }
            ],
        }

    def _state(self) -> Object:
        if self.pid is not None and self.began:
            return {"running": {"startedAt": stamp(self.began)}, "waiting": None}
        reason, message = self.waiting
        return {"waiting": {"reason": reason, "message": message}, "running": None}


def ended(code: int, began: datetime, now: datetime) -> Object:
    """How a container ended, as Kubernetes records it; a signal n is exit code 128 + n."""
    return {
        "exitCode": code if code >= 0 else 128 - code,
        "reason": "Completed" if code == 0 else "Error",
        "startedAt": stamp(began),
        "finishedAt": stamp(now),
    }


def backoff(restarts: int) -> float:
    """Seconds to wait before a restart: none before the first."""
    if restarts <= 1:
        return 0.0
    return float(min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** (restarts - 2)))


def ready_condition(known: Object | None, now: datetime) -> Object:
    """The node's Ready condition; it keeps the instant since when it has been true."""
    conditions = (known or {}).get("status", {}).get("conditions", [])
    before: Object = next((one for one in conditions if one["type"] == "Ready"), {})
    since = before.get("lastTransitionTime") if before.get("status") == "True" else None
    return {
        "type": "Ready",
        "status": "True",
        "reason": "AgentReady",
        "message": "the node agent runs",
        "lastHeartbeatTime": stamp(now),
        "lastTransitionTime": since or stamp(now),
    }


def utc_now() -> datetime:
    """This instant, in UTC."""
    return datetime.now(UTC)


def stamp(instant: datetime) -> str:
    """An instant as Kubernetes writes it, in whole seconds."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
