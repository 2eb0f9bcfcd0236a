"""When requests are due: the load of one journey as a pure function of the seconds since its start.

A load is a number (requests a second) or a shape, as `plan.json` holds it. How many requests a
window was planned to have, and when each of them is due, follow from the same object.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from math import inf, nextafter, sqrt
from random import Random
from typing import Any, Protocol

_DRAWN_S = 60.0  # of drawn instants, which are looked at for a peak

type Load = float | Mapping[str, Any]


class Arrivals(Protocol):
    """The instants at which one journey's requests are due.

    After `cycle_s` nothing comes that is unlike what came before.
    """

    cycle_s: float

    def instants(self) -> Iterator[float]:
        """Each, in order and without end, in seconds since the start."""

    def count(self, until_s: float) -> float:
        """How many are due before that second; where only the rate is known, its integral."""

    def turns(self, from_s: float, to_s: float) -> Iterable[float]:
        """The instants between the two after which fewer may come than before."""


class Pieces:
    """Rates that are constant or change evenly: each piece's seconds, first and last rate."""

    def __init__(self, pieces: Iterable[tuple[float, float, float]]) -> None:
        self._pieces: list[tuple[float, float, float, float, float]] = []
        at_s = many = 0.0
        for length, first, last in pieces:
            slope = (last - first) / length if length < inf else 0.0
            self._pieces.append((at_s, at_s + length, many, first, slope))
            self.cycle_s = at_s
            at_s, many = at_s + length, many + length * (first + last) / 2

    def instants(self) -> Iterator[float]:
        """The k-th is due when the integral of the rate reaches k."""
        number = 0
        for start, end, before, rate, slope in self._pieces:
            while (at_s := start + _needed(number - before, rate, slope)) < end:
                yield at_s
                number += 1

    def count(self, until_s: float) -> float:
        """The integral of the rate from the start."""
        if until_s <= 0:
            return 0.0
        start, _, before, rate, slope = next(one for one in self._pieces if until_s <= one[1])
        length = until_s - start
        return before + length * (rate + slope * length / 2)

    def turns(self, from_s: float, to_s: float) -> Iterable[float]:
        """Where a piece ends."""
        return [end for _, end, *_ in self._pieces if from_s < end < to_s]


def _needed(requests: float, rate: float, slope: float) -> float:
    """Seconds until so many were due, from the beginning of a piece; inf if that is never."""
    if requests <= 0:
        return 0.0
    if not slope:
        return requests / rate
    root = rate * rate + 2 * slope * requests
    return 2 * requests / (rate + sqrt(root)) if root >= 0 else inf


class Listed:
    """Instants that are known one by one: drawn from a seed, or recorded."""

    def __init__(self, source: Callable[[], Iterator[float]], cycle_s: float) -> None:
        self.cycle_s = cycle_s
        self._source = source
        self._more = source()
        self._known: list[float] = []

    def instants(self) -> Iterator[float]:
        """Each of them."""
        return self._source()

    def count(self, until_s: float) -> float:
        """Exactly how many."""
        while not self._known or self._known[-1] < until_s:
            self._known += islice(self._more, 1000)
        return bisect_left(self._known, until_s)

    def turns(self, from_s: float, to_s: float) -> Iterable[float]:
        """Just after each: a window that begins there is without it."""
        first, last = int(self.count(from_s)), int(self.count(to_s))
        return [nextafter(one, inf) for one in self._known[first:last]]


def arrivals(load: Load) -> Arrivals:
    """The instants of a load."""
    return _made(json.dumps(load, sort_keys=True))


@lru_cache(maxsize=16)
def _made(text: str) -> Arrivals:
    load = json.loads(text)
    if not isinstance(load, dict):
        return Pieces([(inf, load, load)])
    match load["shape"]:
        case "ramp":
            first, last = load["from"], load["to"]
            return Pieces([(load["over"], first, last), (inf, last, last)])
        case "steps":
            *passing, last = load["rates"]
            return Pieces([*((load["each"], one, one) for one in passing), (inf, last, last)])
        case "poisson":
            return Listed(lambda: _poisson(load["rate"], load["seed"]), _DRAWN_S)
        case "recorded":
            return Listed(lambda: _again(load["instants"], load["over"]), load["over"])
    raise ValueError(f"no such shape: {load['shape']}")


def _poisson(rate: float, seed: int) -> Iterator[float]:
    """Independent arrivals: the gaps are exponential, with a mean of 1 / rate."""
    draw = Random(seed)  # noqa: S311 - arrivals, not secrets
    at_s = 0.0
    while True:
        at_s += draw.expovariate(rate)
        yield at_s


def _again(recorded: list[float], over_s: float) -> Iterator[float]:
    """The recording, again and again."""
    turn = 0
    while True:
        yield from (turn * over_s + one for one in recorded)
        turn += 1


def planned(load: Load, from_s: float, to_s: float) -> float:
    """How many requests are due from one second up to, not including, another."""
    one = arrivals(load)
    return round(one.count(to_s) - one.count(from_s), 6)


def peak(load: Load, length_s: float, until_s: float) -> float:
    """The most that are due in any window of that length before that second."""
    end_s = min(until_s, arrivals(load).cycle_s + length_s)
    return max(_counts(load, length_s, (0.0, end_s)))


def fewest(load: Load, length_s: float, within: tuple[float, float]) -> float:
    """The fewest that are due in any window of that length between two seconds."""
    return min(_counts(load, length_s, within))


def _counts(load: Load, length_s: float, within: tuple[float, float]) -> Iterator[float]:
    """The counts among which the extremes are.

    The count changes its course only where either end of the window passes a turn: a rate that
    rises or falls evenly does so on one side of it only.
    """
    from_s, to_s = within[0], max(within[0], within[1] - length_s)
    one = arrivals(load)
    turns = one.turns(from_s, to_s + length_s)
    starts = {from_s, to_s, *turns, *(turn - length_s for turn in turns)}
    for start in starts:
        if from_s <= start <= to_s:
            yield round(one.count(start + length_s) - one.count(start), 6)


def words(load: Load) -> str:
    """The load as a person reads it."""
    if not isinstance(load, Mapping):
        return f"{load:g}/s"
    match load["shape"]:
        case "ramp":
            return f"{load['from']:g}/s to {load['to']:g}/s over {load['over']:g} s"
        case "steps":
            rates = ", ".join(f"{one:g}/s" for one in load["rates"])
            return f"{rates}, each for {load['each']:g} s"
        case "poisson":
            return f"{load['rate']:g}/s, Poisson (seed {load['seed']})"
        case _:
            return f"{len(load['instants'])} recorded in {load['over']:g} s, again and again"
