"""How the pieces of a lab are: looked at from outside, by their processes and health checks."""

import asyncio
import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
from rich.table import Table

from lab import processes, state
from lab.addresses import Lab
from lab.kubernetes_api import TRANSIENT
from lab.processes import Process
from lab.up import healthy

_MIB = 1 << 20
_PATIENCE = 10  # looks, a second apart
_LIMIT = aiohttp.ClientTimeout(total=3)


@dataclass(frozen=True)
class Row:
    """A piece or a pod; memory in bytes, shared pages divided among those that share them."""

    name: str
    address: str
    version: str
    pid: int
    memory: int
    state: str

    def plain(self) -> dict[str, str | int]:
        """For JSON."""
        return asdict(self)


async def observe(lab: Lab) -> list[Row]:
    """Every piece that was started, and every pod that runs."""
    pods = [found for process in processes.of_lab(lab.id) if (found := _pod(process))]
    inside = {row.pid for row in pods}
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=_LIMIT) as http:
        pieces = await asyncio.gather(
            *(_piece(lab, piece, inside, http) for piece in state.read(lab).pieces)
        )
    return [*pieces, *sorted(pods, key=lambda row: row.address)]


async def _piece(
    lab: Lab, piece: state.Running, pods: set[int], http: aiohttp.ClientSession
) -> Row:
    if not processes.alive(piece.process):
        return Row(piece.name, piece.address, piece.version, piece.pid, 0, "dead")
    good = False
    with contextlib.suppress(*TRANSIENT):
        good = await healthy(lab, piece.health, http)
    memory = processes.memory(set(processes.family(piece.process)) - pods)
    said = "healthy" if good else "unhealthy"
    return Row(piece.name, piece.address, piece.version, piece.pid, memory, said)


def _pod(process: Process) -> Row | None:
    """The row of a process that a node agent started as a pod; None for any other."""
    with contextlib.suppress(OSError):
        content = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace")
        variables = dict(line.split("=", 1) for line in content.split("\0") if "=" in line)
        if "POD_NAME" in variables:
            address = f"{variables['HOST']}:{variables['PORT']}"
            memory = processes.memory([process.pid])
            name, zone = variables["POD_NAME"], variables["ZONE"]
            return Row(name, address, zone, process.pid, memory, "running")
    return None


async def settled_problems(lab: Lab) -> list[str]:
    """What is wrong, and stays so: a piece that only answers late on a busy machine is not."""
    for _ in range(_PATIENCE):
        rows = await observe(lab)
        wrong = problems(rows)
        if not wrong or any(row.state == "dead" for row in rows):
            break
        await asyncio.sleep(1)
    return wrong


def problems(rows: list[Row]) -> list[str]:
    """What is wrong with a lab, a few words for each piece."""
    return [f"{row.name} {row.state}" for row in rows if row.state in ("dead", "unhealthy")]


def table(rows: list[Row]) -> Table:
    """For people."""
    shown = Table("name", "address", "version or zone", "pid", "memory", "state", box=None)
    for row in rows:
        memory = f"{row.memory / _MIB:.0f} MiB"
        shown.add_row(row.name, row.address, row.version, str(row.pid), memory, row.state)
    return shown
