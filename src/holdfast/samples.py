"""A run's requests in columns: a fifth of the memory of as many objects, windows by bisection."""

import csv
import io
import sys
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import batched, chain, compress, islice
from operator import attrgetter, eq
from typing import Any, TextIO

from holdfast.model import Sample, Window

_KINDS = {one.name: one.type for one in fields(Sample)}
_BATCH = 512  # rows that are read at once
_CHARS = 1 << 16  # of text that are
_SECOND = 1_000_000_000

type Columns = Sequence[Sequence[Any]]  # of a sample's fields, in their order


class Track(Collection[Sample]):
    """One journey's requests, in the order they were due.

    The columns are called as in a sample, and have the same length.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = [columns[name] for name in _KINDS]
        self.scheduled_ns: array[int] = columns["scheduled_ns"]
        self.sent_ns: array[int] = columns["sent_ns"]
        self.done_ns: array[int] = columns["done_ns"]
        self.outcome: list[str] = columns["outcome"]
        self._bad: dict[float, bytearray] = {}

    def __len__(self) -> int:
        """How many."""
        return len(self.scheduled_ns)

    def __contains__(self, one: object) -> bool:
        """Is there a request just like it?"""
        return any(one == mine for mine in self)

    def __iter__(self) -> Iterator[Sample]:
        """Each as an object, made for the moment."""
        return (Sample(*row) for row in zip(*self._columns, strict=True))

    def at(self, position: int) -> Sample:
        """One of them as an object."""
        return Sample(*(column[position] for column in self._columns))

    def latency(self, position: int) -> float:
        """Seconds that one of them took, from when it was due."""
        return (self.done_ns[position] - self.scheduled_ns[position]) / 1e9

    def due(self, window: Window) -> range:
        """The positions of those that were due in a window."""
        first = bisect_left(self.scheduled_ns, window.start_ns)
        return range(first, max(first, bisect_left(self.scheduled_ns, window.end_ns)))

    def bad(self, within_s: float) -> bytearray:
        """For each: 1 when it failed or took longer than the promise, else 0."""
        if within_s not in self._bad:
            limit_ns = round(within_s * 1e9)
            rows = zip(self.outcome, self.scheduled_ns, self.done_ns, strict=True)
            self._bad[within_s] = bytearray(
                outcome != "ok" or done_ns - due_ns > limit_ns for outcome, due_ns, done_ns in rows
            )
        return self._bad[within_s]

    def bad_due(self, window: Window, within_s: float) -> list[int]:
        """The positions of the bad ones that were due in a window."""
        due = self.due(window)
        return list(compress(due, self.bad(within_s)[due.start : due.stop]))


class Samples(Collection[Sample]):
    """Every request of a run; in which order they come changes nothing."""

    def __init__(self, rows: Iterable[Sequence[Any]] = ()) -> None:
        """From rows of a sample's fields, as they are or as text; torn ones are left out."""
        self._fill(_from_rows(rows))

    @classmethod
    def read(cls, file: TextIO) -> "Samples":
        """From a CSV file, from where it stands; torn rows are left out.

        Raises:
            csv.Error: it is not CSV.
        """
        found = cls()
        found._fill(_from_text(file))
        return found

    def _fill(self, batches: Iterable[Columns]) -> None:
        columns = _by_journey(batches)
        self._tracks = {name: Track(_in_order(columns.pop(name))) for name in list(columns)}

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> "Samples":
        """These samples in columns; they may be so already."""
        return samples if isinstance(samples, Samples) else cls(map(attrgetter(*_KINDS), samples))

    def __len__(self) -> int:
        """How many."""
        return sum(map(len, self._tracks.values()))

    def __contains__(self, one: object) -> bool:
        """Is there a request just like it?"""
        return any(one in track for track in self._tracks.values())

    def __iter__(self) -> Iterator[Sample]:
        """Each as an object, made for the moment, journey by journey."""
        return (one for track in self._tracks.values() for one in track)

    def of_journey(self, name: str) -> Track:
        """The requests of one journey; there may be none."""
        return self._tracks.get(name, _NONE)


def _from_rows(rows: Iterable[Sequence[Any]]) -> Iterator[Columns]:
    """Some rows at a time; one of another length was cut off while it was written."""
    for batch in batched(rows, _BATCH):
        if whole := [row for row in batch if len(row) == len(_KINDS)]:
            yield [*zip(*whole, strict=True)]


def _from_text(file: TextIO) -> Iterator[Columns]:
    """Some lines at a time, in a third of the time of `csv` while there is nothing to unquote."""
    left = ""
    while text := file.read(_CHARS):
        whole, newline, left = (left + text).rpartition("\n")
        columns = _plain(whole + newline)
        if columns is None:
            lines = chain(io.StringIO(whole + newline, "\n"), [left + file.readline()], file)
            yield from _from_rows(csv.reader(line for line in lines if line.endswith("\n")))
            return
        yield columns


def _plain(text: str) -> Columns | None:
    """The columns of lines that are all whole and without quotes; else None."""
    number, width = text.count("\n"), len(_KINDS) + 1
    parts = text.replace("\n", ",\n,").split(",")
    if parts[width - 1 :: width].count("\n") != number or len(parts) != number * width + 1:
        return None
    return None if '"' in text or "\r" in text else [parts[k:-1:width] for k in range(width - 1)]


def _by_journey(batches: Iterable[Columns]) -> dict[str, dict[str, Any]]:
    """The columns of each journey, in the order of the rows."""
    found: defaultdict[str, dict[str, Any]] = defaultdict(_empty)
    for columns in batches:
        names = columns[0]
        for journey in dict.fromkeys(names):
            chosen = [one == journey for one in names]
            mine = [list(compress(column, chosen)) for column in columns]
            for name, column in _parsed(mine).items():
                found[journey][name].extend(column)
    return found


def _empty() -> dict[str, Any]:
    return {name: array("q") if kind is int else [] for name, kind in _KINDS.items()}


def _parsed(columns: Columns) -> dict[str, Any]:
    """The same by name, without the rows that hold no number where one belongs."""
    number = len(columns[0])
    try:
        return {name: _column(name, values) for name, values in zip(_KINDS, columns, strict=True)}
    except (ValueError, OverflowError):
        if number == 1:
            return _empty()
    halves = slice(None, number // 2), slice(number // 2, None)
    first, second = (_parsed([column[half] for column in columns]) for half in halves)
    return {name: column + second[name] for name, column in first.items()}


def _column(name: str, values: Sequence[Any]) -> Any:
    first, number = values[0], len(values)
    if first == values[-1] and values.count(first) == number:  # as most codes are, and outcomes
        only = array("q", [int(first)]) if _KINDS[name] is int else [sys.intern(first)]
        return only * number
    if _KINDS[name] is int:
        return array("q", map(int, values))
    return list(values) if name == "id" else list(map(sys.intern, values))


def _in_order(columns: dict[str, Any]) -> dict[str, Any]:
    """By when they were due; ties are broken by all else that is judged."""
    seconds: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
    for position, due_ns in enumerate(columns["scheduled_ns"]):
        seconds[due_ns // _SECOND].append(position)
    order = array("q")
    for second in sorted(seconds):  # one at a time: all at once would take more memory than judging
        order.extend(_of_one_second(seconds.pop(second), columns))
    for name in columns:
        columns[name] = _taken(name, columns, order)
    return columns


def _of_one_second(positions: Iterable[int], columns: Mapping[str, Any]) -> list[int]:
    order = sorted(positions, key=columns["scheduled_ns"].__getitem__)
    due_ns = _taken("scheduled_ns", columns, order)
    if any(map(eq, due_ns, islice(due_ns, 1, None))):
        for name in ("outcome", "done_ns", "sent_ns", "scheduled_ns"):
            order.sort(key=columns[name].__getitem__)
    return order


def _taken(name: str, columns: Mapping[str, Any], order: Iterable[int]) -> Any:
    values = map(columns[name].__getitem__, order)
    return array("q", values) if _KINDS[name] is int else list(values)


_NONE = Track(_empty())
