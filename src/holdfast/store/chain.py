"""A chained file: one JSON record a line, each with the SHA-256 of the line before it.

A line also carries a checksum of its own, so that the last one is vouched for too. Appends are
made under a file lock, since several processes write, and are on disk when the call returns.
"""

import errno
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.clock import Anchor, until
from holdfast.errors import InvalidInput
from holdfast.model import plain
from holdfast.redact import redacted

FIRST = "0" * 64
_BLOCK = 16 << 10
_decoded = json.JSONDecoder().raw_decode
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Disk:
    """Where lines are written."""

    def write(self, file: io.FileIO, line: bytes) -> None:
        """Write a line whole, and have it on disk.

        Raises:
            OSError: it is not, or only in part.
        """
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, "only a part of the line was written")
        os.fsync(file.fileno())


def append(
    path: Path,
    records: Sequence[dict[str, Any]],
    disk: Disk,
    spare: Callable[[], bool] | None = None,
    patience_s: float | None = None,
) -> dict[str, Any]:
    """Append records together, without secrets; the last as it was written.

    A record may bring an instant along. `spare` makes room on a full disk, and says whether it
    could.

    Raises:
        TimeoutError: whoever had the file wrote nothing for `patience_s` seconds; None waits.
        OSError: they are not on disk, and nothing of them stays in the file.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with io.FileIO(fd, "r+") as file:
        _take_turn(file, patience_s)
        line, whole = _last(file)
        if whole < file.seek(0, os.SEEK_END):
            file.truncate(whole)  # a line torn by a crash was never acknowledged
        seq, lines, now = _numbered(line, file), b"", asdict(Anchor.take())
        for number, record in enumerate(records, seq + 1):
            previous = hashlib.sha256(line).hexdigest() if line else FIRST
            text = _told({"seq": number, **now, **record, "previous": previous})
            line = f'{text[:-1]}, "sum": "{_sum(text)}"}}\n'.encode()
            lines += line
        try:
            disk.write(file, lines)
        except OSError as error:
            file.truncate(whole)
            if error.errno not in _FULL or spare is None or not spare():
                raise
            disk.write(file, lines)
    if seq == 0:
        sync_folder(path.parent)
    return parsed(text.encode(), str(path))


def read(path: Path) -> tuple[list[dict[str, Any]], InvalidInput | None]:
    """The records up to the first that is not as it was written, and what is wrong there."""
    found: list[dict[str, Any]] = []
    try:
        for record in _records(path.read_bytes(), str(path)):
            found.append(record)  # noqa: PERF402  # what came before the damage is kept
    except FileNotFoundError:
        return [], None
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
        return [], InvalidInput(str(path), why, "Do not trust this run")
    except InvalidInput as damage:
        return found, damage
    return found, None


def free(file: io.FileIO | int) -> bool:
    """Take a file's lock; False when another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def parsed(line: bytes, place: str) -> dict[str, Any]:
    """A line as a JSON object; the error names its place.

    The decoder of `json.loads` without its looks for other encodings and for white space: a record
    has tens of thousands of lines.
    """
    try:
        text = line.decode()
        record, end = _decoded(text)
    except (ValueError, RecursionError):
        text, record, end = "", None, 0
    if not isinstance(record, dict) or text[end:].strip():
        raise InvalidInput(place, "it is not a JSON object", "Do not trust this run")
    return record


def sync_folder(folder: Path) -> None:
    """Have it on disk that a file was made or renamed there."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _told(record: dict[str, Any]) -> str:
    """A record as JSON, without secrets; parsed again only where there was one."""
    text = json.dumps(record, default=plain)
    clean = redacted(text)
    return text if clean == text else json.dumps(json.loads(clean))


def _take_turn(file: io.FileIO, patience_s: float | None) -> None:
    if patience_s is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return
    size = -1
    while (now := os.fstat(file.fileno()).st_size) != size:  # a busy log is not a hung one
        size = now
        if until(lambda: free(file), seconds=patience_s, every=0.01):
            return
    raise TimeoutError(f"another process has the file, and wrote nothing for {patience_s:g} s")


def _last(file: io.FileIO) -> tuple[bytes, int]:
    """The last whole line, and where it ends; no more than that is read, however long the log."""
    size, block = file.seek(0, os.SEEK_END), _BLOCK
    while True:
        start = max(0, size - block)
        file.seek(start)
        content = file.read(size - start)
        end = content.rfind(b"\n") + 1
        begin = content.rfind(b"\n", 0, max(0, end - 1)) + 1
        if start == 0 or (end and begin):
            return content[begin:end], start + end
        block *= 8


def _numbered(line: bytes, file: io.FileIO) -> int:
    """How many lines there are; a last one that was damaged does not say it."""
    try:
        return int(json.loads(line)["seq"]) if line else 0
    except (ValueError, KeyError, TypeError):
        file.seek(0)
        return file.readall().count(b"\n")


def _records(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    previous = FIRST
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return
        place = f"{name} line {number}"
        record = parsed(line, place)
        if record.get("previous") != previous:
            raise InvalidInput(place, "the chain of hashes is broken", "Do not trust this run")
        said = record.pop("sum", None)  # the first format had none
        if said not in (None, _sum(json.dumps(record))):
            raise InvalidInput(place, "its checksum is wrong", "Do not trust this run")
        previous = hashlib.sha256(line).hexdigest()
        yield record


def _sum(text: str) -> str:
    """What tells that a line is as it was written, also when no other follows it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
