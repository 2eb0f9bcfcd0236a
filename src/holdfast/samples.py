"""A run's requests in columns: a fifth of the memory of as many objects, windows by bisection."""

import sys
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import batched, compress, islice
from operator import attrgetter, eq
from typing import Any

from holdfast.model import Sample, Window

_KINDS = {one.name: one.type for one in fields(Sample)}
_BATCH = 512  # rows that are read at once


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
        columns = _by_journey(rows)
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


def _by_journey(rows: Iterable[Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """The columns of each journey, in the order of the rows."""
    found: defaultdict[str, dict[str, Any]] = defaultdict(_empty)
    for batch in batched(rows, _BATCH):
        mine: defaultdict[str, list[Sequence[Any]]] = defaultdict(list)
        for row in batch:
            if len(row) == len(_KINDS):  # else it was cut off while it was written
                mine[row[0]].append(row)
        for journey, those in mine.items():
            for name, column in _parsed(those).items():
                found[journey][name].extend(column)
    return found


def _empty() -> dict[str, Any]:
    return {name: array("q") if kind is int else [] for name, kind in _KINDS.items()}


def _parsed(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The columns of some rows, without those that hold no number where one belongs."""
    columns = zip(_KINDS, zip(*rows, strict=True), strict=True)
    try:
        return {name: _column(name, values) for name, values in columns}
    except (ValueError, OverflowError):
        if len(rows) == 1:
            return _empty()
    half = len(rows) // 2
    first, second = _parsed(rows[:half]), _parsed(rows[half:])
    return {name: column + second[name] for name, column in first.items()}


def _column(name: str, values: Iterable[Any]) -> Any:
    if _KINDS[name] is int:
        return array("q", map(int, values))
    return list(values) if name == "id" else list(map(sys.intern, values))


def _in_order(columns: dict[str, Any]) -> dict[str, Any]:
    """By when they were due; ties are broken by all else that is judged."""
    order = sorted(range(len(columns["journey"])), key=columns["scheduled_ns"].__getitem__)
    due_ns = _taken("scheduled_ns", columns, order)
    if any(map(eq, due_ns, islice(due_ns, 1, None))):
        for name in ("outcome", "done_ns", "sent_ns", "scheduled_ns"):
            order.sort(key=columns[name].__getitem__)
    for name in columns:
        columns[name] = _taken(name, columns, order)
    return columns


def _taken(name: str, columns: Mapping[str, Any], order: Iterable[int]) -> Any:
    values = map(columns[name].__getitem__, order)
    return array("q", values) if _KINDS[name] is int else list(values)


_NONE = Track(_empty())
