"""Charts of bands: the states of circuit breakers, and who carried which share of the traffic."""

from collections.abc import Iterator
from itertools import pairwise

from markupsafe import Markup

from holdfast.reports.figure import Chart, Key, Table, draw
from holdfast.reports.quantity import number, quantity, shown
from holdfast.reports.record import BreakerSpan, ShareBin
from holdfast.reports.svg import TOP, Time, el, rule, text
from holdfast.reports.words import listed, say

_HEADING, _ROW = 22.0, 20.0
_SHARE = 150.0
_STYLES = 6
_MOST_GAP = 1.5
# The taller the band, the less traffic passes: the state can be read without colour.
_TALL = {"closed": 3.0, "half_open": 9.0, "open": 16.0}
_WORDS_FROM = {"open": 0.07, "half_open": 0.13}


def breakers(spans: tuple[BreakerSpan, ...], time: Time) -> Chart:
    """One band for each pod, gateway by gateway."""
    title = say("breakers.title")
    if not spans:
        return Chart("breakers", title)
    names = ("breakers.gateway", "breakers.pod", "breakers.state", "phases.from", "phases.to")
    ordered = sorted(spans, key=lambda one: (one.gateway, one.pod, one.start_s))
    states = [*_TALL] + ["other"] * any(one.state not in _TALL for one in spans)
    return draw(
        Chart(
            "breakers",
            title,
            caption=_breakers_caption(ordered, time),
            keys=tuple(Key(_kind(state), say(f"breakers.{state}")) for state in states),
            table=Table(title, tuple(map(say, names)), tuple(_span_row(s, time) for s in ordered)),
        ),
        (time, max(_places(ordered)[1].values()) - TOP + 5),
        _breaker_marks(ordered, time),
    )


def _places(spans: list[BreakerSpan]) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Where each gateway's heading stands, and where the band of each of its pods ends."""
    heads: dict[str, float] = {}
    bottoms: dict[tuple[str, str], float] = {}
    y = float(TOP)
    for one in spans:
        if one.gateway not in heads:
            y += _HEADING
            heads[one.gateway] = y
        if (one.gateway, one.pod) not in bottoms:
            y += _ROW
            bottoms[one.gateway, one.pod] = y
    return heads, bottoms


def _breaker_marks(spans: list[BreakerSpan], time: Time) -> Iterator[Markup]:
    heads, bottoms = _places(spans)
    for gateway, y in heads.items():
        yield text(shown(gateway, 40), "0%", y - 3, "row")
    for (_, pod), y in bottoms.items():
        short = shown(pod.rsplit("-", 1)[-1], 7)
        yield el("text", {"class": "tick end", "x": "0%", "dx": -6, "y": y - 2}, short)
    for one in spans:
        bottom = bottoms[one.gateway, one.pod]
        tall = _TALL.get(one.state, 12.0)
        kind = _kind(one.state)
        yield time.box(one.start_s, one.end_s, (bottom - tall, bottom), f"state {kind}")
        if time.at(one.end_s) - time.at(one.start_s) >= _WORDS_FROM.get(one.state, 2.0):
            place = {"x": time.x(one.start_s), "y": bottom - 4, "dx": 5}
            yield el("text", {"class": f"inside {kind}", **place}, _state(one.state))


def _span_row(span: BreakerSpan, time: Time) -> tuple[str, ...]:
    between = (number(time.since(at), 1) for at in (span.start_s, span.end_s))
    return (shown(span.gateway, 100), shown(span.pod, 100), _state(span.state), *between)


def _state(state: str) -> str:
    return shown(state, 40).replace("_", "-")


def _kind(state: str) -> str:
    return state.replace("_", "-") if state in _TALL else "other"


def _breakers_caption(spans: list[BreakerSpan], time: Time) -> str:
    sentences = []
    for gateway in dict.fromkeys(one.gateway for one in spans):
        mine = [one for one in spans if one.gateway == gateway]
        pods = {one.pod for one in mine}
        opened = [one for one in mine if one.state == "open"]
        values: dict[str, object] = {"gateway": shown(gateway, 60), "pods": len(pods)}
        if opened:
            first = min(one.start_s for one in opened)
            values["opened"] = len({one.pod for one in opened})
            values["first"] = number(time.since(first), 1)
        sentences.append(say("breakers.caption" if opened else "breakers.caption.closed", **values))
    return say("sentence").join(sentences)


def shares(name: str, bins: tuple[ShareBin, ...], time: Time) -> Chart:
    """Stacked shares; a second without traffic is left blank."""
    title = say(f"{name}.title")
    carriers = sorted({carrier for one in bins for carrier in one.shares})
    if not carriers:
        return Chart(name, title)
    labels = tuple(shown(carrier, 60) for carrier in carriers)
    head = (*time.head, *labels)
    return draw(
        Chart(
            name,
            title,
            caption=_shares_caption(bins, carriers, time),
            keys=tuple(Key(_style(n), label) for n, label in enumerate(labels)),
            table=Table(title, head, tuple(_share_row(one, carriers, time) for one in bins)),
        ),
        (time, _SHARE),
        _share_marks(bins, carriers, time),
    )


def _share_marks(bins: tuple[ShareBin, ...], carriers: list[str], time: Time) -> Iterator[Markup]:
    base = TOP + _SHARE
    for from_s, to_s, stretch in _stretches(bins):
        bottom = base
        for n, carrier in enumerate(carriers):
            top = bottom - _SHARE * stretch.get(carrier, 0.0)
            if bottom - top >= 0.05:
                yield time.box(from_s, to_s, (top, bottom), f"share {_style(n)}")
            bottom = top
    for tick in (0.0, 0.5, 1.0):
        y = base - _SHARE * tick
        yield rule("0%", y, "100%", y, "grid")
        place = {"class": "tick end", "x": "0%", "dx": -6, "y": y + 4}
        yield el("text", place, quantity(tick, "share"))


def _stretches(bins: tuple[ShareBin, ...]) -> Iterator[tuple[float, float, dict[str, float]]]:
    """Neighbouring bins of the same shares, as one stretch; a gap is never bridged."""
    open_: tuple[float, float, dict[str, float]] | None = None
    ends = [after.t_s for _, after in pairwise(bins)] + [bins[-1].t_s + 1]
    for one, end in zip(bins, ends, strict=True):
        to_s = end if end - one.t_s <= _MOST_GAP else one.t_s + 1
        mine = dict(one.shares)
        if open_ and open_[2] == mine and open_[1] == one.t_s:
            open_ = (open_[0], to_s, mine)
            continue
        if open_:
            yield open_
        open_ = (one.t_s, to_s, mine)
    if open_:
        yield open_


def _style(n: int) -> str:
    return f"s{n % _STYLES}"


def _share_row(one: ShareBin, carriers: list[str], time: Time) -> tuple[str, ...]:
    if not one.shares:
        return (*time.stamp(one.t_s), *(say("shares.none") for _ in carriers))
    return (
        *time.stamp(one.t_s),
        *(quantity(one.shares.get(carrier, 0.0), "share") for carrier in carriers),
    )


def _shares_caption(bins: tuple[ShareBin, ...], carriers: list[str], time: Time) -> str:
    sentences = [say("shares.average")]
    windows = _windows(bins, time)
    for carrier in carriers:
        means = []
        for name, inside in windows.items():
            mean = sum(one.shares.get(carrier, 0.0) for one in inside) / len(inside)
            means.append(say(f"shares.{name}", share=quantity(mean, "share")))
        sentences.append(say("shares.caption", name=shown(carrier, 60), means=listed(means)))
    return say("sentence").join(sentences)


def _windows(bins: tuple[ShareBin, ...], time: Time) -> dict[str, list[ShareBin]]:
    """Bins with traffic: before, during and after the fault; those windows that have any."""
    busy = [one for one in bins if one.shares]
    if not time.fault:
        return {"all": busy}
    until_s = time.end_s if time.lasts else time.zero_s
    until_s = until_s if time.undo_s is None else time.undo_s
    windows = {
        "before": [one for one in busy if one.t_s + 1 <= time.zero_s],
        "during": [one for one in busy if time.zero_s <= one.t_s < until_s],
        "after": [one for one in busy if one.t_s >= until_s],
    }
    return {name: inside for name, inside in windows.items() if inside}
