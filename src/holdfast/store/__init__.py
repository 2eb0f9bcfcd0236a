"""The run folder: append, hash, never overwrite; no secret is ever written."""

import contextlib
import csv
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from holdfast.errors import InvalidInput
from holdfast.model import Json, Record, Sample, plain
from holdfast.redact import redacted
from holdfast.samples import Samples
from holdfast.store import chain, folders, manifest

RESERVE = manifest.RESERVE
RESERVE_BYTES = 1 << 20
SAMPLES = "samples/customers.csv"
LOCK = "lock.json"  # the lock as the run took it: it also tells the run's id
BOOKS = "samples/books.json"  # when ledger and bank side began to be read
LOAD_PLAN = "load_plan.json"  # what the customers' process was asked to do
LOAD_REPORT = "samples/load.json"  # its own account: requests, lateness in ms, CPU seconds
_HEADER = [*Sample.__dataclass_fields__]


class Run:
    """A run's folder. Files are readable by their owner only."""

    def __init__(self, folder: Path, disk: chain.Disk | None = None) -> None:
        self.folder = folder
        self.id = _id(folder)  # for marks on targets: twelve lower-case letters and digits
        self._disk = disk or chain.Disk()

    @classmethod
    def create(cls, root: Path, experiment: str) -> "Run":
        """Make `root/<experiment>/<UTC>/`; a folder that exists is never reused.

        Raises:
            InvalidInput: it cannot be made there.
        """
        return cls(folders.make(root, folders.slug(experiment)))

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run that lies in this folder."""
        if not (folder / "plan.json").is_file():
            raise InvalidInput(
                str(folder), "it has no plan.json, so it is not a run folder", "Name a run's folder"
            )
        folders.check_plain(folder)
        return cls(folder)

    def path(self, name: str) -> Path:
        """Where a file of this run lies."""
        return self.folder / name

    def append(
        self, name: str, record: dict[str, Any], patience_s: float | None = None
    ) -> dict[str, Any]:
        """Append one record to a chained file; it is on disk when this returns.

        On a full disk the reserve is given up, so that what is undone can still be written down.

        Raises:
            TimeoutError: whoever had the file wrote nothing for `patience_s` seconds; None waits.
            OSError: it is not on disk, and nothing of it stays in the file.
        """
        spare = self._give_up_reserve if name in manifest.LOGS else None
        return chain.append(self.path(name), [plain(record)], self._disk, spare, patience_s)

    def append_all(self, name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
        """Append records together, with one wait for the disk; the last as it was written.

        Raises:
            OSError: they are not on disk, and nothing of them stays in the file.
        """
        return chain.append(self.path(name), records, self._disk)

    def reserve(self) -> None:
        """Keep room on the disk for what must be written even when it is full.

        Raises:
            OSError: there is no such room.
        """
        fd = os.open(self.path(RESERVE), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        finally:
            os.close(fd)

    def _give_up_reserve(self) -> bool:
        try:
            self.path(RESERVE).unlink()
        except OSError:
            return False
        return True

    def records(self, name: str) -> list[dict[str, Any]]:
        """The records of a chained file; a torn last line was never acknowledged: left out.

        Raises:
            InvalidInput: names the first line that is not as it was written.
        """
        found, damage = self.sound(name)
        if damage:
            raise damage
        return found

    def sound(self, name: str) -> tuple[list[dict[str, Any]], InvalidInput | None]:
        """The records up to the first that is not as it was written, and what is wrong there."""
        return chain.read(self.path(name))

    def write_json(self, name: str, data: Any) -> None:
        """Write a file whole or not at all."""
        write_whole(self.path(name), json.dumps(plain(data), indent=1) + "\n")

    def write_answer(self, name: str, answer: Any) -> None:
        """Write what a system answered, as it is: it is large, and a machine reads it."""
        from pydantic_core import to_json

        try:
            text = to_json(answer).decode()  # in a fifth of the time of the standard library
        except ValueError:
            text = json.dumps(answer)  # it holds half a character
        write_whole(self.path(name), text + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of this run."""
        from pydantic_core import from_json

        path = self.path(name)
        try:
            content = path.read_bytes()
            try:
                return from_json(content)  # in half the time of the standard library
            except ValueError:
                return json.loads(content.decode())  # which also takes half a character
        except FileNotFoundError:
            raise InvalidInput(
                str(path), "the run has no such file", "Run the step before it first"
            ) from None
        except (ValueError, RecursionError, OSError) as error:
            raise InvalidInput(str(path), f"not JSON: {error}", "Restore the file") from None

    def samples(self) -> Samples:
        """Every request that the customers' process recorded."""
        path = self.path(SAMPLES)
        if not path.exists():
            return Samples()
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            try:
                head = next(csv.reader([file.readline()]), None)
                return Samples.read(file) if head == _HEADER else Samples()
            except csv.Error as error:
                raise InvalidInput(
                    str(path), f"not CSV: {error}", "Do not trust this run"
                ) from None

    def record(self) -> Record:
        """Everything that judging may look at; what is not there is absent, not empty."""
        samples = self.samples()  # first: to sort them takes most memory, for a moment
        series = {path.stem: self.read_json(f"series/{path.name}") for path in self._series("json")}
        rows = {path.stem: Rows(path.read_bytes(), str(path)) for path in self._series("jsonl")}
        load = self.path("samples/load.json")
        return Record(
            plan=self.read_json("plan.json"),
            events=tuple(self.records("events.jsonl")),
            samples=samples,
            load=self.read_json("samples/load.json") if load.exists() else {},
            series=series,
            pods=tuple(self.records("samples/pods.jsonl")),
            readbacks=tuple(self.records("samples/readbacks.jsonl")),
            transfers=rows.get("transfers"),
            settlements=rows.get("settlements"),
            settlements_before=rows.get("settlements_before"),
            books=self.read_json(BOOKS) if self.path(BOOKS).exists() else {},
            sums=tuple(self.records("samples/sums.jsonl")),
        )

    def write_manifest(self) -> None:
        """The SHA-256 of every file of the run, by name."""
        self.write_json(manifest.FILE, {"sha256": manifest.hashes(self.folder)})

    def check_manifest(self, *also: str) -> None:
        """Is the evidence as it was when the run was judged? Before that nothing is known of it.

        And what was judged from it, where whoever reads these files names them.

        Raises:
            InvalidInput: a file was changed, removed or added since.
        """
        if not self.path(manifest.FILE).exists():
            return
        known = self.read_json(manifest.FILE)
        hashes = known.get("sha256") if isinstance(known, dict) else None
        if not isinstance(hashes, dict) or (names := manifest.changed(self.folder, hashes, also)):
            what = ", ".join(names) if isinstance(hashes, dict) else manifest.FILE
            raise InvalidInput(
                f"{self.folder}: {what}",
                f"not as {manifest.FILE} has it: changed since the run was judged",
                "Restore it from your archive, or do not trust this run",
            )

    def _series(self, ending: str) -> list[Path]:
        return sorted(self.path("series").glob(f"*.{ending}"))


class Rows(Collection[Json]):
    """Lines of JSON, each parsed when it is looked at: a tenth of the memory of all their objects.

    Raises:
        InvalidInput: a line is not a JSON object; what only parsing shows, when it is looked at.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._lines, self._name = content.splitlines(), name
        for number, line in enumerate(self._lines, 1):
            if not (line.startswith(b"{") and line.endswith(b"}")):
                chain.parsed(line, f"{name} line {number}")

    def __len__(self) -> int:
        """How many."""
        return len(self._lines)

    def __contains__(self, one: object) -> bool:
        """Is there a line of just this?"""
        return any(one == mine for mine in self)

    def __iter__(self) -> Iterator[Json]:
        """Each as an object, made for the moment.

        By a parser that takes half as long as that of the standard library, and refuses more.
        """
        from pydantic_core import from_json

        for number, line in enumerate(self._lines, 1):
            try:
                yield from_json(line)
            except ValueError:
                yield chain.parsed(line, f"{self._name} line {number}")


def parse_sample(row: list[str]) -> Sample | None:
    """One CSV row as a sample; None for a row that was cut off while it was written."""
    if len(row) != len(_HEADER):
        return None
    with contextlib.suppress(ValueError):
        journey, scheduled, sent, done, outcome, code, id_, account, amount = row
        times = int(scheduled), int(sent), int(done)
        return Sample(journey, *times, outcome, int(code), id_, account, int(amount))
    return None


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(redacted(text))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    chain.sync_folder(path.parent)


def open_private(path: Path) -> BinaryIO:
    """A file to append to that only its owner may read, and that is no link to another."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def _id(folder: Path) -> str:
    """The id with which the run took the lock: its folder may have been moved since."""
    try:
        holder = json.loads((folder / LOCK).read_text("utf-8"))["holder"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        holder = ""
    if known := re.match(r"[0-9a-f]{12}(?= )", str(holder)):
        return known[0]
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
