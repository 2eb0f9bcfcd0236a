"""The reaper: undoes in the cluster what belongs to no run that is alive.

`python -m holdfast.reaper --environment FILE`, as a small Deployment with a service account of its
own. It needs no run folder: the marks on the targets say whose a fault is and how to undo it. A run
is alive while its lease is seen to be renewed, by the reaper's own clock; no timestamp is believed.
"""

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast import heal, lock
from holdfast.clock import SECOND, now_ns, utc_now
from holdfast.cluster.leases import Lease, Leases
from holdfast.documents import Environment, read_environment
from holdfast.errors import Conflict, HoldfastError
from holdfast.heal.found import Found, everything
from holdfast.marks import owner
from holdfast.redact import redacted

LOOK_S = 2.0  # at the lease
SCAN_S = 5.0  # of the targets; at once when a holder is gone
ALERT_S = 60.0  # a fault that could not be undone for so long is called stuck

type Tell = Callable[[dict[str, Any]], None]


class Reaper:
    """Looks at the lease and at the marks, and undoes what nobody alive has set."""

    def __init__(
        self, environment: Environment, tell: Tell, now: Callable[[], int] = now_ns
    ) -> None:
        self._environment = environment
        self._tell = tell
        self._now = now
        self._leases = Leases(environment.kubernetes.kubeconfig, environment.kubernetes.namespace)
        self._watched = lock.Watched(now)
        self._living: str | None = None
        self._scanned_ns = -round(SCAN_S * SECOND)
        self._failed: dict[str, Found] = {}
        self._since: dict[str, int] = {}

    def look(self) -> None:
        """One look; what cannot be asked is told, and asked again at the next."""
        try:
            self._renew()
            lease = self._leases.get(lock.NAME)
            alive = self._watched.alive(lease)
            if lease and lease.holder and not alive and not self._free(lease):
                return  # it was renewed this very moment
            living = lock.run_of(lease) if alive else ""
            halted = bool(lock.stopped(lease))
            due = self._now() - self._scanned_ns >= SCAN_S * SECOND
            if due or living != self._living:
                self._scanned_ns, self._living = self._now(), living
                self._scan("" if halted else living, halted=halted)
        except Exception as error:  # noqa: BLE001  # who ends here undoes nothing any more
            self._tell({"event": "unreachable", "why": _why(error)})

    def _free(self, lease: Lease) -> bool:
        """Take the lock from a holder that is gone, first: should it wake up, its writes to nodes
        are refused from now on. False when it renewed meanwhile."""
        freed = self._leases.replace(lock.NAME, replace(lease, holder=""))
        if freed:
            self._tell({"event": "lock_freed", "holder": lease.holder})
        return freed is not None

    def _scan(self, living: str, *, halted: bool) -> None:
        systems = heal.open_systems(self._environment)
        found, not_asked = everything(systems)
        faults = self._failed | {_key(one): one for one in found}
        left = {key: one for key, one in faults.items() if one.run != living}
        for key, one in left.items():
            if halted or lock.run_of(self._leases.get(lock.NAME)) != one.run:
                self._undo(key, one, systems)
        self._since = {key: since for key, since in self._since.items() if key in left}
        for why in not_asked:
            self._tell({"event": "unreachable", "why": str(why)})

    def _undo(self, key: str, one: Found, systems: heal.Systems) -> None:
        """What fails is kept: with a proxy that is gone its mark is, too, and not the harm."""
        said = {"run": one.run, "operation": one.heal.operation, **one.heal.arguments}
        since = self._since.setdefault(key, self._now())
        self._failed[key] = one
        try:
            how = heal.undo(one.heal, systems)
        except Exception as error:  # noqa: BLE001  # a surprise in one undo must not stop the others
            if isinstance(error, Conflict):
                del self._failed[key]  # it is another's now; while its mark is there, it is found
            long = self._now() - since > ALERT_S * SECOND
            event = "stuck" if long else "not_undone"
            by_hand = heal.by_hand(one.heal, systems.tokens)
            self._tell({"event": event, "why": _why(error), "by_hand": by_hand, **said})
        else:
            del self._failed[key], self._since[key]
            self._tell({"event": "undone", "how": how, **said})

    def _renew(self) -> None:
        """Its own lease says that it is there."""
        mine = self._leases.get(lock.REAPER)
        if mine is None:
            self._leases.create(lock.REAPER, Lease().taken(owner(), lock.LASTS_S))
        elif mine.holder == owner():
            self._leases.replace(lock.REAPER, mine.renew())
        else:
            self._leases.replace(lock.REAPER, mine.taken(owner(), lock.LASTS_S))


def _why(error: Exception) -> str:
    known = isinstance(error, HoldfastError | TimeoutError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _key(one: Found) -> str:
    return f"{one.run} {one.heal.id}"


def _told(event: dict[str, Any]) -> None:
    """One JSON line on standard output: the pod's log."""
    line = json.dumps({"at": f"{utc_now():%Y-%m-%dT%H:%M:%S.%fZ}", **event})
    sys.stdout.write(redacted(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Look every two seconds until told to end."""
    parser = argparse.ArgumentParser(
        prog="python -m holdfast.reaper", description="undo what belongs to no run that is alive"
    )
    parser.add_argument("--environment", type=Path, required=True, help="environment.yaml")
    parser.add_argument("--once", action="store_true", help="one look, then end")
    arguments = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        reaper = Reaper(read_environment(arguments.environment), _told)
    except HoldfastError as error:
        sys.exit(f"error: {error}")
    _told({"event": "began"})
    with contextlib.suppress(BrokenPipeError):
        reaper.look()
        while not arguments.once and not over.wait(LOOK_S):
            reaper.look()


if __name__ == "__main__":
    main()
