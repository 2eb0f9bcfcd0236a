"""The ledger's database: a PostgreSQL cluster made afresh for each lab.

PostgreSQL refuses root. As root it runs as an unprivileged user that exists, with its state outside
root's home, and from a copy of its programs only if that user cannot read them where they are.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg

from lab.addresses import Lab
from lab.errors import LabError
from lab.processes import base_environment

_USERS = ("postgres", "nobody")

# it is thrown away with the lab: nothing needs to survive a crash of the machine
_SETTINGS = {
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "jit": "off",
}


@dataclass(frozen=True)
class Cluster:
    """Where its programs and its data lie, and as whom it runs (None: as the caller)."""

    programs: Path
    data: Path
    user: str | None

    def command(self, address: str) -> tuple[str, ...]:
        """The server, listening on that address only."""
        host, port = address.split(":")
        settings = _SETTINGS | {"listen_addresses": host, "port": port}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return (str(self.programs / "postgres"), "-D", str(self.data), *flags)


def cluster(lab: Lab, programs: Path) -> Cluster:
    """Where the cluster of this lab goes; touches nothing."""
    if os.geteuid() != 0:
        return Cluster(programs, lab.data / "postgres", None)
    user = _unprivileged()
    outside = outside_home(lab)
    readable = _runs(programs, user)
    return Cluster(programs if readable else outside / "programs/bin", outside / "data", user)


def outside_home(lab: Lab) -> Path:
    """Root's place for what another user must read."""
    return Path(f"/var/tmp/holdfast-lab-{lab.number}-{os.geteuid()}")  # noqa: S108


def create(lab: Lab, programs: Path, wanted: Cluster) -> None:
    """Make the cluster's files.

    Raises:
        LabError: its place belongs to somebody else, or initdb fails.
    """
    if wanted.user:
        _claim(outside_home(lab), wanted.user)
        if wanted.programs != programs:
            shutil.copytree(programs.parent, wanted.programs.parent, symlinks=True)
    command = (
        str(wanted.programs / "initdb"),
        *("-D", str(wanted.data), "-U", "postgres", "--auth", "trust"),
        *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
    )
    done = _run(command, wanted.user, base_environment(lab.id))
    if done.returncode:
        why = done.stderr.strip() or done.stdout.strip()
        raise LabError("initdb", f"it failed: {why}", "Correct that and start the lab again")


def remove(lab: Lab) -> None:
    """Remove what lies outside the lab's folder."""
    if os.geteuid() == 0:
        with contextlib.suppress(FileNotFoundError):
            _refuse_stranger(outside_home(lab), _unprivileged())
            shutil.rmtree(outside_home(lab))


async def ready(lab: Lab) -> bool:
    """Does it answer? Makes the wallet's role and database the first time that it does."""
    where = f"postgresql://postgres@{lab.postgres}/postgres?connect_timeout=2"
    try:
        async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = 'wallet'")
            if await found.fetchone() is None:
                await connection.execute("CREATE ROLE wallet LOGIN")
                await connection.execute("CREATE DATABASE wallet OWNER wallet")
    except psycopg.OperationalError:
        return False
    return True


def _unprivileged() -> str:
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise LabError(
        "PostgreSQL",
        f"it refuses root, and none of the users {', '.join(_USERS)} exists",
        "Start the lab as an ordinary user",
    )


def _runs(programs: Path, user: str) -> bool:
    """Can that user start the programs where they are?"""
    try:
        done = _run((str(programs / "initdb"), "--version"), user, {})
    except PermissionError:
        return False
    return done.returncode == 0


def _run(
    command: tuple[str, ...], user: str | None, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    owner = pwd.getpwnam(user) if user else None
    return subprocess.run(
        command,
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
        env=variables,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _claim(folder: Path, user: str) -> None:
    """Make the folder for that user; a folder of somebody else under that name is refused."""
    owner = pwd.getpwnam(user)
    with contextlib.suppress(FileNotFoundError):
        _refuse_stranger(folder, user)
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    os.chown(folder, owner.pw_uid, owner.pw_gid)


def _refuse_stranger(folder: Path, user: str) -> None:
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid not in (0, pwd.getpwnam(user).pw_uid):
        raise LabError(str(folder), "it belongs to somebody else", "Remove it")
