"""What a run folder held when it was judged: the SHA-256 of every file.

It shows that evidence was changed or damaged since, not by whom: who can write the folder can write
the manifest, too, so keep a copy of it elsewhere.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

FILE = "manifest.json"
RESERVE = "reserve"  # room that is kept free for what has to be written on a full disk
LOGS = ("heals.jsonl", "events.jsonl")  # chained; an undo may come after the judgement
_RECORD = {"plan.json", "load_plan.json", "journal.json", "calibration.json", *LOGS}
_FOLDERS = ("samples/", "series/")
_NOTHING = hashlib.sha256().hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a run, by name."""
    return {
        str(path.relative_to(folder)): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (FILE, RESERVE)
    }


def changed(folder: Path, known: Mapping[str, str], also: Collection[str] = ()) -> list[str]:
    """What judging reads, or is named, and is not as it was known: changed, gone, or added.

    Lines that were added to a chained log are as they should be.
    """
    now = hashes(folder)
    every = sorted(known.keys() | now.keys())
    names = [name for name in every if _is_evidence(name) or name in also]
    return [
        name
        for name in names
        if now.get(name) != known.get(name)
        and not (
            name in LOGS and name in now and known.get(name, _NOTHING) in _earlier(folder / name)
        )
    ]


def _is_evidence(name: str) -> bool:
    return name in _RECORD or (name.startswith(_FOLDERS) and not name.endswith(".log"))


def _earlier(path: Path) -> Iterator[str]:
    """The hash of a log as it was after each of its lines."""
    so_far = hashlib.sha256()
    yield so_far.hexdigest()
    for line in path.read_bytes().splitlines(keepends=True):
        so_far.update(line)
        yield so_far.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
