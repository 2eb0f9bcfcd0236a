"""What the policy forbids. Every guard fails closed: what is not known is refused, or aborts.

A guard answers with what it saw, as a sentence, or raises `Refused` with the thing, the reason and
the next step. Nothing here has a default that allows.
"""

from holdfast.guard.answers import Answer, Answers
from holdfast.guard.approval import approve, check_approval
from holdfast.guard.consent import Consent, check_cluster, check_confirmed, check_environment
from holdfast.guard.disruption import check_disruption, disruption_of_a_zone
from holdfast.guard.health import check_alerts, check_burn, check_error_budget
from holdfast.guard.prediction import Going, Prediction, predict
from holdfast.guard.sampling import Sampler
from holdfast.guard.targets import (
    CAP,
    check_namespaces,
    check_never,
    check_pods,
    check_protected,
    check_proxy,
    check_replicas,
    check_selector,
    check_taint,
    check_zone,
    choose,
    victims_by_zone,
)
from holdfast.guard.timing import check_freeze, check_hold, check_windows

__all__ = [
    "CAP",
    "Answer",
    "Answers",
    "Consent",
    "Going",
    "Prediction",
    "Sampler",
    "approve",
    "check_alerts",
    "check_approval",
    "check_burn",
    "check_cluster",
    "check_confirmed",
    "check_disruption",
    "check_environment",
    "check_error_budget",
    "check_freeze",
    "check_hold",
    "check_namespaces",
    "check_never",
    "check_pods",
    "check_protected",
    "check_proxy",
    "check_replicas",
    "check_selector",
    "check_taint",
    "check_windows",
    "check_zone",
    "choose",
    "disruption_of_a_zone",
    "predict",
    "victims_by_zone",
]
