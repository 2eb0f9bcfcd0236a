"""How long until customers were served again, and stayed so: the wait that holds a fault."""

from collections.abc import Iterator
from typing import Any

from holdfast import context
from holdfast.clock import SECOND, now_ns, ticks
from holdfast.customers import Tail
from holdfast.documents import DurationText, seconds
from holdfast.measure import first_lasting_window

__all__ = ["wait"]

_LOOK_EVERY_S = 0.5


def wait(
    at_least: DurationText,
    at_most: DurationText,
    configuration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Hold the fault until customers have recovered and stayed so, or until `at_most`.

    Both are durations such as `60s`, counted from the instant that the fault took effect. The
    answer says how long it was held and whether customers had recovered. It decides nothing:
    verdicts are computed from every sample when the run is over.
    """
    here = context.of(configuration)
    faults = here.faults()
    if not faults:
        return {"held_s": 0.0, "recovered": False, "why": "no fault took effect"}
    began = int(faults[0]["began_ns"])
    journeys, stable = here.judged_journeys(), float(here.plan()["extension"]["stable"])
    tail, samples, lasting = Tail(here.run), [], None
    least, most = min(seconds(at_least), seconds(at_most)), seconds(at_most)

    def looks() -> Iterator[int]:
        for length in (least, most):  # one falls on the end of each
            yield from ticks(length - (now_ns() - began) / SECOND, every=_LOOK_EVERY_S)

    for now in looks():
        samples += [one for one in tail.read() if one.scheduled_ns >= began]
        if now - began < least * SECOND:
            continue
        # asked anew each time: a window that lasted counts only as long as no outage followed it
        lasting = first_lasting_window(samples, journeys, began, stable, now)
        if lasting:
            break
    held = (now_ns() - began) / SECOND
    why = "customers had recovered" if lasting else f"the limit of {at_most} was reached"
    return {"held_s": round(held, 3), "recovered": lasting is not None, "why": why}
