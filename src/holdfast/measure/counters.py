"""Raw samples of Prometheus, read without `rate()`: no data is None, never zero.

Labels are called by their role (route, code, gateway, …), whatever the environment calls them.
Instants are Unix seconds, as Prometheus gives them.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import lt
from statistics import median
from typing import Any

from holdfast.model import Interval, Journey

STALE_S = 5.0  # a value older than this, or than 3.5 scrapes, is no value


@dataclass(frozen=True)
class Series:
    """One series: its labels, its points (Unix seconds, value), when it said nothing usable."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]
    unusable: tuple[float, ...] = ()

    @cached_property
    def times(self) -> tuple[float, ...]:
        """The instants of its points."""
        return tuple(at for at, _ in self.points)

    @cached_property
    def stale_after(self) -> float:
        """How old a value of this series may be, in seconds."""
        return max(STALE_S, 3.5 * (spacing(self) or 0.0))

    def has(self, **labels: str) -> bool:
        """Does it carry these labels?"""
        return all(self.labels.get(name) == value for name, value in labels.items())


@dataclass(frozen=True)
class Count:
    """What the entrance counted of one journey; None where it cannot be known, and why."""

    bad: float | None
    total: float | None
    why: str = ""


def parse(answer: Any, labels: Mapping[str, str] | None = None) -> list[Series]:
    """The series of an answer to an instant query with a range selector.

    `labels` says what each role is called there. NaN and infinite values are gaps, told apart.

    Raises:
        ValueError: an error, a warning (the answer may be partial), or anything but raw samples.
    """
    if not isinstance(answer, Mapping):
        raise ValueError("not an answer of Prometheus")
    if answer.get("status") != "success":
        raise ValueError(f"Prometheus answered: {answer.get('error', 'no success')}")
    if answer.get("warnings"):
        raise ValueError(f"Prometheus warned: {answer['warnings']}")
    data = answer.get("data")
    kind = data.get("resultType") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or kind != "matrix":
        raise ValueError(f"raw samples come as a matrix, this is {kind}")
    roles = {there: role for role, there in (labels or {}).items()}
    try:
        return [_series(one, roles) for one in data["result"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"malformed series: {error!r}") from None


def _series(one: Mapping[str, Any], roles: Mapping[str, str]) -> Series:
    if "histograms" in one:
        raise ValueError("native histograms cannot be read here; ask for classic buckets")
    times = [float(at) for at, _ in one["values"]]
    values = [float(value) for _, value in one["values"]]
    if not (all(map(lt, times, times[1:])) and all(map(math.isfinite, times[:1] + times[-1:]))):
        raise ValueError("the samples of a series are not in order")
    points = [*zip(times, values, strict=True)]
    return Series(
        {roles.get(name, name): str(value) for name, value in one["metric"].items()},
        tuple(point for point in points if math.isfinite(point[1])),
        tuple(at for at, value in points if not math.isfinite(value)),
    )


def spacing(series: Series) -> float | None:
    """The usual time between two of its samples, in seconds."""
    times = series.times
    return median(b - a for a, b in pairwise(times)) if times[1:] else None


def value_at(series: Series, at_s: float) -> float | None:
    """Its last value at or before an instant; None when there is none or it is stale."""
    index = bisect_right(series.times, at_s) - 1
    if index < 0 or at_s - series.times[index] > series.stale_after:
        return None
    return series.points[index][1]


def scrapes(every: Iterable[Series]) -> dict[tuple[str, str], list[float]]:
    """When each target (job, instance) was scraped, as far as these series show."""
    found: dict[tuple[str, str], set[float]] = {}
    for series in every:
        found.setdefault(_target(series), set()).update(series.times)
    return {target: sorted(times) for target, times in found.items()}


def _target(series: Series) -> tuple[str, str]:
    return series.labels.get("job", ""), series.labels.get("instance", "")


def increase(
    series: Series, start_s: float, end_s: float, scraped: Sequence[float] = ()
) -> float | None:
    """By how much a counter rose in the window; after a reset it counts on from zero.

    `scraped` tells when its target was scraped: a counter that was absent from the scrape before
    its first sample was born with that sample, from zero. None when the window is not covered, and
    when it has no sample: the same old value at both of its ends is not a rise of zero.
    """
    if series.times and series.times[0] > end_s:
        watched = _seen(scraped, start_s, series) and _seen(scraped, end_s, series)
        return 0.0 if watched and _any_within(scraped, start_s, end_s) else None
    if value_at(series, end_s) is None or not _any_within(series.times, start_s, end_s):
        return None
    before = value_at(series, start_s)
    if before is None:
        if not _born_inside(series, start_s, scraped):
            return None
        before = 0.0
    total = 0.0
    for at, value in series.points:
        if start_s < at <= end_s:
            total += value - before if value >= before else value
            before = value
    return total


def _any_within(times: Sequence[float], start_s: float, end_s: float) -> bool:
    """Is there an instant after the start, up to the end?"""
    return bisect_right(times, start_s) < bisect_right(times, end_s)


def _born_inside(series: Series, start_s: float, scraped: Sequence[float]) -> bool:
    """Was the target scraped, without this series, at the start and just before its birth?"""
    if not series.times or series.times[0] <= start_s:
        return False
    before_birth = bisect_right(scraped, series.times[0]) - 2
    return (
        _seen(scraped, start_s, series)
        and before_birth >= 0
        and series.times[0] - scraped[before_birth] <= series.stale_after
    )


def _seen(scraped: Sequence[float], at_s: float, series: Series) -> bool:
    """Had its target been scraped a short time before this instant?"""
    index = bisect_right(scraped, at_s) - 1
    return index >= 0 and at_s - scraped[index] <= series.stale_after


def resets(series: Series, start_s: float, end_s: float) -> int:
    """How often a counter fell in the window: what it counted just before is lost."""
    values = [value for at, value in series.points if start_s < at <= end_s]
    first = value_at(series, start_s)
    values = values if first is None else [first, *values]
    return sum(b < a for a, b in pairwise(values))


def bad_and_total(
    entrance: Sequence[Series],
    journey: Journey,
    codes: Collection[int],
    window: tuple[float, float],
) -> Count:
    """What the entrance counted of a journey: all, and those not well.

    `entrance` holds the histogram's `_count` and `_bucket` series. A request is well when its code
    is one of the journey's good ones and it took at most `within` seconds, read from the bucket
    with exactly that limit: there is no guessing between buckets.
    """
    mine = [one for one in entrance if one.has(**journey.entrance)]
    counts = [one for one in mine if "le" not in one.labels]
    if not counts:
        return Count(None, None, f"the entrance has no series of {journey.name}")
    seen = scrapes(entrance)
    total = good = 0.0
    for one in counts:
        rise = increase(one, *window, seen[_target(one)])
        if rise is None:
            return Count(None, None, f"not covered: {_named(one)}")
        total += rise
        if one.labels.get("code") not in {str(code) for code in codes}:
            continue
        bucket = _bucket(mine, one, journey.within)
        if bucket is None:
            return Count(None, total, f"no bucket le={journey.within:g} in {_named(one)}")
        fast = increase(bucket, *window, seen[_target(one)])
        if fast is None:
            return Count(None, total, f"not covered: {_named(bucket)}")
        good += fast
    return Count(total - good, total)


def bad_over_time(
    entrance: Sequence[Series],
    journey: Journey,
    codes: Collection[int],
    window: tuple[float, float],
) -> list[tuple[float, float]]:
    """The entrance's running count of a journey's bad requests, at each of its scrapes."""
    mine = [one for one in entrance if one.has(**journey.entrance)]
    good = {str(code) for code in codes}
    added: list[tuple[Series, int]] = []
    for one in mine:
        if "le" not in one.labels:
            added.append((one, 1))
        elif one.labels.get("code") in good and number(one.labels["le"]) == journey.within:
            added.append((one, -1))
    times = sorted({at for one, _ in added for at in one.times if window[0] <= at <= window[1]})
    return [(at, sum(sign * (value_at(one, at) or 0.0) for one, sign in added)) for at in times]


def last_rise(seen: Sequence[tuple[float, float]], excused: int = 0) -> Interval | None:
    """Between which two readings the count rose last, but for so many at the end.

    What rose up to the last reading may have gone on after it.
    """
    for (earlier, before), (later, after) in reversed(list(pairwise(seen))):
        if after > before:
            excused -= round(after - before)
            if excused < 0:
                return Interval(earlier, math.inf if later == seen[-1][0] else later)
    return None


def _bucket(every: Iterable[Series], count: Series, within: float) -> Series | None:
    """The bucket of the same labels whose limit is exactly `within` seconds."""
    wanted = _without(count)
    for one in every:
        limit = one.labels.get("le")
        if limit is not None and number(limit) == within and _without(one) == wanted:
            return one
    return None


def _without(series: Series) -> dict[str, str]:
    return {name: text for name, text in series.labels.items() if name not in ("le", "__name__")}


def number(text: str) -> float | None:
    """What a label such as `le` says; None when that is no number."""
    try:
        return float(text)
    except ValueError:
        return None


def _named(series: Series) -> str:
    return "{" + ", ".join(f"{name}={text}" for name, text in sorted(series.labels.items())) + "}"
