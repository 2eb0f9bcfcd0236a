"""What a lab remembers of its processes, in state.json, and how it is ended from that."""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import postgres, processes
from lab.addresses import Lab
from lab.errors import LabError
from lab.processes import Process

_GRACE = 3.0  # seconds to end by itself: nothing of a lab has to be kept


@dataclass(frozen=True)
class Running:
    """A piece that was started."""

    name: str
    version: str
    address: str
    health: str
    pid: int
    started: int

    @property
    def process(self) -> Process:
        """Its pid and start time."""
        return Process(self.pid, self.started)


@dataclass(frozen=True)
class State:
    """The pieces that were started, and whether `up` came to its end."""

    pieces: tuple[Running, ...] = ()
    complete: bool = False


def read(lab: Lab) -> State:
    """What is remembered; an unreadable file is nothing remembered: processes are marked, too."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(_file(lab).read_text())
        pieces = tuple(Running(**piece) for piece in content["pieces"])
        return State(pieces, bool(content["complete"]))
    return State()


def write(lab: Lab, state: State) -> None:
    """Remember, whole or not at all."""
    new = _file(lab).with_suffix(".new")
    new.write_text(json.dumps(asdict(state), indent=1) + "\n")
    new.replace(_file(lab))


@contextlib.contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """Nobody else starts, ends or changes this lab meanwhile.

    Raises:
        LabError: somebody else does.
    """
    lab.folder.mkdir(parents=True, exist_ok=True)
    with (lab.folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                f"lab {lab.number}", "another command starts, changes or ends it", "Wait for that"
            ) from None
        yield


def end(lab: Lab) -> int:
    """End every process of the lab, remembered or marked, and remove what it wrote but its logs.

    Returns how many processes were found.
    """
    remembered = [piece.process for piece in read(lab).pieces if processes.alive(piece.process)]
    found = {*remembered, *processes.of_lab(lab.id)}
    processes.stop(found, grace=_GRACE)
    left = processes.of_lab(lab.id)  # children that were started while their parents were ended
    processes.stop(left, grace=_GRACE)
    _file(lab).unlink(missing_ok=True)
    postgres.remove(lab)
    shutil.rmtree(lab.data, ignore_errors=True)
    return len(found) + len(left)


def _file(lab: Lab) -> Path:
    return lab.folder / "state.json"
