"""Is the platform well enough to be broken: no critical alert, and error budget left."""

from collections.abc import Collection
from math import isfinite

from holdfast.documents import Environment
from holdfast.errors import Refused, Unreachable
from holdfast.prometheus import Alert, Prometheus
from holdfast.signals import covered_shares, failed_shares

COVERED_MIN = 0.9  # a window counts only when data covers so much of it


def check_alerts(environment: Environment, prometheus: Prometheus) -> str:
    """Does no alert fire of a severity that forbids a start? An expected one forbids it, too."""
    alerts = prometheus.alerts()
    if firing := critical(environment, alerts, expected=()):
        raise Refused(
            f"alert {', '.join(firing)}",
            "it is firing: what is ill already is not broken further",
            "Start when it has resolved",
        )
    if environment.kind == "production" and not prometheus.alerting_rules():
        raise Refused(
            f"alerts of {prometheus.url}",
            "it has no alerting rule, so that nobody would notice",
            "Load the alerting rules of the service",
        )
    words = ", ".join(environment.policy.alerts.severities)
    return f"none of {words} is firing, of {len(alerts)} active"


def critical(
    environment: Environment, alerts: Collection[Alert], expected: Collection[str]
) -> list[str]:
    """The names of those that fire, are severe enough, and are not expected."""
    severe = {one.casefold() for one in environment.policy.alerts.severities}
    return sorted(
        {one.name for one in alerts if one.firing and one.severity in severe} - set(expected)
    )


def check_burn(environment: Environment) -> str:
    """Is the burn rate watched as the kind of environment demands, and can it be?"""
    if environment.kind == "production" and environment.burn != "required":
        raise Refused(
            "policy.burn",
            f"it is {environment.burn}, and production needs it to be required",
            "Write `burn: required`, or leave it out",
        )
    if environment.burn != "off" and environment.policy.budget is None:
        raise Refused(
            "policy.budget",
            f"the burn rate is {environment.burn}, and no budget says what is promised",
            "Write `budget: {objective: 0.999}`, or outside production `burn: off`",
        )
    return environment.burn


def check_error_budget(environment: Environment, prometheus: Prometheus) -> str:
    """Is enough of the error budget left, over its window?"""
    budget = environment.policy.budget
    if budget is None and environment.kind != "production":
        return f"none is needed in {environment.kind}"
    if budget is None:
        raise Refused(
            "error budget", "production needs `policy.budget`, and there is none", "Write it"
        )
    entrance, window = environment.named("entrance"), round(budget.window)
    failed = prometheus.shares(failed_shares(entrance, [window])).get(window)
    covered = prometheus.shares(covered_shares(entrance, [window])).get(window, 0.0)
    if failed is None or not isfinite(failed) or not covered >= COVERED_MIN:
        raise Unreachable(
            "error budget",
            f"data covers {covered:.0%} of its {window / 3600:g} h, {COVERED_MIN:.0%} are needed;"
            f" the share of failures reads {failed}",
            "Wait, or ask a Prometheus that keeps its data for so long",
        )
    left = 1 - failed / (1 - budget.objective)
    if left < budget.left:
        raise Refused(
            "error budget",
            f"{max(0.0, left):.0%} of it is left, {budget.left:.0%} is needed",
            "Wait until customers have been served well for longer",
        )
    return f"{left:.0%} left over {window / 3600:g} h, {budget.left:.0%} is needed"
