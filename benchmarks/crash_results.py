"""What the parts of crash.py measured, kept as JSON, printed as tables, written as a page."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine

type Rows = list[list[str]]


@dataclass(frozen=True)
class Table:
    """One table, and what has to be known to read it."""

    title: str
    head: list[str]
    rows: Rows
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal."""
        return "\n".join([self.title, machine.table(self.head, self.rows), *self.notes])

    def markdown(self) -> str:
        """For a page."""
        lines = [f"## {self.title}", "", _line(self.head), _line(["---"] * len(self.head))]
        lines += [*map(_line, self.rows), ""]
        return "\n".join([*lines, *(f"{note}\n" for note in self.notes)])


def percentile(values: Iterable[float], share: float) -> float:
    """The value that at least this share of all do not exceed; NaN of none."""
    found = sorted(values)
    return (
        found[max(0, -(-len(found) * round(share * 1000) // 1000) - 1)] if found else float("nan")
    )


def spread(values: Sequence[float], unit: str = "s", digits: int = 3) -> list[str]:
    """p50, p99 and the largest, as cells."""
    if not values:
        return ["-"] * 3
    cells = (percentile(values, 0.5), percentile(values, 0.99), max(values))
    return [f"{one:.{digits}f} {unit}" for one in cells]


def keep(path: Path, part: str, about: dict[str, Any], found: list[dict[str, Any]]) -> None:
    """Put what a part measured into the file, in the place of what it measured before."""
    every = load(path)
    every[part] = {**about, "machine": machine.line(), "found": found}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(every, indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """What every part measured."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def page(title: str, intro: str, parts: list[tuple[dict[str, Any], list[Table]]]) -> str:
    """All of it as Markdown, each part with its date, machine, seed and command."""
    lines = [f"# {title}", "", intro, ""]
    for about, tables in parts:
        lines += [one.markdown() for one in tables]
        lines += [
            f"`{about['command']}`, {about['date']}, seed {about['seed']}: {about['machine']}."
        ]
        lines += [""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
