"""The charts of one run: a picture, its words, and the table of its numbers."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, pairwise

from markupsafe import Markup

from holdfast.reports import bands
from holdfast.reports.figure import Chart, Key, Table, draw
from holdfast.reports.quantity import number, seconds, shown
from holdfast.reports.record import Bin, LatencyBin, Limit, Report
from holdfast.reports.svg import (
    TOP,
    Time,
    decades,
    el,
    linear,
    logarithmic,
    round_ticks,
    rule,
    text,
)
from holdfast.reports.words import say

_GOOD, _GAP, _BAD = 110.0, 26.0, 56.0
_LATENCY = 190.0
_LEAST_LATENCY = 0.001
_MOST_GAP = 1.5


def charts(report: Report) -> list[Chart]:
    """Every chart, also those for which nothing was recorded: a gap is said, not hidden."""
    time = Time.of(report)
    journeys = {one.journey: one for one in report.limits}
    for name in sorted({one.journey for one in report.latency}):
        journeys.setdefault(name, Limit(name, 0.0))
    return [
        _requests(report.requests, time),
        *(_latency(n, limit, report, time) for n, limit in enumerate(journeys.values(), 1)),
        bands.breakers(report.breakers, time),
        bands.shares("zones", report.zone_share, time),
        bands.shares("gateways", report.gateway_share, time),
    ]


def _requests(bins: tuple[Bin, ...], time: Time) -> Chart:
    title = say("requests.title")
    if not bins:
        return Chart("requests", title)
    head = (*time.head, say("requests.good.head"), say("requests.bad.head"))
    rows = tuple((*time.stamp(one.t_s), number(one.good), number(one.bad)) for one in bins)
    height = _GOOD + _GAP + _BAD
    strips = [
        *_strip([(one.t_s, one.good) for one in bins], time, (TOP, TOP + _GOOD), "good"),
        rule("0%", TOP + _GOOD, "100%", TOP + _GOOD, "axis"),
        *_strip(
            [(one.t_s, one.bad) for one in bins], time, (TOP + _GOOD + _GAP, TOP + height), "bad"
        ),
    ]
    return draw(
        Chart(
            "requests",
            title,
            caption=_requests_caption(bins, time),
            keys=(Key("good", say("requests.good")), Key("bad", say("requests.bad"))),
            table=Table(title, head, rows),
        ),
        (time, height),
        strips,
    )


def _requests_caption(bins: tuple[Bin, ...], time: Time) -> str:
    good, bad = sum(one.good for one in bins), sum(one.bad for one in bins)
    caption = say("requests.caption", good=number(good), bad=number(bad))
    when = [one.t_s for one in bins if one.bad]
    if not when:
        return caption
    more = say(
        "requests.caption.bad",
        first=number(time.since(when[0]), 1),
        last=number(time.since(when[-1] + 1), 1),
        most=number(max(one.bad for one in bins)),
    )
    return say("sentence").join((caption, more))


def _strip(
    counts: list[tuple[float, int]], time: Time, y: tuple[float, float], kind: str
) -> Iterator[Markup]:
    """Bars on a baseline; the smallest count above zero is still visible."""
    ticks = round_ticks(max(count for _, count in counts))
    scale = linear(ticks[-1], y[1] - y[0])
    yield from _grid(ticks, y[1], scale, number)
    for from_s, to_s, count in _runs(counts):
        if count:
            top = y[1] - max(2.0, scale(count))
            yield time.box(from_s, to_s, (top, y[1]), f"bar {kind}")
            yield rule(time.x(from_s), top, time.x(to_s), top, f"top {kind}")


def _runs(counts: list[tuple[float, int]]) -> Iterator[tuple[float, float, int]]:
    """Neighbouring seconds of one count, as one stretch."""
    places = [(t_s, count, t_s - n) for n, (t_s, count) in enumerate(counts)]
    for (count, _), group in groupby(places, key=lambda one: (one[1], round(one[2], 3))):
        stretch = list(group)
        yield stretch[0][0], stretch[-1][0] + 1, count


def _grid(
    ticks: Iterable[float],
    base: float,
    scale: Callable[[float], float],
    words: Callable[[float], str],
) -> Iterator[Markup]:
    for tick in ticks:
        y = base - scale(tick)
        yield rule("0%", y, "100%", y, "grid")
        yield el("text", {"class": "tick end", "x": "0%", "dx": -6, "y": y + 4}, words(tick))


def _latency(place: int, limit: Limit, report: Report, time: Time) -> Chart:
    journey = shown(limit.journey, 60)
    title = say("latency.title", journey=journey)
    bins = [one for one in report.latency if one.journey == limit.journey and _finite(one)]
    if not bins:
        return Chart(f"latency-{place}", title)
    head = (*time.head, *(say(f"latency.{name}.head") for name in ("p50", "p99", "max")))
    rows = tuple(
        (*time.stamp(one.t_s), *(number(value, 3) for value in (one.p50, one.p99, one.max)))
        for one in bins
    )
    keys = [Key("p50", say("latency.p50")), Key("p99", say("latency.p99"))]
    return draw(
        Chart(
            f"latency-{place}",
            title,
            caption=_latency_caption(bins, limit, time),
            keys=(*keys, Key("max", say("latency.max"))),
            table=Table(title, head, rows),
            remark=say("latency.scale"),
        ),
        (time, _LATENCY),
        _latency_marks(bins, limit, time),
    )


def _finite(one: LatencyBin) -> bool:
    return all(math.isfinite(value) for value in (one.t_s, one.p50, one.p99, one.max))


def _latency_marks(bins: list[LatencyBin], limit: Limit, time: Time) -> Iterator[Markup]:
    lines = [value for value in (limit.within, limit.target) if value]
    least = max(_LEAST_LATENCY, min(one.p50 for one in bins))
    most = 1.5 * max([one.max for one in bins] + lines)
    ticks = decades(least, most)
    scale = logarithmic(ticks[0], max(most, 10 * ticks[0]), _LATENCY)
    base = TOP + _LATENCY
    yield from _grid(ticks, base, scale, _duration)
    yield _paths(bins, time, base, scale)
    for one in bins:
        place = {"cx": time.x(one.t_s + 0.5), "cy": f"{base - scale(one.max):.1f}", "r": 1.7}
        yield el("circle", {"class": "max", **place})
    for value, name, below in ((limit.within, "within", -5), (limit.target, "target", 13)):
        if value:
            y = base - scale(value)
            yield rule("0%", y, "100%", y, name)
            yield text(
                say(f"latency.{name}", seconds=seconds(value)), "100%", y + below, "mark end"
            )


def _paths(
    bins: list[LatencyBin], time: Time, base: float, scale: Callable[[float], float]
) -> Markup:
    """The two lines, in a drawing of their own that is stretched to the width."""
    frame = {"viewBox": f"0 0 1000 {base:g}", "preserveAspectRatio": "none"}
    lines = []
    for kind in ("p99", "p50"):
        points = [(one.t_s, f"{base - scale(getattr(one, kind)):.1f}") for one in bins]
        lines.append(el("path", {"class": kind, "d": _line(points, time)}))
    return el("svg", {**frame, "width": "100%", "height": f"{base:g}"}, *lines)


def _line(points: list[tuple[float, str]], time: Time) -> str:
    """A line that breaks where seconds are missing: what was not measured is not drawn."""
    strokes = ["M"] + [
        "L" if after[0] - before[0] <= _MOST_GAP else "M" for before, after in pairwise(points)
    ]
    return "".join(
        f"{stroke}{time.at(t_s + 0.5) * 1000:.1f},{y}"
        for stroke, (t_s, y) in zip(strokes, points, strict=True)
    )


def _duration(value: float) -> str:
    if value < 1:
        return say("chart.milliseconds", milliseconds=seconds(value * 1000))
    return say("chart.seconds", seconds=seconds(value))


def _latency_caption(bins: list[LatencyBin], limit: Limit, time: Time) -> str:
    worst = max(bins, key=lambda one: one.max)
    sentences = [
        say(
            "latency.caption",
            worst=_duration(worst.max),
            at=number(time.since(worst.t_s), 1),
            p99=_duration(max(one.p99 for one in bins)),
            p50=_duration(max(one.p50 for one in bins)),
        )
    ]
    if limit.within:
        sentences.append(say("latency.caption.within", seconds=seconds(limit.within)))
    if limit.target:
        sentences.append(say("latency.caption.target", seconds=seconds(limit.target)))
    return say("sentence").join(sentences)
