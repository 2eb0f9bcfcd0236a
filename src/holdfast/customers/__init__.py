"""Start and stop the customers' process, and read what it records while it is still running.

It lives in a process of its own, in a group of its own (Ctrl-C reaches the runner alone), and ends
by itself when the pipe from this process closes, however this process ends.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from pydantic import BaseModel

from holdfast.arrivals import Load
from holdfast.clock import until
from holdfast.credentials import SECRET
from holdfast.customers.checks import check
from holdfast.documents import Environment, JourneyFile
from holdfast.errors import InvalidInput, Unreachable
from holdfast.model import Sample
from holdfast.redact import redacted
from holdfast.store import LOAD_PLAN, LOAD_REPORT, SAMPLES, Run, open_private, parse_sample

__all__ = ["LOG", "Bounds", "Customers", "Tail", "check", "prepare", "recent", "start"]

LOG = "samples/customers.log"

_START_S = 10.0
_MARGIN_S = 10.0  # beyond the longest limit, for the drain
_BLOCK = 64 << 10


class Bounds(TypedDict):
    """The seed of the customers' choices, and the seconds after which they end in any case."""

    seed: int
    max_seconds: float


@dataclass
class Customers:
    """The customers' process.

    `pipe` is a bare descriptor on purpose: no garbage collector closes it, so who starts customers
    and keeps nothing (a probe) has them until the process ends.
    """

    run: Run
    process: subprocess.Popen[bytes]
    pipe: int | None
    longest_limit: float

    def alive(self) -> bool:
        """Is it still there?"""
        return self.process.poll() is None

    def stop(self) -> bool:
        """Schedule no more, and wait until each request was answered or reached its limit.

        False when it had ended before, failed, or had to be killed: the samples are then not all.
        """
        try:
            if self.pipe is None or not self.alive():
                return False
            os.write(self.pipe, b"stop\n")
            return self.process.wait(self.longest_limit + _MARGIN_S) == 0
        except (BrokenPipeError, subprocess.TimeoutExpired):
            return False
        finally:
            self.kill()

    def kill(self) -> None:
        """End it now, without a drain; harmless when it has ended."""
        if self.alive():
            self.process.kill()
        self.process.wait()
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


def start(
    run: Run,
    environment: Environment,
    journeys: Mapping[str, JourneyFile],
    loads: Mapping[str, Any],
    **bounds: Unpack[Bounds],
) -> Customers:
    """Start the customers; returns once they are about to send (`loads` as an extension has them).

    Raises:
        InvalidInput: a journey cannot be sent as it is written, or the run already has customers.
        Unreachable: the process ended, or was not ready within 10 s.
    """
    _write_plan(run, environment, journeys, loads, dict(bounds))
    secrets = SECRET.findall(run.path(LOAD_PLAN).read_text("utf-8"))
    started = Customers(run, *_process(run, secrets), max(journeys[name].limit for name in loads))
    ready = run.path(LOAD_REPORT).exists
    if not until(lambda: ready() or not started.alive(), seconds=_START_S) or not ready():
        started.kill()
        why = run.path(LOG).read_text("utf-8", "replace").strip().splitlines() or [
            "it said nothing"
        ]
        raise Unreachable("the customers' process", why[-1], f"Read {run.path(LOG)}")
    return started


class Shards(Bounds):
    """The bounds of a load that several processes send, and the instant at which all begin."""

    start_wall_ns: int


def prepare(
    run: Run,
    environment: Environment,
    journeys: Mapping[str, JourneyFile],
    loads: Mapping[str, Any],
    **bounds: Unpack[Shards],
) -> None:
    """Write what each `python -m holdfast.load RUN_FOLDER --shard I/N` reads; nothing is sent.

    Raises:
        InvalidInput: a journey cannot be sent as it is written, or the run already has customers.
    """
    _write_plan(run, environment, journeys, loads, dict(bounds))


def _write_plan(
    run: Run,
    environment: Environment,
    journeys: Mapping[str, JourneyFile],
    loads: Mapping[str, Any],
    bounds: Mapping[str, object],
) -> None:
    check(environment, journeys, loads)
    if run.path(LOAD_PLAN).exists():
        raise InvalidInput(str(run.folder), "it already has customers", "Start another run")
    run.write_json(
        LOAD_PLAN,
        {
            "run": run.id,
            "url": environment.customers.url,
            "ca": environment.customers.ca,
            **bounds,
            "loads": {name: _plain(load) for name, load in loads.items()},
            "journeys": {name: journeys[name].model_dump(mode="json") for name in loads},
            "values": environment.customers.values,
        },
    )
    run.path(LOAD_REPORT).parent.mkdir(mode=0o700, exist_ok=True)


def _plain(load: Any) -> Load:
    """A load as `arrivals` takes it, of one that an extension holds."""
    return load.model_dump(mode="json") if isinstance(load, BaseModel) else load


def _process(run: Run, secrets: Collection[str]) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the end of its pipe that is ours."""
    command = [sys.executable, "-P", "-m", "holdfast.load", str(run.folder.resolve())]
    theirs, ours = os.pipe()
    try:
        with open_private(run.path(LOG)) as log:
            process = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=log,
                stderr=log,
                process_group=0,
                env=_harmless(secrets),
            )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return process, ours


def _harmless(needed: Collection[str]) -> dict[str, str]:
    """The environment variables that hold no secret, apart from those that journeys refer to."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in needed or redacted(value) == value
    }


class Tail:
    """Reads what was recorded since it last looked; cheap enough to look twice a second."""

    def __init__(self, run: Run) -> None:
        self._path = run.path(SAMPLES)
        self._offset = 0

    def read(self) -> list[Sample]:
        """The requests that were settled since the last call, in that order."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return _samples(whole)


def recent(run: Run, since_ns: int) -> list[Sample]:
    """The requests that were settled at `since_ns` or later, read from the end of the file."""
    path = run.path(SAMPLES)
    if not path.exists():
        return []
    found = _samples(_from_end(path, since_ns))
    return [one for one in found if one.done_ns >= since_ns]


def _from_end(path: Path, since_ns: int) -> bytes:
    """Whole rows from the end of the file, back to one that was settled before the instant."""
    with path.open("rb") as file:
        start = end = file.seek(0, os.SEEK_END)
        data = b""
        while start > 0:
            size = min(max(_BLOCK, end - start), start)  # each time twice as far back
            start -= size
            file.seek(start)
            data = file.read(size) + data
            first = _samples(data[data.find(b"\n") + 1 :].partition(b"\n")[0] + b"\n")
            if start > 0 and first and first[0].done_ns < since_ns:
                data = data[data.find(b"\n") + 1 :]
                break
    return data[: data.rfind(b"\n") + 1]


def _samples(data: bytes) -> list[Sample]:
    rows: Iterator[list[str]] = csv.reader(data.decode(errors="replace").splitlines())
    return [sample for row in rows if (sample := parse_sample(row))]
