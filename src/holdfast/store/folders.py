"""How a run folder is made, and that it holds plain files only."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from holdfast.clock import utc_now
from holdfast.errors import InvalidInput


def make(root: Path, name: str) -> Path:
    """Make `root/<name>/<UTC>/` for its owner only; a folder that exists is never reused.

    Raises:
        InvalidInput: it cannot be made there.
    """
    parent = root / name
    try:
        for one in (root, parent):
            _make_folder(one)
        folder = new_folder(parent, iter(_stamp, ""))
        for part in ("samples", "series"):
            _make_folder(folder / part)
    except OSError as error:
        why = f"no run's folder can be made there: {error.strerror}"
        raise InvalidInput(str(parent), why, "Name another folder for runs") from None
    return folder


def check_plain(folder: Path) -> None:
    """Only plain files belong there: a link would lead out of it, a pipe would never end."""
    for above, folders, names in os.walk(folder):
        for name in (*folders, *names):
            try:
                mode = Path(above, name).lstat().st_mode
            except FileNotFoundError:
                continue  # a file that was being written has its name by now
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise InvalidInput(
                    f"{above}/{name}", "it is a link, a pipe or a device", "Do not trust this run"
                )


def _make_folder(folder: Path) -> None:
    """Make a folder, and those above it, for its owner only; one that is there stays as it is."""
    for above in (*reversed(folder.parents), folder):
        if not above.exists():
            above.mkdir(mode=0o700, exist_ok=True)


def new_folder(parent: Path, names: Iterator[str]) -> Path:
    """A folder of the first of these names that nobody has: two runs may begin at one instant."""
    for name in names:
        with contextlib.suppress(FileExistsError):
            (parent / name).mkdir(mode=0o700)
            return parent / name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(parent))


def _stamp() -> str:
    return utc_now().strftime("%Y%m%dT%H%M%S.%fZ")


def slug(text: str) -> str:
    """Lower-case letters, digits and hyphens: safe as a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63] or "run"
