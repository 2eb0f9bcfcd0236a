"""Asks a program which version it is, and says why one is not good enough."""

import errno
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LIMIT = 10.0  # seconds for a program to say its version
# a program that was just written may be open still in a child that another thread started meanwhile
_BUSY_S = (0.01, 0.1, 1.0)


class UnfitError(Exception):
    """The program cannot be used; the text says why."""


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparing: `1.26.7` is (1, 26, 7)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


@dataclass(frozen=True)
class Executable:
    """A program by its file name, how it says its version, and which versions are good."""

    name: str
    ask: str  # the argument that makes it print its version
    pattern: str  # finds the version in what it prints, as group 1
    good: Callable[[str], bool]
    needs: str  # the good versions in words
    beside: tuple[str, ...] = ()  # other programs that must lie in the same folder

    def version(self, path: Path) -> str:
        """The version of the program at that path.

        Raises:
            UnfitError: it cannot be used.
        """
        found = re.search(self.pattern, self._answer(path))
        if not found:
            raise UnfitError(f"{path} does not say its version")
        if not self.good(found.group(1)):
            raise UnfitError(f"{path} is {found.group(1)}; needed is {self.needs}")
        for name in self.beside:
            if not (path.resolve().parent / name).is_file():
                raise UnfitError(f"{path} lies without {name}")
        return found.group(1)

    def _answer(self, path: Path) -> str:
        for wait_s in _BUSY_S:
            try:
                done = subprocess.run(
                    (path, self.ask),
                    cwd="/",
                    capture_output=True,
                    text=True,
                    timeout=_LIMIT,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                if getattr(error, "errno", None) != errno.ETXTBSY:
                    return ""
                time.sleep(wait_s)  # until that child runs its own program
            else:
                return done.stdout + done.stderr
        return ""
