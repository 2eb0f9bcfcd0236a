"""What a chart consists of, and how its picture is put together."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from markupsafe import Markup

from holdfast.reports.quantity import number
from holdfast.reports.svg import BOTTOM, TOP, Time, el, frame, shade
from holdfast.reports.words import say


@dataclass(frozen=True)
class Key:
    """One entry of a legend: the style of its sample, and its words."""

    kind: str
    words: str


@dataclass(frozen=True)
class Table:
    """Numbers in rows; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A picture with its words and its table; without a table nothing was recorded for it."""

    id: str
    title: str
    caption: str = ""
    keys: tuple[Key, ...] = ()
    table: Table | None = None
    remark: str = ""
    picture: Markup | None = None


def draw(chart: Chart, place: tuple[Time, float], marks: Iterable[Markup]) -> Chart:
    """The chart with its picture: shade, marks, frame; `place` is the axis and the height."""
    time, height = place
    sentences = [chart.caption, chart.remark, _shading(time)]
    named = {"role": "img", "aria-labelledby": f"{chart.id}-title {chart.id}-words"}
    picture = el(
        "svg",
        {"class": "plot", "height": f"{TOP + height + BOTTOM:g}", **named},
        el("title", {"id": f"{chart.id}-title"}, chart.title),
        el("desc", {"id": f"{chart.id}-words"}, say("sentence").join(filter(None, sentences))),
        shade(time, height),
        *marks,
        frame(time, height),
    )
    return replace(chart, picture=picture)


def _shading(time: Time) -> str:
    if not time.fault:
        return ""
    if not time.lasts:
        return say("chart.shading.instant")
    if time.undo_s is None:
        return say("chart.shading.open")
    return say("chart.shading", end=number(time.since(time.undo_s), 1))
