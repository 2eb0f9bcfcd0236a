"""Circuit breakers: when each opened, the earliest that it could, who carried the calls then.

Series come from `counters.parse` with labels by role: gateway, state, outcome, trial, and `pod`.
Seconds count from the instant that is asked about (T0, or the undo), which is in Unix seconds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from holdfast.measure.counters import Series, increase, scrapes, value_at
from holdfast.model import Interval

OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True)
class Breakers:
    """What replicas reported of their breakers: the state (0 or 1), and when each was entered."""

    state: Sequence[Series]
    entered: Sequence[Series]

    def of(self, gateway: str, pod: str, state: str) -> tuple[Series | None, Series | None]:
        """The two series of one breaker's state."""

        def found(every: Sequence[Series]) -> Series | None:
            one = [s for s in every if s.has(gateway=gateway, pod=pod, state=state)]
            return one[0] if len(one) == 1 else None

        return found(self.state), found(self.entered)


@dataclass(frozen=True)
class Change:
    """When one replica's breaker entered a state; None when it did not, or `why` it is unknown."""

    pod: str
    seconds: Interval | None
    known: bool = True
    why: str = ""


def opened(
    breakers: Breakers, gateway: str, pods: Collection[str], after_s: float, end_s: float
) -> list[Change]:
    """When each replica's breaker first opened after an instant, up to another."""
    return [_entered(breakers, gateway, pod, (after_s, end_s)) for pod in sorted(pods)]


def _entered(breakers: Breakers, gateway: str, pod: str, window: tuple[float, float]) -> Change:
    after_s, end_s = window
    state, entered = breakers.of(gateway, pod, OPEN)
    if state is None:
        return Change(pod, None, known=False, why=f"{pod} reported no state")
    before = value_at(state, after_s)
    if before is None or before == 1:
        what = "reported nothing" if before is None else "had it open already"
        return Change(pod, None, known=False, why=f"{pod} {what} when the fault began")
    exact = [
        value
        for at, value in (entered.points if entered else ())
        if after_s <= value <= end_s and value <= at
    ]
    if exact:
        return Change(pod, Interval(min(exact) - after_s, min(exact) - after_s))
    for (earlier, _), (later, value) in pairwise(state.points):
        if after_s < later <= end_s and value == 1:
            return Change(pod, Interval(max(0.0, earlier - after_s), later - after_s))
    gone = value_at(state, end_s) is None
    return Change(pod, None, known=not gone, why=f"{pod} stopped reporting" if gone else "")


def returned_to_closed(
    breakers: Breakers, gateway: str, pods: Collection[str], after_s: float, end_s: float
) -> list[Change]:
    """When each replica's breaker closed for good after an instant, as seen up to another."""
    return [_closed(breakers, gateway, pod, (after_s, end_s)) for pod in sorted(pods)]


def _closed(breakers: Breakers, gateway: str, pod: str, window: tuple[float, float]) -> Change:
    after_s, end_s = window
    state, entered = breakers.of(gateway, pod, CLOSED)
    if state is None or value_at(state, end_s) is None:
        return Change(pod, None, known=False, why=f"{pod} reported no state at the end")
    if value_at(state, end_s) != 1:
        return Change(pod, None)
    times = [(at, value) for at, value in state.points if at <= end_s]
    other = [at for at, value in times if value != 1]
    if not other or (other[-1] < after_s and value_at(state, after_s) == 1):
        return Change(pod, Interval(0.0, 0.0))
    closed = next(at for at, _ in times if at > other[-1])
    last = value_at(entered, end_s) if entered else None
    if last is not None and other[-1] <= last <= closed:
        return Change(pod, Interval(max(0.0, last - after_s), max(0.0, last - after_s)))
    return Change(pod, Interval(max(0.0, other[-1] - after_s), max(0.0, closed - after_s)))


def flaps(breakers: Breakers, gateway: str, pod: str, window: tuple[float, float]) -> int | None:
    """How often a replica's breaker closed in the window although it then opened again."""
    state, entered = breakers.of(gateway, pod, CLOSED)
    if state is None or value_at(state, window[1]) is None:
        return None
    seen = [(at, value) for at, value in state.points if window[0] <= at <= window[1]]
    left = sum(a == 1 and b != 1 for (_, a), (_, b) in pairwise(seen))
    returns = {
        value for at, value in (entered.points if entered else ()) if window[0] < value <= window[1]
    }
    return max(0, left - 1, len(returns) - (value_at(state, window[1]) == 1))


def states(
    breakers: Breakers, gateway: str, pod: str, window: tuple[float, float]
) -> list[tuple[float, str]]:
    """The states that a replica reported in the window, each with the second it was first seen.

    The first is the one it was in when the window began. A state between two scrapes is not seen.
    """
    mine = [one for one in breakers.state if one.has(gateway=gateway, pod=pod)]
    times = sorted({at for one in mine for at in one.times if window[0] < at <= window[1]})
    found: list[tuple[float, str]] = []
    for at in (window[0], *times):
        now = [one.labels.get("state", "?") for one in mine if value_at(one, at) == 1]
        if len(now) == 1 and (not found or found[-1][1] != now[0]):
            found.append((at - window[0], now[0]))
    return found


def floor(failures: int, rate_per_pod: float, call_limit_s: float, *, hangs: bool) -> float:
    """The earliest that a breaker can open, in seconds: it needs so many calls to have failed.

    Raises:
        ValueError: a replica without calls never opens its breaker.
    """
    if rate_per_pod <= 0:
        raise ValueError("a breaker without calls never opens")
    return failures / rate_per_pod + (call_limit_s if hangs else 0.0)


@dataclass(frozen=True)
class Carried:
    """Who carried the calls: of the bad gateway and of its backup, trial calls apart."""

    share: float | None
    primary: float = 0.0
    backup: float = 0.0
    trials: float = 0.0
    why: str = ""


def carried_by_backup(
    calls: Sequence[Series], primary: str, backup: str, window: tuple[float, float]
) -> Carried:
    """The backup's share of calls in a window (Unix seconds), from the counts of calls that ended.

    Let the window start once calls that were under way when the last breaker opened have ended.
    """
    seen = scrapes(calls)
    sums = {"primary": 0.0, "backup": 0.0, "trials": 0.0}
    found = set()
    for one in calls:
        gateway = one.labels.get("gateway")
        if gateway not in (primary, backup):
            continue
        found.add(gateway)
        target = one.labels.get("job", ""), one.labels.get("instance", "")
        rise = increase(one, *window, seen[target])
        if rise is None:
            return Carried(None, why=f"the calls of {one.labels.get('pod', '?')} are not covered")
        trial = gateway == primary and one.labels.get("trial") == "true"
        sums["trials" if trial else "primary" if gateway == primary else "backup"] += rise
    if found != {primary, backup}:
        return Carried(None, why=f"no calls to {primary} and to {backup} were counted")
    total = sums["primary"] + sums["backup"]
    if not total:
        return Carried(None, why="nobody called either gateway")
    return Carried(sums["backup"] / total, sums["primary"], sums["backup"], sums["trials"])
