"""How long each program has been under way: live on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_EVERY = 60.0  # seconds between two lines about the same program


class Progress:
    """Says on stderr what is being built or downloaded."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(
            stderr=True, highlight=False, markup=False, soft_wrap=True
        )
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bars = Bars(*columns, console=self._console, transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._noted: set[str] = set()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """One line."""
        self._console.print(line)

    def note(self, line: str) -> None:
        """One line, the first time only."""
        if line not in self._noted:
            self._noted.add(line)
            self.say(line)

    def began(self, what: str, remark: str) -> None:
        """Something is under way from now on."""
        self._began[what] = self._said[what] = time.monotonic()
        if self._console.is_terminal:
            self._tasks[what] = self._bars.add_task(f"{what} {remark}".rstrip(), total=None)
        else:
            self.say(f"{what} {remark}".rstrip())

    def goes_on(self, what: str) -> None:
        """It is still under way."""
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said[what] >= _EVERY:
            self._said[what] = now
            self.say(f"{what}: {self._seconds(what):.0f} s so far")

    def ended(self, what: str, how: str) -> None:
        """It ended."""
        if what in self._tasks:
            self._bars.remove_task(self._tasks.pop(what))
        self.say(f"{what}: {how} after {self._seconds(what):.1f} s")

    def _seconds(self, what: str) -> float:
        return time.monotonic() - self._began[what]
