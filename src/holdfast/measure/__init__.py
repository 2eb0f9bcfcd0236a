"""Estimates from a finished record, as pure functions: nothing here reads a clock or a system."""

from holdfast.measure.agreement import Agreement, Entrance, agree
from holdfast.measure.breaker import (
    Breakers,
    Carried,
    Change,
    carried_by_backup,
    flaps,
    floor,
    opened,
    returned_to_closed,
)
from holdfast.measure.counters import (
    Count,
    Series,
    bad_and_total,
    bad_over_time,
    increase,
    parse,
    resets,
    scrapes,
    value_at,
)
from holdfast.measure.money import Difference, Money, reconcile
from holdfast.measure.outages import Outage
from holdfast.measure.ratio import below, lower_bound, needed, upper_bound
from holdfast.measure.recovery import Recovery, bad, first_lasting_window, recovery

__all__ = [
    "Agreement",
    "Breakers",
    "Carried",
    "Change",
    "Count",
    "Difference",
    "Entrance",
    "Money",
    "Outage",
    "Recovery",
    "Series",
    "agree",
    "bad",
    "bad_and_total",
    "bad_over_time",
    "below",
    "carried_by_backup",
    "first_lasting_window",
    "flaps",
    "floor",
    "increase",
    "lower_bound",
    "needed",
    "opened",
    "parse",
    "reconcile",
    "recovery",
    "resets",
    "returned_to_closed",
    "scrapes",
    "upper_bound",
    "value_at",
]
