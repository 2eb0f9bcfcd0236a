"""What bad requests come to in seconds without service, whatever the load did meanwhile."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from holdfast.arrivals import Load, arrivals

_STRETCH_S = 1.0


def lost_s(load: Load, bads_s: Iterable[float], from_s: float, to_s: float) -> float | None:
    """Seconds that the bad requests between two seconds of a load come to.

    In each second, their share of the requests that were planned for it: a minute in which nobody
    was served is 60 s, however many more were sent before it or after. What has less than one
    request planned counts together with what follows. None when nothing was planned at all.
    """
    due = sorted(bads_s)
    stretches = list(_stretches(load, from_s, to_s))
    if not any(planned for *_, planned in stretches):
        return None
    return sum(
        (bisect_left(due, end) - bisect_left(due, start)) * (end - start) / planned
        for start, end, planned in stretches
    )


def _stretches(load: Load, from_s: float, to_s: float) -> Iterator[tuple[float, float, float]]:
    """Parts of that time, a second each, or as long as one request needs, and what was planned."""
    shape = arrivals(load)
    number = max(1, int((to_s - from_s) / _STRETCH_S))
    ends = [*(from_s + _STRETCH_S * one for one in range(1, number)), to_s]
    start, before, total = from_s, shape.count(from_s), shape.count(to_s)
    for end in ends:
        count = shape.count(end)
        enough, left = round(count - before, 6) >= 1, round(total - count, 6)
        if end == to_s or (enough and left >= 1):
            yield start, end, round(count - before, 6)
            start, before = end, count
