"""Whose a fault is: said on the target itself, in the same write as the fault.

A node carries annotations. A toxic has nothing but its name, so the name says it: which run, what
it does, until when. Whoever finds a mark can undo the fault without the run's folder.
"""

import getpass
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

RUN = "holdfast.io/run"
OWNER = "holdfast.io/owner"
UNDO = "holdfast.io/undo"
EXPIRES = "holdfast.io/expires-at"
TOKEN = "holdfast.io/token"  # noqa: S105  # a fencing token: lease uid / transitions, no secret
ON_NODES = (RUN, OWNER, UNDO, EXPIRES, TOKEN)
STOP = "holdfast.io/stop"  # on the lease: why nothing may be injected any more

_STAMP = "%Y%m%dT%H%M%SZ"
_TOXIC = re.compile(r"holdfast-([0-9a-f]{12})-([a-z]+)(?:-until-(\d{8}T\d{6}Z))?")


@dataclass(frozen=True)
class Mark:
    """Which run set it, what kind of fault it is, and when it is out of date (UTC), if known."""

    run: str
    kind: str
    expires: datetime | None


def toxic(run: str, kind: str, expires: datetime) -> str:
    """The name of a run's toxic of that kind."""
    return f"holdfast-{run}-{kind}-until-{expires:{_STAMP}}"


def of_toxic(name: str) -> Mark | None:
    """What a toxic's name says; None when it is not one of holdfast's."""
    match = _TOXIC.fullmatch(name)
    if match is None:
        return None
    try:
        until = datetime.strptime(match[3] or "", _STAMP).replace(tzinfo=UTC)
    except ValueError:  # none, or no date of any calendar: the toxic is ours all the same
        until = None
    return Mark(match[1], match[2], until)


def owner() -> str:
    """Who runs this process, and where: `maria@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        user = "nobody"
    return f"{user}@{socket.gethostname()}"
