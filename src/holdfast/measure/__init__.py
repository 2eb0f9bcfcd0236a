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
    states,
)
from holdfast.measure.counters import (
    Count,
    Series,
    bad_and_total,
    bad_over_time,
    increase,
    last_rise,
    number,
    parse,
    resets,
    scrapes,
    spacing,
    value_at,
)
from holdfast.measure.looks import Look, below_twice, upper_bound_twice
from holdfast.measure.lost import lost_s
from holdfast.measure.money import Difference, Money, reconcile
from holdfast.measure.outages import Outage
from holdfast.measure.ratio import below, lower_bound, needed, rank_above, upper_bound
from holdfast.measure.recovery import Recovery, bad, first_lasting_window, recovery
from holdfast.measure.repeats import Claim, claim, tolerance
from holdfast.measure.settling import Settling
from holdfast.measure.sprt import Sequential
from holdfast.measure.sums import Drift, Sums, drifts

__all__ = [
    "Agreement",
    "Breakers",
    "Carried",
    "Change",
    "Claim",
    "Count",
    "Difference",
    "Drift",
    "Entrance",
    "Look",
    "Money",
    "Outage",
    "Recovery",
    "Sequential",
    "Series",
    "Settling",
    "Sums",
    "agree",
    "bad",
    "bad_and_total",
    "bad_over_time",
    "below",
    "below_twice",
    "carried_by_backup",
    "claim",
    "drifts",
    "first_lasting_window",
    "flaps",
    "floor",
    "increase",
    "last_rise",
    "lost_s",
    "lower_bound",
    "needed",
    "number",
    "opened",
    "parse",
    "rank_above",
    "reconcile",
    "recovery",
    "resets",
    "returned_to_closed",
    "scrapes",
    "spacing",
    "states",
    "tolerance",
    "upper_bound",
    "upper_bound_twice",
    "value_at",
]
