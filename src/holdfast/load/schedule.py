"""When each request is due: known in advance, so that a slow answer never delays the next one."""

import heapq
from collections.abc import Iterator, Mapping

from holdfast.clock import SECOND


def schedule(rates: Mapping[str, float], start_ns: int) -> Iterator[tuple[int, str]]:
    """Every instant at which a request is due, with its journey, in order and without end.

    Each journey keeps its own constant rate (requests a second). The second one begins one step
    of the summed rate later than the first, the third two steps, so that they rarely coincide.
    """
    step = SECOND / sum(rates.values())
    journeys = [
        _constant(name, SECOND / rate, start_ns + round(number * step))
        for number, (name, rate) in enumerate(rates.items())
    ]
    return heapq.merge(*journeys)


def _constant(name: str, period_ns: float, first_ns: int) -> Iterator[tuple[int, str]]:
    number = 0
    while True:
        yield first_ns + round(number * period_ns), name
        number += 1
