"""A progress line on stderr: the phase, and how much of its expected time has passed."""

from types import TracebackType
from typing import Self

from rich import progress as bars
from rich.console import Console

from holdfast.clock import SECOND, now_ns
from holdfast.inert import inert


class Progress:
    """On a terminal a bar for each phase; elsewhere one plain line when a phase begins."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._title = title
        self._began = now_ns()
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("of {task.fields[expected]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: bars.TaskID | None = None

    def __enter__(self) -> Self:
        self._console.print(inert(self._title), style="bold", markup=False)
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish()
        self._bars.stop()

    def tell(self, phase: str, expected_s: float) -> None:
        """A phase begins, and takes about so many seconds."""
        self._finish()
        if not self._console.is_terminal:
            elapsed = (now_ns() - self._began) / SECOND
            self._console.print(f"{elapsed:6.1f} s  {phase} (about {expected_s:.0f} s)")
            return
        self._task = self._bars.add_task(phase, total=None, expected=f"about {expected_s:.0f} s")

    def say(self, line: str) -> None:
        """One line that stays."""
        self._console.print(line, markup=False)

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, total=1, completed=1)
            self._task = None
