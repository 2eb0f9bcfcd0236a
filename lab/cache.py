"""The lab's programs on disk: each in a folder of its own that is there whole or not at all."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_NEW = ".new-"


@dataclass(frozen=True)
class Cache:
    """A folder of programs, shared by every lab of this user."""

    folder: Path

    @classmethod
    def of_user(cls) -> "Cache":
        """The one in the user's home."""
        return cls(Path.home() / ".cache" / "holdfast" / "bin")

    def path(self, key: str) -> Path:
        """Where the entry of that key lies, or will lie."""
        return self.folder / key

    @contextlib.contextmanager
    def locked(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Nobody else builds or downloads meanwhile; what a killed builder left is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            for left in self.folder.glob(f"{_NEW}*"):
                discard(left)
            yield

    def new(self) -> "Workplace":
        """A place to put an entry together in, under a temporary name."""
        place = Workplace(Path(tempfile.mkdtemp(dir=self.folder, prefix=_NEW)))
        for part in (place.entry, place.scratch):
            part.mkdir()
        return place

    def keep(self, place: "Workplace", key: str) -> None:
        """Give a finished entry its name; it is on disk by then."""
        os.sync()
        discard(self.path(key))
        place.entry.rename(self.path(key))
        discard(place.folder)


@dataclass(frozen=True)
class Workplace:
    """Where an entry is put together: the entry itself, and room for temporary files."""

    folder: Path

    @property
    def entry(self) -> Path:
        """What will become the cache's entry."""
        return self.folder / "entry"

    @property
    def scratch(self) -> Path:
        """For whatever the builder needs on the way."""
        return self.folder / "scratch"


def discard(folder: Path) -> None:
    """Remove a folder if it is there; read-only parts, as Go makes them, too."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
