"""Ask every probe again over the whole run, and keep the raw answers. Computes nothing."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from holdfast.clock import SECOND, Anchor, begun
from holdfast.context import Context
from holdfast.errors import HoldfastError, InvalidInput
from holdfast.probes import breaker, landed, ledger, sla
from holdfast.prometheus import Prometheus
from holdfast.signals import raw_samples

_EDGE_S = 5.0  # asked for on each side of the run, so that its first and last sample lie inside

type Raw = Callable[[Context, float, float], Mapping[str, Any]]
type Answer = Mapping[str, Any] | HoldfastError


def collect(here: Context) -> None:
    """Write `series/`: what Prometheus, the ledger and the bank side hold about this run."""
    reading = begun(partial(ledger.keep, here, span(here)[0].wall_ns / SECOND))
    series(here)
    reading(None)


def series(here: Context) -> None:
    """Write down what Prometheus holds about this run.

    Where it does not answer its error stands in the place of the answer: no data is not zero. All
    is asked at once; the answers are written down in one order.
    """
    start, end = span(here)
    at_wall_s = end.wall_ns / SECOND + _EDGE_S
    window_s = (end.mono_ns - start.mono_ns) / SECOND + 2 * _EDGE_S
    asked: list[Raw] = [sla.raw, landed.raw, _alerts]
    if here.environment.breakers:
        asked.append(breaker.raw)
    asking = [begun(partial(_answer, partial(one, here, window_s, at_wall_s))) for one in asked]
    for answer in asking:
        for name, kept in _kept(here, answer(None)).items():
            here.run.write_answer(f"series/{name}.json", kept)


def span(here: Context) -> tuple[Anchor, Anchor]:
    """The first and the last anchor of the run."""
    anchors = [one for one in here.run.records("events.jsonl") if one["event"] == "anchor"]
    if not anchors:
        path = str(here.run.path("events.jsonl"))
        raise InvalidInput(path, "it holds no anchor", "Collect for a run that has begun")
    first, last = anchors[0], anchors[-1]
    return (
        Anchor(first["mono_ns"], first["wall_ns"]),
        Anchor(last["mono_ns"], last["wall_ns"]),
    )


def _alerts(here: Context, window_s: float, at_wall_s: float) -> Mapping[str, Any]:
    """Prometheus' own record of every alert while it fired."""
    query = raw_samples(here.named("alerts"), window_s)
    return {"alerts": Prometheus(here.environment.prometheus.url).raw(query, at_wall_s)}


def _answer(ask: Callable[[], Mapping[str, Any]]) -> Answer:
    try:
        return ask()
    except HoldfastError as error:
        return error


def _kept(here: Context, answer: Answer) -> Mapping[str, Any]:
    """The answers by name; of a system that gave none it is written down why."""
    if isinstance(answer, HoldfastError):
        here.run.append("events.jsonl", {"event": "not_collected", "why": str(answer)})
        return {}
    return answer
