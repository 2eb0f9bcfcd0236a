"""What the policy forbids. Every guard fails closed: what is not known is refused, or aborts.

A guard answers with what it saw, as a sentence, or raises `Refused` with the thing, the reason and
the next step. Nothing here has a default that allows.
"""

from holdfast.guard.sampling import Sampler
from holdfast.guard.targets import (
    check_cluster,
    check_namespaces,
    check_proxy,
    check_replicas,
    check_selector,
    check_taint,
    check_zone,
    choose,
    victims_by_zone,
)

__all__ = [
    "Sampler",
    "check_cluster",
    "check_namespaces",
    "check_proxy",
    "check_replicas",
    "check_selector",
    "check_taint",
    "check_zone",
    "choose",
    "victims_by_zone",
]
