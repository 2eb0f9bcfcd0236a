"""Are customers served: the gate before a fault, and the raw answers behind availability."""

from collections.abc import Mapping
from typing import Any

from holdfast import context, customers
from holdfast.clock import SECOND, now_ns, until
from holdfast.context import Context
from holdfast.documents import DurationText, seconds
from holdfast.measure import bad
from holdfast.prometheus import Prometheus
from holdfast.signals import raw_samples

__all__ = ["customers_served"]

_MOST_BAD = 0.01  # of the window's requests: a platform worse than this is not in its steady state
_LEAST = 20  # requests of each journey, below which nothing can be said


def customers_served(window: DurationText, configuration: dict[str, Any] | None = None) -> bool:
    """Was every journey well over the last `window`, such as `10s`: at most 1 % of it bad?

    Under plain `chaos run` nobody has started customers yet: this does, and waits for the window.
    """
    here = context.of(configuration)
    length = seconds(window)
    if here.plan().get("verdict") is False and not here.run.path("load_plan.json").exists():
        _start_customers(here, length)
    since = now_ns() - round((length + 1) * SECOND)
    samples = [one for one in customers.recent(here.run, since) if one.done_ns >= since]
    for name, journey in here.judged_journeys().items():
        mine = [one for one in samples if one.journey == name]
        missed = sum(bad(one, journey) for one in mine)
        if len(mine) < _LEAST or missed > _MOST_BAD * len(mine):
            return False
    return True


def raw(here: Context, window_s: float, at_wall_s: float) -> Mapping[str, Any]:
    """Prometheus' raw samples of the entrance, over the run, by name of series."""
    prometheus = Prometheus(here.environment.prometheus.url)
    entrance = here.named("entrance")
    promised = sorted({one.within for one in here.judged_journeys().values()})
    return {
        f"entrance{suffix}": prometheus.raw(
            raw_samples(entrance, window_s, suffix, limits), at_wall_s
        )
        for suffix, limits in (("_count", ()), ("_bucket", promised))
    }


def _start_customers(here: Context, window_s: float) -> None:
    plan = here.plan()["extension"]
    customers.start(
        here.run,
        here.environment,
        here.journeys(),
        plan["load"],
        seed=1,
        max_seconds=1800,
    )
    began = now_ns()
    until(lambda: now_ns() - began > (window_s + 2) * SECOND, seconds=window_s + 4)
