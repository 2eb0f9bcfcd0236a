"""The closed list of undos: each compares before it sets, reads back, and says what it found.

Whatever it is that a crash left, each can be done again, by anybody. What somebody else has changed
since is a `Conflict` and stays as it is.

An operation is told for how many seconds a call of the injector may still arrive: 0 once each was
answered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from shlex import quote as shell
from typing import Any

from holdfast.clock import until
from holdfast.cluster import Node
from holdfast.errors import (
    Conflict,
    FaultRemains,
    HoldfastError,
    InvalidInput,
    Silent,
    Unreachable,
)
from holdfast.heal.systems import Systems
from holdfast.model import Heal
from holdfast.toxiproxy import Proxy, Toxiproxy
from holdfast.toxiproxy import by_hand as lines

NEVER = "it was not there"  # never applied, or gone already: read, and found absent
REMOVED = "it was taken away, and read back"
RESTORED = "the proxy was gone, and was made again as it had been"
_LOOK_S = 0.25
_LATE_S = 5.0  # a call of ours that was not answered may still be carried out for so long


@dataclass(frozen=True)
class Operation:
    """What it does, what it must be told, and what it may be told; and how a person does it."""

    undo: Callable[..., str]
    needs: frozenset[str]
    takes: frozenset[str]
    by_hand: Callable[..., list[str]]

    def fits(self, arguments: Mapping[str, Any]) -> bool:
        """Are these its arguments?"""
        return self.needs <= arguments.keys() <= self.needs | self.takes


def operation(heal: Heal) -> Operation:
    """The operation that a heal names.

    Raises:
        InvalidInput: not an operation of the closed list, or not its arguments.
    """
    known = OPERATIONS.get(heal.operation)
    if known is None or not known.fits(heal.arguments):
        raise InvalidInput(
            f"heal {heal.id}",
            f"{heal.operation} with {', '.join(heal.arguments)} is not on the closed list",
            "Undo it by hand",
        )
    return known


def by_hand(heal: Heal, tokens: Mapping[str, str]) -> list[str]:
    """The command lines, without holdfast, that do the same; no name can act in them.

    `tokens` names, by URL, the variable with the token of each Toxiproxy that wants one. Only the
    operator's own file may say that: the line sends it there.

    Raises:
        InvalidInput: not an operation of the closed list, or not its arguments.
    """
    known = operation(heal)
    told = {key: str(value) for key, value in heal.arguments.items()}
    for name in ("url", "node", "key"):
        if told.get(name, "").startswith("-"):
            why = f"its {name} {told[name]} would be an option of the command"
            raise InvalidInput(f"heal {heal.id}", why, "Undo it by hand")
    return known.by_hand(lines.curl(tokens.get(told.get("url", ""))), **told)


def remove_toxic(
    systems: Systems,
    _in_flight_s: float,
    url: str,
    proxy: str,
    toxic: str,
    **was: Any,
) -> str:
    """Remove a run's toxic. `was` holds the proxy's `listen` and `upstream`, and the toxic's
    `attributes`, as the run knew them."""
    toxiproxy = systems.toxiproxy(url)
    found = toxiproxy.proxies().get(proxy)
    if found is None:
        return _restore(systems, toxiproxy, proxy, was)
    now = found.toxics.get(toxic)
    if now is None:
        return NEVER
    ours = dict(was.get("attributes", {}))
    if ours != {name: now.attributes.get(name) for name in ours}:  # a later version may list more
        raise Conflict(
            f"toxic {toxic} on {proxy} at {url}",
            f"somebody changed it from {ours} to {dict(now.attributes)}",
            f"Ask who did it, then: {lines.remove(url, proxy, toxic)}",
        )
    try:
        toxiproxy.remove_toxic(proxy, toxic)
    except Silent:
        _replace(toxiproxy, found, toxic)
    return REMOVED


def enable_proxy(
    systems: Systems, in_flight_s: float, url: str, proxy: str, marker: str, **was: Any
) -> str:
    """Enable a proxy that our marker says we disabled; then take the marker away.

    A call that disables it may still be on its way while it is enabled: the marker stays for so
    long, since without it nobody knows whose closed proxy it is.
    """
    toxiproxy = systems.toxiproxy(url)
    found = toxiproxy.proxies().get(proxy)
    if found is None:
        return _restore(systems, toxiproxy, proxy, was)
    if marker not in found.toxics:
        if found.enabled:
            return NEVER
        raise _closed(url, proxy, "it is disabled, and this run's mark is not there")
    if not found.enabled or until(
        lambda: _disabled(toxiproxy, proxy), seconds=in_flight_s, every=_LOOK_S
    ):
        toxiproxy.set_enabled(proxy, True)
    if not toxiproxy.remove_toxic(proxy, marker).enabled:
        raise _closed(url, proxy, "it was disabled again while this run's mark was taken away")
    return REMOVED


def uncordon(systems: Systems, _in_flight_s: float, node: str, uid: str, run: str) -> str:
    """Take back a run's cordon, and its marks."""
    cluster = systems.marked_cluster()
    if not cluster.uncordon(node, uid, run):
        return NEVER
    hit = Node(node, uid, zone="", ready=True, unschedulable=False)
    cluster.tell(hit, "FaultUndone", f"cordon of holdfast run {run} taken back")
    return REMOVED


def untaint(systems: Systems, _in_flight_s: float, node: str, key: str, run: str) -> str:
    """Take back a run's taint."""
    return REMOVED if systems.marked_cluster().untaint(node, key, run) else NEVER


def _disabled(toxiproxy: Toxiproxy, proxy: str) -> bool:
    now = toxiproxy.proxies().get(proxy)
    return now is not None and not now.enabled


def _closed(url: str, proxy: str, reason: str) -> Conflict:
    return Conflict(f"proxy {proxy} at {url}", reason, "Ask who disabled it, then enable it")


def _restore(systems: Systems, toxiproxy: Toxiproxy, proxy: str, was: Mapping[str, Any]) -> str:
    """A Toxiproxy that was restarted without its proxies carries nobody's traffic."""
    step = "Was Toxiproxy restarted? Create its proxies again"
    if not was.get("listen") or not was.get("upstream"):
        why = "it does not exist any more, so nothing passes through it"
        raise FaultRemains(f"proxy {proxy} at {toxiproxy.url}", why, step)
    if not systems.may_hit(proxy):  # a log may come from anywhere
        why = "it does not exist any more, and policy.proxies does not name it"
        raise FaultRemains(f"proxy {proxy} at {toxiproxy.url}", why, step)
    toxiproxy.create(Proxy(proxy, was["listen"], was["upstream"], True, {}))
    return RESTORED


def _replace(toxiproxy: Toxiproxy, found: Proxy, toxic: str) -> None:
    """The removal hangs while the API still answers: make the proxy anew, without the toxic.

    Its connections hold the removal up, and end with it. Should this be cut off in the middle, the
    proxy is absent, which the next executor restores.
    """
    now = toxiproxy.proxies().get(found.name, found)  # others go on while the removal hangs
    if toxic not in now.toxics:  # it was slow: to cut every connection would be a fault of ours
        return
    if others := now.toxics.keys() - {toxic}:
        raise Unreachable(
            f"toxic {toxic} on {now.name} at {toxiproxy.url}",
            f"its removal hangs, and the proxy also has toxics of others: {', '.join(others)}",
            "Restart this Toxiproxy",
        )
    try:
        toxiproxy.delete(now.name)
    except Silent:  # it may be carried out when all is said to be undone: that is waited for
        if not until(lambda: now.name not in toxiproxy.proxies(), seconds=_LATE_S, every=_LOOK_S):
            raise
    try:
        toxiproxy.create(replace(now, toxics={}))
    except HoldfastError as error:  # its port may not be free at once
        raise Unreachable(
            f"proxy {now.name} at {toxiproxy.url}",
            f"it was deleted, since the removal of {toxic} hung, and cannot be made again: {error}",
            f"Create it: listen {now.listen}, upstream {now.upstream}",
        ) from None


def _remove_by_hand(curl: str, url: str, proxy: str, toxic: str, **_: str) -> list[str]:
    return [lines.remove(url, proxy, toxic, curl)]


def _enable_by_hand(curl: str, url: str, proxy: str, marker: str, **_: str) -> list[str]:
    return [lines.enable(url, proxy, curl), lines.remove(url, proxy, marker, curl)]


def _uncordon_by_hand(_curl: str, node: str, **_: str) -> list[str]:
    marks = "holdfast.io/run- holdfast.io/owner- holdfast.io/undo- holdfast.io/expires-at-"
    node = shell(node)
    return [f"kubectl uncordon {node}", f"kubectl annotate node {node} {marks} holdfast.io/token-"]


def _untaint_by_hand(_curl: str, node: str, key: str, **_: str) -> list[str]:
    return [f"kubectl taint nodes {shell(node)} {shell(key)}-"]


_NOTHING: frozenset[str] = frozenset()
_PROXY = frozenset({"listen", "upstream"})
OPERATIONS = {
    "remove_toxic": Operation(
        remove_toxic, frozenset({"url", "proxy", "toxic"}), _PROXY | {"attributes"}, _remove_by_hand
    ),
    "enable_proxy": Operation(
        enable_proxy, frozenset({"url", "proxy", "marker"}), _PROXY, _enable_by_hand
    ),
    "uncordon": Operation(uncordon, frozenset({"node", "uid", "run"}), _NOTHING, _uncordon_by_hand),
    "untaint": Operation(untaint, frozenset({"node", "key", "run"}), _NOTHING, _untaint_by_hand),
}
