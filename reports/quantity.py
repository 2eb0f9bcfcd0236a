"""How numbers, instants and other people's strings are printed."""

import math
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

from holdfast.inert import inert
from holdfast.model import Interval, Observation
from holdfast.reports.words import say

_CLIP = 2000
_MOST_DECIMALS = 8
_SHARES = ("ratio", "share")
_ENOUGH = Context(prec=400)  # digits: any float can be written out


def shown(text: str, most: int = _CLIP) -> str:
    """Text from elsewhere, of which nothing can act.

    Control, direction and other invisible characters become visible escapes; what is longer than
    `most` characters is cut.
    """
    cut = text[: most - 1] + say("cut") if len(text) > most else text
    return inert(cut)


def quantity(value: float | Interval | None, unit: str) -> str:
    """A value with its unit: an interval, `> 90 s`, `99.2 %`, or `unknown`.

    An interval is rounded outwards, so that what is printed never claims more than was measured.
    """
    if value is None or _undefined(value):
        return say("unknown")
    share = unit in _SHARES
    sign = say("quantity.percent") if share else shown(unit, 40)
    amount = _interval(value, share) if isinstance(value, Interval) else _point(value, share)
    return say("quantity.unit", number=amount, unit=sign) if sign else amount


def measured(observation: Observation) -> str:
    """What an observation measured, in words."""
    return quantity(observation.value, observation.unit)


def number(value: float, decimals: int = 0) -> str:
    """A number with exactly so many decimals, and a true minus sign."""
    text = f"{abs(value):,.{decimals}f}"
    below = value < 0 and text.strip("0.,")
    return say("quantity.minus", number=text) if below else text


def seconds(value: float) -> str:
    """Seconds without a unit, as precisely as three digits tell."""
    return _point(value, share=False)


def utc(at: datetime) -> str:
    """The time of day, in UTC by the caller's promise, to the millisecond."""
    return at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03d}"


def instant(at: datetime) -> str:
    """Date and time of day, marked as UTC."""
    return say("utc", at=at.strftime("%Y-%m-%d %H:%M:%S"))


def _undefined(value: float | Interval) -> bool:
    if isinstance(value, Interval):
        return math.isnan(value.low) or math.isnan(value.high) or math.isinf(value.low)
    return not math.isfinite(value)


def _exact(value: float, share: bool) -> Decimal:
    return Decimal(repr(float(value))) * (100 if share else 1)


def _interval(value: Interval, share: bool) -> str:
    low, high = _exact(value.low, share), _exact(value.high, share)
    if high.is_infinite():
        floor = _round(low, _decimals(low, share), ROUND_FLOOR)
        return say("quantity.above", low=_text(floor, trim=True))
    if share:
        decimals = max(_decimals(low, share), _decimals(high, share))
    else:
        decimals = _decimals(max(abs(low), abs(high)), share)
    return say(
        "quantity.interval",
        low=_text(_round(low, decimals, ROUND_FLOOR)),
        high=_text(_round(high, decimals, ROUND_CEILING)),
    )


def _point(value: float, share: bool) -> str:
    exact = _exact(value, share)
    return _text(_round(exact, _decimals(exact, share), ROUND_HALF_EVEN), trim=True)


def _decimals(value: Decimal, share: bool) -> int:
    """So many that three digits count; a whole number keeps all of its digits.

    A share counts from its nearer end, 0 or 100, so that not quite all never looks like all.
    """
    nearer = min(abs(value), abs(100 - value)) if share else value
    return min(_MOST_DECIMALS, max(0, 2 - nearer.adjusted())) if nearer else 0


def _round(value: Decimal, decimals: int, mode: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), mode, _ENOUGH)


def _text(value: Decimal, *, trim: bool = False) -> str:
    text = f"{abs(value):,f}"
    if trim and "." in text:
        text = text.rstrip("0").rstrip(".")
    return say("quantity.minus", number=text) if value < 0 else text
