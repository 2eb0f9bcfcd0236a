"""PodDisruptionBudgets: what the owners of the pods say may go at a time."""

from collections.abc import Iterable, Iterator, Sequence

from holdfast.cluster import Budget, Pod
from holdfast.errors import Refused


def check_disruption(victims: Sequence[Pod], budgets: Iterable[Budget]) -> str:
    """Would an eviction of these pods be allowed? Deleting them would not ask.

    A budget that does not know how many may go counts as one that allows none.
    """
    seen = list(_taken(victims, budgets))
    for budget, taken in seen:
        if budget.allowed is None or taken > budget.allowed:
            raise Refused(
                f"disruption budget {budget.namespace}/{budget.name}",
                f"{taken} of its pods would go, {_allowed(budget)}",
                "Wait until its pods are ready, or hit fewer",
            )
    return _words(seen)


def disruption_of_a_zone(victims: Sequence[Pod], budgets: Iterable[Budget]) -> str:
    """What a lost zone takes of the budgets: told only, since a real loss does not ask, either."""
    return _words(list(_taken(victims, budgets)))


def _taken(victims: Sequence[Pod], budgets: Iterable[Budget]) -> Iterator[tuple[Budget, int]]:
    """Each budget that covers a victim, and how many of them."""
    for budget in budgets:
        if count := sum(budget.covers(pod) for pod in victims):
            yield budget, count


def _words(seen: list[tuple[Budget, int]]) -> str:
    each = [f"{one.namespace}/{one.name}: {taken} go, {_allowed(one)}" for one, taken in seen]
    return "; ".join(each) or "no budget covers them"


def _allowed(budget: Budget) -> str:
    return "how many may is not known" if budget.allowed is None else f"{budget.allowed} may"
