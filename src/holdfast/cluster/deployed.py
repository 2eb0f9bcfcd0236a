"""What of deploy/ is there: the admission policy, by trying what it must refuse, and the reaper.

A right to read policies would tell that they exist, not that they hold for us. So two changes of a
node are tried as server-side dry runs, where the API server makes every check and changes nothing.
"""

from typing import Any
from urllib.parse import quote

from holdfast.cluster.client import Client, open_client
from holdfast.errors import Refused, Unreachable

CALL_S = 5.0
HIDDEN = "not allowed to see"

_ANY_NODE = {"limit": "1", "labelSelector": "!holdfast.io/protected"}
_TRIED = {  # policy → what it must refuse to add to a node
    "holdfast-nodes": ("labels", {"holdfast.io/tried": "true"}),
    "holdfast-fencing": ("annotations", {"holdfast.io/run": "tried", "holdfast.io/token": "none"}),
}
_LEASES = "/apis/coordination.k8s.io/v1/namespaces"


def admission(kubeconfig: str) -> str:
    """`present`, `absent` with the policies that are not in force, or `not allowed to see`."""
    client = open_client(kubeconfig, CALL_S)
    try:
        answer = client.call("GET", "/api/v1/nodes", query=_ANY_NODE) or {}
        node = answer["items"][0]
        refused = [_refuses(client, node, key, more) for key, more in _TRIED.values()]
    except (KeyError, IndexError, TypeError):
        return HIDDEN
    except Unreachable as error:
        return _hidden(error)
    absent = [name for name, it in zip(_TRIED, refused, strict=True) if it != name]
    missing = f"absent for these credentials ({', '.join(absent)}): docs/deploy.md says why"
    return missing if absent else "present"


def reaper(kubeconfig: str, namespace: str) -> str:
    """`present` with when it was last seen, `absent`, or `not allowed to see`; not if it lives."""
    path = f"{_LEASES}/{quote(namespace, safe='')}/leases/holdfast-reaper"
    try:
        lease = open_client(kubeconfig, CALL_S).call("GET", path, accept=(404,))
    except Unreachable as error:
        return _hidden(error)
    if lease is None:
        return "absent: nobody undoes a fault if this host is lost; apply deploy/"
    return f"present, last seen {(lease.get('spec') or {}).get('renewTime') or 'never'}"


def _refuses(client: Client, node: Any, key: str, more: dict[str, str]) -> str:
    """The policy that refuses to add these to a node; empty when it would be done."""
    metadata = node["metadata"]
    change = {"op": "add", "path": f"/metadata/{key}", "value": (metadata.get(key) or {}) | more}
    path = f"/api/v1/nodes/{quote(metadata['name'], safe='')}"
    try:
        client.call("PATCH", path, query={"dryRun": "All"}, body=[change])
    except Refused as refusal:
        return next((name for name in _TRIED if f"'{name}'" in refusal.reason), "")
    return ""


def _hidden(error: Unreachable) -> str:
    """A missing right is an answer; a server that does not answer is none."""
    if "(403)" not in error.reason:
        raise error
    return HIDDEN
