"""Drawing: elements, the axis of time, scales and ticks. Horizontal places are shares of the width,
so that a chart fits any page while its letters keep their size.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from holdfast.reports.quantity import number, utc
from holdfast.reports.record import Report
from holdfast.reports.words import say

TOP = 20
BOTTOM = 36
_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_MOST_TICKS = 10
_NARROW = 0.2


def el(name: str, attributes: Mapping[str, object], *inside: str) -> Markup:
    """One element; texts and values are escaped, elements are kept."""
    pairs = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    body = "".join(map(escape, inside))
    return Markup(f"<{name}{pairs}>{body}</{name}>")  # noqa: S704 (the names are literals of ours)


def text(words: str, x: str, y: float, kind: str) -> Markup:
    """Some words; `kind` names their style, and with it which end of them stands at `x`."""
    return el("text", {"class": kind, "x": x, "y": y}, words)


def rule(x1: str, y1: float, x2: str, y2: float, kind: str) -> Markup:
    """A straight line."""
    return el("line", {"class": kind, "x1": x1, "y1": y1, "x2": x2, "y2": y2})


@dataclass(frozen=True)
class Time:
    """The axis of time: seconds from the fault, or from the start when there was no fault."""

    zero_s: float
    start_s: float
    end_s: float
    origin: datetime
    fault: bool
    undo_s: float | None
    lasts: bool

    @classmethod
    def of(cls, report: Report) -> "Time":
        """The axis that holds everything in the report."""
        fault = report.fault
        ends = [phase.end_s for phase in report.phases]
        ends += [one.end_s for one in report.breakers]
        ends += [one.t_s + 1 for one in report.requests]
        ends += [one.t_s + 1 for one in report.latency]
        ends += [one.t_s + 1 for one in (*report.zone_share, *report.gateway_share)]
        if fault:
            ends += [fault.start_s, fault.end_s or 0.0]
        return cls(
            zero_s=fault.start_s if fault else 0.0,
            start_s=min([0.0, *(phase.start_s for phase in report.phases)]),
            end_s=max([1.0, *ends]),
            origin=report.origin,
            fault=fault is not None,
            undo_s=fault.end_s if fault and fault.reversible else None,
            lasts=bool(fault and fault.reversible),
        )

    def since(self, t_s: float) -> float:
        """Seconds from the fault."""
        return t_s - self.zero_s

    def at(self, t_s: float) -> float:
        """Its place, as a share of the width."""
        clipped = min(max(t_s, self.start_s), self.end_s)
        return (clipped - self.start_s) / (self.end_s - self.start_s)

    def x(self, t_s: float) -> str:
        """Its place, as SVG writes it."""
        return percent(self.at(t_s))

    def box(self, from_s: float, to_s: float, y: tuple[float, float], kind: str) -> Markup:
        """A rectangle from one instant to another, from a top `y[0]` to a bottom `y[1]`."""
        width = self.at(to_s) - self.at(from_s)
        place = {"x": self.x(from_s), "y": f"{y[0]:.1f}", "width": percent(width)}
        return el("rect", {"class": kind, **place, "height": f"{max(0.0, y[1] - y[0]):.1f}"})

    @property
    def head(self) -> tuple[str, str]:
        """How the table's columns of time are called."""
        return say("chart.axis.fault" if self.fault else "chart.axis.start"), say("chart.utc")

    def stamp(self, t_s: float) -> tuple[str, str]:
        """Seconds from the fault, and UTC: how a row of a table begins."""
        at = self.origin + timedelta(seconds=t_s)
        return number(self.since(t_s), 1), utc(at)


def percent(share: float) -> str:
    """A share of the width, as SVG writes it."""
    return f"{share * 100:.3f}".rstrip("0").rstrip(".") + "%"


def linear(most: float, height: float) -> Callable[[float], float]:
    """From a value to its height above the baseline."""
    return lambda value: value / most * height if most else 0.0


def logarithmic(least: float, most: float, height: float) -> Callable[[float], float]:
    """From a positive value to its height above the baseline; what is below `least` lies on it."""
    span = math.log10(most / least)
    return lambda value: max(0.0, math.log10(max(value, least) / least) / span * height)


def round_ticks(most: float, count: int = 3) -> list[float]:
    """0 and a few round numbers, the last one at or above `most`."""
    raw = max(1.0, most) / count
    unit = 10 ** math.floor(math.log10(raw))
    step = max(1.0, next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw))
    return [step * n for n in range(math.ceil(max(1.0, most) / step) + 1)]


def decades(least: float, most: float) -> list[float]:
    """Powers of ten: the first at or below `least`, the others up to `most`."""
    low = math.floor(math.log10(least))
    return [10.0**power for power in range(low, math.floor(math.log10(most)) + 1)]


def shade(time: Time, height: float) -> Markup:
    """The stretch in which the fault is in place; it lies below everything else."""
    if not time.lasts:
        return Markup("")
    end = time.end_s if time.undo_s is None else time.undo_s
    return time.box(time.zero_s, end, (TOP, TOP + height), "shade")


def frame(time: Time, height: float) -> Markup:
    """The axis of time and the marks of fault and undo; they lie above everything else."""
    base = TOP + height
    parts = [*_fault(time, base), rule("0%", base, "100%", base, "axis")]
    for tick in _time_ticks(time):
        x = time.x(tick + time.zero_s)
        parts += [rule(x, base, x, base + 4, "axis"), text(number(tick), x, base + 17, "tick mid")]
    title = say("chart.axis.fault" if time.fault else "chart.axis.start")
    parts.append(text(title, "100%", base + 32, "tick end"))
    return Markup("").join(parts)


def _fault(time: Time, base: float) -> Iterable[Markup]:
    if not time.fault:
        return
    start = time.zero_s
    end = time.undo_s if time.undo_s is not None else time.end_s
    narrow = time.lasts and time.at(end) - time.at(start) < _NARROW
    words = "chart.remains" if time.lasts and time.undo_s is None else "chart.fault"
    yield rule(time.x(start), TOP - 14, time.x(start), base, "fault")
    kind = "mark end" if narrow else "mark start"
    yield el("text", _beside(time.x(start), kind, narrow), say(words))
    if time.undo_s is not None:
        last = time.at(end) > 1 - _NARROW / 2
        yield rule(time.x(end), TOP - 14, time.x(end), base, "undo")
        kind = "mark end" if last else "mark start"
        yield el("text", _beside(time.x(end), kind, last), say("chart.undo"))


def _beside(x: str, kind: str, left: bool) -> dict[str, object]:
    return {"class": kind, "x": x, "y": TOP - 5, "dx": -5 if left else 5}


def _time_ticks(time: Time) -> list[float]:
    start, end = time.since(time.start_s), time.since(time.end_s)
    step = next((one for one in _STEPS if (end - start) / one <= _MOST_TICKS), 7200)
    return [n * step for n in range(math.ceil(start / step), math.floor(end / step) + 1)]
