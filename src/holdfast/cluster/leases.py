"""A Lease: read, created, replaced only as it was read. The API server decides every race."""

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from holdfast.clock import utc_now
from holdfast.cluster.client import Client, Json, open_client
from holdfast.errors import Unreachable

CALL_S = 5.0

_OTHERS = ("labels", "ownerReferences", "finalizers")  # a PUT without them would take them away
_KIND = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}


@dataclass(frozen=True)
class Lease:
    """One version of a lease. An empty holder means that nobody has it."""

    holder: str = ""
    transitions: int = 0
    seconds: int = 0
    renewed: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    uid: str = ""
    version: str = ""
    others: dict[str, Any] = field(default_factory=dict)  # labels, owners, finalizers: not ours

    @property
    def token(self) -> str:
        """The fencing token: it rises with each holder, and a lease made anew has another uid."""
        return f"{self.uid}/{self.transitions}"

    def taken(self, holder: str, seconds: int) -> "Lease":
        """The same with its next holder; what others noted on it stays."""
        transitions = self.transitions + 1
        return replace(self, holder=holder, transitions=transitions, seconds=seconds).renew()

    def renew(self) -> "Lease":
        """The same, renewed now."""
        return replace(self, renewed=f"{utc_now():%Y-%m-%dT%H:%M:%S.%fZ}")


class Leases:
    """The leases of one namespace."""

    def __init__(self, kubeconfig: str, namespace: str, call_s: float = CALL_S) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._call_s = call_s

    def get(self, name: str) -> Lease | None:
        """The lease as it is now; None when there is none."""
        return self._parsed(self._client.call("GET", self._path(name), accept=(404,)))

    def create(self, name: str, lease: Lease) -> Lease | None:
        """Make it; None when somebody else was first."""
        body = self._body(name, lease)
        return self._parsed(self._client.call("POST", self._path(), body=body, accept=(409,)))

    def replace(self, name: str, lease: Lease) -> Lease | None:
        """Write this version over the one that was read; None when that one is not there now."""
        body = self._body(name, lease)
        path = self._path(name)
        return self._parsed(self._client.call("PUT", path, body=body, accept=(404, 409)))

    @property
    def _client(self) -> Client:
        return open_client(self._kubeconfig, self._call_s)

    def _path(self, name: str = "") -> str:
        space = quote(self._namespace, safe="")
        path = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _body(self, name: str, lease: Lease) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            **lease.others,
            "name": name,
            "namespace": self._namespace,
            "annotations": lease.annotations,
        }
        if lease.uid:
            metadata |= {"uid": lease.uid, "resourceVersion": lease.version}
        spec = {
            "holderIdentity": lease.holder or None,
            "leaseTransitions": lease.transitions,
            "leaseDurationSeconds": lease.seconds or None,
            "renewTime": lease.renewed or None,
        }
        return {**_KIND, "metadata": metadata, "spec": spec}

    def _parsed(self, document: Json | None) -> Lease | None:
        if document is None:
            return None
        try:
            metadata, spec = document["metadata"], document.get("spec") or {}
            return Lease(
                holder=spec.get("holderIdentity") or "",
                transitions=int(spec.get("leaseTransitions") or 0),
                seconds=int(spec.get("leaseDurationSeconds") or 0),
                renewed=spec.get("renewTime") or "",
                annotations=dict(metadata.get("annotations") or {}),
                uid=metadata["uid"],
                version=metadata["resourceVersion"],
                others={key: metadata[key] for key in _OTHERS if metadata.get(key)},
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Unreachable(
                self._client.url, "its lease has another form", "Is this a Kubernetes API server?"
            ) from None
