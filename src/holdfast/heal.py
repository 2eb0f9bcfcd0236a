"""The undo of every fault: written down before the harm, as data from a closed list.

Whatever is written down and not done can be undone from any process, as often as wanted, in every
state that a crash can leave: before the fault, in the middle of it, after its undo. Only what this
run set is taken away; where somebody else has changed it since, that is said and left alone.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from holdfast.clock import SECOND, deadline, now_ns, sleep, utc_now, within
from holdfast.cluster import EXPIRES, RUN, UNDO, Cluster
from holdfast.documents import Environment
from holdfast.errors import FaultRemains, HoldfastError, InvalidInput, Unreachable
from holdfast.model import Heal
from holdfast.store import Run
from holdfast.toxiproxy import Toxiproxy

HEAL_S = 20.0  # one attempt at one heal, with its read-back
RETRY_S = 15.0  # how long heals of systems that do not answer are tried again, in all
MARK_LASTS = timedelta(hours=1)  # what is still there by then belongs to no run that is alive
_HEALS = "heals.jsonl"
_EVENTS = "events.jsonl"
_AGAIN_S = 0.5


@dataclass(frozen=True)
class Failure:
    """A heal that could not be made or does not read back, and why."""

    heal: Heal
    why: HoldfastError

    def __str__(self) -> str:
        arguments = ", ".join(f"{name} {value}" for name, value in self.heal.arguments.items())
        return f"{self.heal.operation} ({arguments}): {self.why}"


class Systems:
    """The systems that an environment names, opened when they are first needed."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster. Which one it is, has to be asked before anything there is changed."""
        return Cluster(self._environment.kubernetes.kubeconfig)

    @cached_property
    def toxiproxies(self) -> dict[str, Toxiproxy]:
        """Every instance, by URL."""
        return {
            one.url: Toxiproxy(one.url, _token(one.token_env))
            for one in self._environment.toxiproxy
        }

    def toxiproxy(self, url: str) -> Toxiproxy:
        """The instance that a heal names."""
        if url not in self.toxiproxies:
            raise FaultRemains(
                url, "the environment does not name this Toxiproxy any more", "Undo it by hand"
            )
        return self.toxiproxies[url]

    def marked_cluster(self) -> Cluster:
        """The cluster that the marks were set in: another one knows nothing of them."""
        uid, expected = self.cluster.uid(), self._environment.kubernetes.cluster_uid
        if uid != expected:
            raise FaultRemains(
                f"cluster {expected}",
                f"the kubeconfig leads to {uid} now, where nothing was undone",
                "Point it at the cluster of the run",
            )
        return self.cluster


def open_systems(environment: Environment) -> Systems:
    """The systems that the environment names; none is asked yet."""
    return Systems(environment)


def mark(run: Run, kind: str) -> str:
    """The name of this run's toxic of that kind."""
    return f"holdfast-{run.id}-{kind}"


def marker(run: Run) -> str:
    """The name of the toxic that does nothing but say who disabled a proxy, and until when."""
    return f"{mark(run, 'cut')}-until-{expires():%Y%m%dT%H%M%SZ}"


def marks(run: Run, undo: str) -> dict[str, str]:
    """The annotations that say whose a change of a node is, how to undo it, and until when."""
    return {RUN: run.id, UNDO: undo, EXPIRES: f"{expires():%Y-%m-%dT%H:%M:%SZ}"}


def expires() -> datetime:
    """When a mark that is set now is out of date, in UTC."""
    return utc_now() + MARK_LASTS


def intend(run: Run, operation: str, arguments: Mapping[str, Any]) -> Heal:
    """Write down how to undo what comes next; it is on disk when this returns.

    `none` is for what cannot be undone; its arguments say what that is.

    Raises:
        InvalidInput: not an operation of the closed list, or not its arguments.
    """
    heal = Heal(uuid.uuid4().hex[:12], operation, dict(arguments))
    if operation != "none":
        _operation(heal)
    state = "irreversible" if operation == "none" else "intent"
    _write(run, heal, state)
    return heal


def pending(run: Run) -> list[Heal]:
    """What was written down and is not known to be undone, oldest first."""
    intended: dict[str, Heal] = {}
    for one in run.records(_HEALS):
        if one["state"] == "intent":
            intended[one["heal"]] = Heal(one["heal"], one["operation"], one["arguments"])
        else:
            intended.pop(one["heal"], None)
    return list(intended.values())


def undo_all(run: Run, environment: Environment, *, retry_s: float = RETRY_S) -> list[Failure]:
    """Undo everything that is pending, newest first; a failure does not stop the others.

    Heals of systems that do not answer are tried again for `retry_s` seconds in all. The run's
    events say when it began and how it ended.
    """
    heals = pending(run)[::-1]
    if not heals:
        return []
    _say(run, {"event": "undo_began"})
    systems, give_up = open_systems(environment), deadline(retry_s)
    outcomes = [_undo(run, heal, systems, give_up) for heal in heals]
    failures = [one for one in outcomes if one]
    if failures:
        why = "; ".join(str(one) for one in failures)
        ids = [one.heal.id for one in failures]
        _say(run, {"event": "undo_failed", "heals": ids, "why": why})
    else:
        _say(run, {"event": "undo_verified"})
    return failures


def _undo(run: Run, heal: Heal, systems: Systems, give_up_ns: int) -> Failure | None:
    while True:
        try:
            within(HEAL_S, lambda: _operation(heal)(systems, **heal.arguments))
            _write(run, heal, "done")
        except (Unreachable, TimeoutError) as error:
            if now_ns() + _AGAIN_S * SECOND < give_up_ns:
                sleep(_AGAIN_S)
                continue
            return Failure(heal, _remains(heal, error))
        except HoldfastError as error:
            return Failure(heal, error)
        except Exception as error:  # noqa: BLE001  # a surprise in one undo must not stop the others
            return Failure(heal, _remains(heal, error))
        return None


def _say(run: Run, event: dict[str, Any]) -> None:
    """A disk that is full must not keep anybody from healing."""
    with contextlib.suppress(OSError):
        run.append(_EVENTS, event)


def _remains(heal: Heal, error: Exception) -> HoldfastError:
    if isinstance(error, HoldfastError):
        return error
    return FaultRemains(heal.operation, f"{type(error).__name__}: {error}", "Undo it by hand")


def _operation(heal: Heal) -> Callable[..., None]:
    known, expected = OPERATIONS.get(heal.operation, (None, set()))
    if known is None or set(heal.arguments) != expected:
        raise InvalidInput(
            f"heal {heal.id}",
            f"{heal.operation} with {', '.join(heal.arguments)} is not on the closed list",
            "Undo it by hand",
        )
    return known


def _write(run: Run, heal: Heal, state: str) -> None:
    record = {"operation": heal.operation, "arguments": heal.arguments}
    run.append(_HEALS, {"heal": heal.id, "state": state, **record})


def _remove_toxic(systems: Systems, url: str, proxy: str, toxic: str) -> None:
    systems.toxiproxy(url).remove_toxic(proxy, toxic)


def _enable_proxy(systems: Systems, url: str, proxy: str, marker: str) -> None:
    """Enable a proxy that our marker says we disabled; then take the marker away."""
    toxiproxy = systems.toxiproxy(url)
    found = toxiproxy.proxies().get(proxy)
    if found and not found.enabled:
        if marker not in found.toxics:
            raise FaultRemains(
                f"proxy {proxy} at {url}",
                "it is disabled, and this run's mark is not there",
                "Ask who disabled it, then enable it",
            )
        toxiproxy.set_enabled(proxy, True)
    toxiproxy.remove_toxic(proxy, marker)


def _uncordon(systems: Systems, node: str, uid: str, run: str) -> None:
    systems.marked_cluster().uncordon(node, uid, run)


def _untaint(systems: Systems, node: str, key: str, run: str) -> None:
    systems.marked_cluster().untaint(node, key, run)


OPERATIONS: dict[str, tuple[Callable[..., None], set[str]]] = {
    "remove_toxic": (_remove_toxic, {"url", "proxy", "toxic"}),
    "enable_proxy": (_enable_proxy, {"url", "proxy", "marker"}),
    "uncordon": (_uncordon, {"node", "uid", "run"}),
    "untaint": (_untaint, {"node", "key", "run"}),
}


def _token(name: str | None) -> str | None:
    """The token that an environment variable holds."""
    if name is None:
        return None
    if not (token := os.environ.get(name)):
        raise InvalidInput(f"environment variable {name}", "it is not set", "Put the token there")
    return token
