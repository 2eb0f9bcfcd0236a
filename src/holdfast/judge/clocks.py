"""What is known of an instant when customers ran on several machines, whose clocks differ.

The bound is `customers.clock_bound` of the environment: the most that any two of them, the one that
injects included, are apart. Instants then lie that much on either side of what was written down.
"""

from collections.abc import Callable
from dataclasses import replace

from holdfast.clock import SECOND
from holdfast.measure import Recovery
from holdfast.model import Interval, Record, Window

_UNDECIDED = (
    "the clocks of the customers' machines are too far apart to tell whether customers were served"
    " well when the hold ended"
)


def apart_s(record: Record) -> float | None:
    """The most that the clocks are apart, in seconds; 0 on one machine, None when nobody said."""
    if record.load.get("clocks", 1) <= 1:
        return 0.0
    bound = record.plan["environment"]["customers"].get("clock_bound")
    return None if bound is None else float(bound)


def recovered(estimate: Callable[[Window], Recovery], hold: Window, apart_s: float) -> Recovery:
    """The estimate for a hold, with its interval wider by so much on either side.

    Answers in the last so many seconds may be the undo's: what depends on them is not known.
    """
    whole = estimate(hold)
    if not apart_s:
        return whole
    surely_ns = max(hold.start_ns, hold.end_ns - round(apart_s * SECOND))
    sooner = estimate(replace(hold, end_ns=surely_ns))
    if sooner.recovered is not whole.recovered:
        return replace(sooner, recovered=None, seconds=None, why=_UNDECIDED, least=0.0, each={})
    return _wider(sooner, apart_s)


def _wider(seen: Recovery, by_s: float) -> Recovery:
    seconds = seen.seconds
    if seconds:
        seconds = Interval(max(0.0, seconds.low - by_s), seconds.high + by_s)
    return replace(
        seen,
        seconds=seconds,
        why=f"{seen.why}, by clocks that are up to {by_s:g} s apart",
        least=max(0.0, seen.least - by_s),
        each={name: _wider(one, by_s) for name, one in seen.each.items()},
    )
