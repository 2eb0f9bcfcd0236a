"""One pod on one node: its process, its probes, its restarts, its end, and what is told of them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from lab.addresses import reported
from lab.agent_pods import Observed, Pod, Probe, Streak, backoff, ended, utc_now
from lab.agent_volumes import UnknownVolumeError, Volumes
from lab.kubernetes_api import TRANSIENT, Api, ApiError
from lab.processes import die_with_parent

_RETRY = 0.2  # seconds between two attempts to tell the API server
_SETTLED_AFTER = 600.0  # seconds of running after which earlier restarts are forgotten
_GONE = (404, 409)


@dataclass(frozen=True)
class Node:
    """Where pods run, and what their processes are given."""

    name: str
    zone: str
    host: str
    images: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str]
    logs: Path
    volumes: Path
    next_address: Callable[[], str]


class PodRunner:
    """Runs a pod until it is asked to end or vanishes."""

    def __init__(self, pod: Pod, node: Node, api: Api, http: aiohttp.ClientSession) -> None:
        self.pod = pod
        self._node = node
        self._api = api
        self._http = http
        self._volumes = Volumes(pod, api, node.volumes)
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()
        self._dirty = asyncio.Event()
        now = utc_now()
        self._seen = Observed(created=now, changed=now, restarts=pod.restarts)

    async def run(self) -> None:
        """Until its end; returns once no process of it is left and the API server was told."""
        telling = asyncio.create_task(self._tell())
        try:
            await self._live()
        finally:
            self._signal(signal.SIGKILL)
            telling.cancel()
            self._volumes.remove()
        await self._delete()

    def terminate(self, grace: float) -> None:
        """Ask it to end; after `grace` seconds it is killed. A later, shorter grace counts."""
        if not self._ending.is_set():
            self._ending.set()
            self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(grace, self._signal, signal.SIGKILL)

    def kill(self) -> None:
        """It has vanished from the API: end it at once."""
        self._ending.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole process group; a process that was not reaped yet keeps its pid."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _live(self) -> None:
        image = self._node.images.get(self.pod.image)
        if image is None:
            await self._never("ErrImagePull", f"lab/images.yaml does not name {self.pod.image}")
            return
        try:
            await _first(self._ending.wait(), self._volumes.fill())
        except UnknownVolumeError as error:
            await self._never("FailedMount", str(error))
            return
        words = (*(self.pod.command or image), *self.pod.arguments)
        command = command_line(words, self._volumes.place)
        renewing = asyncio.create_task(self._volumes.renew())
        try:
            await self._repeat(command)
        finally:
            renewing.cancel()

    async def _never(self, reason: str, why: str) -> None:
        """It cannot be started: say so until it is asked to end."""
        self._see(waiting=(reason, why))
        await self._ending.wait()

    async def _repeat(self, command: tuple[str, ...]) -> None:
        """Start its container again whenever it ends, later each time."""
        address = self._node.next_address()
        self._see(address=reported(address))
        while not self._ending.is_set():
            await self._once(command, address)
            if self._ending.is_set():
                return
            wait = backoff(self._seen.restarts)
            if wait:
                self._see(waiting=("CrashLoopBackOff", f"restarted in {wait:g} s"))
            await _first(self._ending.wait(), asyncio.sleep(wait))

    async def _once(self, command: tuple[str, ...], address: str) -> None:
        """One life of its container: start, probe, wait for its end."""
        with self._log().open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **self._node.environment,
                    **self.pod.variables(address, self._node.name, self._node.zone),
                    **self._volumes.variables(),
                },
                process_group=0,
                preexec_fn=die_with_parent(os.getpid()),
            )
        self._process = process
        began = utc_now()
        self._see(pid=process.pid, began=began)
        if self._ending.is_set():
            self._signal(signal.SIGTERM)
        probing = asyncio.create_task(self._probe(address))
        code = await process.wait()
        probing.cancel()
        now = utc_now()
        settled = (now - began).total_seconds() > _SETTLED_AFTER
        restarts = 1 if settled else self._seen.restarts + 1
        self._see(ready=False, pid=None, restarts=restarts, last=ended(code, began, now))

    async def _probe(self, address: str) -> None:
        async with asyncio.TaskGroup() as group:
            if self.pod.readiness:
                group.create_task(self._follow(self.pod.readiness, address, self._ready, False))
            else:
                self._ready(True)
            if self.pod.liveness:
                group.create_task(self._follow(self.pod.liveness, address, self._lives, True))

    async def _follow(
        self, probe: Probe, address: str, tell: Callable[[bool], None], first: bool
    ) -> None:
        """Repeat one probe, and tell each change of its verdict."""
        streak = Streak(first)
        await asyncio.sleep(probe.delay)
        while True:
            tick = asyncio.get_running_loop().time()
            before, good = streak.verdict, await self._ask(probe, address)
            streak = streak.after(good, probe)
            if streak.verdict != before:
                tell(streak.verdict)
            passed = asyncio.get_running_loop().time() - tick
            await asyncio.sleep(max(0.0, probe.period - passed))

    async def _ask(self, probe: Probe, address: str) -> bool:
        timeout = aiohttp.ClientTimeout(total=probe.timeout)
        url = f"http://{address}:{probe.port}{probe.path}"
        try:
            async with self._http.get(url, timeout=timeout) as answer:
                return 200 <= answer.status < 400
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def _ready(self, ready: bool) -> None:
        self._see(ready=ready)

    def _lives(self, lives: bool) -> None:
        """A container that fails its liveness probe is killed, and so restarted."""
        if not lives:
            self._signal(signal.SIGKILL)

    def _see(self, **changes: object) -> None:
        """Take note, and have it told."""
        if changes.get("ready", self._seen.ready) != self._seen.ready:
            changes["changed"] = utc_now()
        self._seen = replace(self._seen, **changes)  # type: ignore[arg-type]  # fields by name
        self._dirty.set()

    async def _tell(self) -> None:
        """Report the newest status whenever it changed, until the API server took it."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            status = self._seen.status(self.pod, self._node.host)
            body = {"metadata": {"uid": self.pod.uid}, "status": status}
            try:
                await self._api.patch(f"{self.pod.path}/status", body)
            except TRANSIENT as error:
                if not _is_gone(error):
                    await asyncio.sleep(_RETRY)
                    self._dirty.set()

    async def _delete(self) -> None:
        """Its process is gone: let the API server forget it."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod.uid}}
        while True:
            try:
                await self._api.delete(self.pod.path, options)
            except TRANSIENT as error:
                if not _is_gone(error):
                    await asyncio.sleep(_RETRY)
                    continue
            return

    def _log(self) -> Path:
        return self._node.logs / f"pod-{self.pod.name}.log"


def command_line(words: Iterable[str], place: Callable[[str], str]) -> tuple[str, ...]:
    """What is started: paths of the pod are where its volumes are, its program is one of ours.

    In this order: the folder of our programs may itself lie below a path that the pod mounts.
    """
    program, *others = map(place, words)
    return (beside_python(program), *others)


def beside_python(word: str) -> str:
    """A program of the interpreter's folder (`python`, `holdfast`); any other word as it is."""
    program = Path(sys.executable).parent / word
    return str(program) if program.exists() else word


def _is_gone(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.status in _GONE


async def _first(*waits: Awaitable[object]) -> None:
    """Wait for whichever comes first."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
