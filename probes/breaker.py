"""Did the breaker open, did the backup carry the traffic, did the breaker close again."""

from collections.abc import Mapping
from typing import Any

from holdfast import context
from holdfast.clock import SECOND, wall_ns
from holdfast.context import Context
from holdfast.measure import parse
from holdfast.prometheus import Prometheus
from holdfast.signals import raw_samples

__all__ = ["closed"]

_RECENT_S = 15.0  # a state that was not reported for so long is not known


def closed(gateway: str, configuration: dict[str, Any] | None = None) -> bool:
    """Does every replica report that its breaker for this gateway is closed? No data is a no."""
    here = context.of(configuration)
    named = here.named("breaker_state")
    prometheus = Prometheus(here.environment.prometheus.url)
    answer = prometheus.raw(raw_samples(named, _RECENT_S), wall_ns() / SECOND)
    states = [
        series.points[-1][1] == 1
        for series in parse(answer, named.labels)
        if series.points and series.has(gateway=gateway, state="closed")
    ]
    return bool(states) and all(states)


def raw(here: Context, window_s: float, at_wall_s: float) -> Mapping[str, Any]:
    """Prometheus' raw samples of the breakers and of the calls to gateways, by name of series."""
    prometheus = Prometheus(here.environment.prometheus.url)
    paying = [one for one in here.judged_journeys().values() if one.money]
    limits = {limit for one in paying for limit in (one.within, one.target) if limit}
    wanted = {
        "breaker_state": ("breaker_state", "", ()),
        "breaker_entered": ("breaker_entered", "", ()),
        "gateway_calls_count": ("gateway_calls", "_count", ()),
        "gateway_calls_sum": ("gateway_calls", "_sum", ()),
        "gateway_calls_bucket": ("gateway_calls", "_bucket", sorted(limits)),
    }
    return {
        name: prometheus.raw(raw_samples(here.named(signal), window_s, suffix, limits), at_wall_s)
        for name, (signal, suffix, limits) in wanted.items()
    }
