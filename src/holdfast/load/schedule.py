"""When each request is due: known in advance, so that a slow answer never delays the next one."""

import heapq
from collections.abc import Iterator, Mapping

from holdfast.arrivals import Arrivals, Load, Pieces, arrivals, peak
from holdfast.clock import SECOND


def schedule(loads: Mapping[str, Load], start_ns: int) -> Iterator[tuple[int, str]]:
    """Every instant at which a request is due, with its journey, in order and without end.

    Of the journeys that keep a rate, the second begins one step of the summed rate at the start
    later than the first, the third two steps, so that they rarely coincide. Instants that were
    drawn or recorded stay as they are.
    """
    step = SECOND / sum(peak(load, 1.0, 1.0) or 1.0 for load in loads.values())
    journeys = []
    for number, (name, load) in enumerate(loads.items()):
        mine = arrivals(load)
        shift = round(number * step) if isinstance(mine, Pieces) else 0
        journeys.append(_instants(name, mine, start_ns + shift))
    return journeys[0] if len(journeys) == 1 else heapq.merge(*journeys)


def _instants(name: str, mine: Arrivals, start_ns: int) -> Iterator[tuple[int, str]]:
    for instant in mine.instants():
        yield start_ns + round(instant * SECOND), name
