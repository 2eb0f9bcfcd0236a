"""When breakers opened, who carried the calls, and when they closed again."""

import pytest

from holdfast.measure import (
    Breakers,
    Series,
    carried_by_backup,
    flaps,
    floor,
    opened,
    returned_to_closed,
)
from holdfast.model import Interval
from tests.stories import WALL, counter

SCRAPES = [round(-10.63 + k, 2) for k in range(60)]
T0 = WALL
END = WALL + 45
STATES = ("closed", "open", "half_open")
GATEWAY = "pix-primary"


def breaker(
    *changes: tuple[float, str], pod: str = "a", until: float = 60.0, exact: bool = True
) -> Breakers:
    """A breaker that is closed until it changes; each change is (second, state)."""

    def state_at(at: float) -> str:
        return ([state for when, state in changes if when <= at] or ["closed"])[-1]

    def entered_at(state: str, at: float) -> float:
        times = [when for when, name in changes if name == state and when <= at]
        return WALL + (times or [-1000.0])[-1]

    at = [one for one in SCRAPES if one <= until]
    state, entered = [], []
    for name in STATES:
        labels = {"gateway": GATEWAY, "pod": pod, "state": name}
        state.append(counter(labels, lambda t, s=name: float(state_at(t) == s), at))  # type: ignore[misc]
        entered.append(counter(labels, lambda t, s=name: entered_at(s, t), at))  # type: ignore[misc]
    return Breakers(state, entered if exact else [])


def both(one: Breakers, other: Breakers) -> Breakers:
    return Breakers([*one.state, *other.state], [*one.entered, *other.entered])


def calls(
    gateway: str, rate: float, *, pod: str = "a", trial: str = "false", until: float = 60.0
) -> Series:
    labels = {"gateway": gateway, "pod": pod, "trial": trial, "job": "wallet-api", "instance": pod}
    return counter(labels, lambda at: 1000 + rate * at, [one for one in SCRAPES if one <= until])


# ── opening ───────────────────────────────────────────────────────────────────────────────────────


def test_the_wallets_own_time_of_opening_is_exact() -> None:
    (change,) = opened(breaker((2.4, "open")), GATEWAY, ["a"], T0, END)
    assert change.known
    assert change.seconds is not None
    assert change.seconds.low == change.seconds.high == pytest.approx(2.4)


def test_without_it_the_scrapes_bound_the_opening() -> None:
    (change,) = opened(breaker((2.4, "open"), exact=False), GATEWAY, ["a"], T0, END)
    assert change.seconds is not None
    assert change.seconds.low == pytest.approx(2.37)
    assert change.seconds.high == pytest.approx(3.37)


def test_the_first_opening_counts_though_it_opened_again() -> None:
    story = breaker((2.4, "open"), (12.4, "half_open"), (12.5, "open"), (22.5, "half_open"))
    (change,) = opened(story, GATEWAY, ["a"], T0, END)
    assert change.seconds is not None
    assert change.seconds.high == pytest.approx(2.4)


def test_each_replica_is_told_by_itself() -> None:
    story = both(breaker((2.4, "open")), breaker(pod="b"))
    first, second = opened(story, GATEWAY, ["b", "a"], T0, END)
    assert (first.pod, second.pod) == ("a", "b")
    assert first.seconds is not None
    assert (second.seconds, second.known) == (None, True)


@pytest.mark.parametrize(
    ("story", "pod", "why"),
    [
        (breaker(), "c", "c reported no state"),
        (breaker(until=20.0), "a", "a stopped reporting"),
        (breaker((-3.0, "open")), "a", "a had it open already when the fault began"),
        (breaker(until=-9.0), "a", "a reported nothing when the fault began"),
    ],
)
def test_what_was_not_reported_is_unknown_and_not_never(
    story: Breakers, pod: str, why: str
) -> None:
    (change,) = opened(story, GATEWAY, [pod], T0, END)
    assert (change.seconds, change.known, change.why) == (None, False, why)


def test_an_opening_before_the_fault_is_not_its_doing() -> None:
    story = breaker((-8.0, "open"), (-5.0, "half_open"), (-4.0, "closed"))
    (change,) = opened(story, GATEWAY, ["a"], T0, END)
    assert (change.seconds, change.known) == (None, True)


def test_an_opening_after_the_undo_is_not_counted() -> None:
    (change,) = opened(breaker((46.0, "open")), GATEWAY, ["a"], T0, END)
    assert change.seconds is None


# ── the earliest ──────────────────────────────────────────────────────────────────────────────────


def test_ten_failures_at_twenty_calls_a_second_take_half_a_second() -> None:
    assert floor(10, 20.0, 2.0, hangs=False) == 0.5
    assert floor(10, 20.0, 2.0, hangs=True) == 2.5


def test_a_breaker_without_calls_never_opens() -> None:
    with pytest.raises(ValueError, match="never opens"):
        floor(10, 0.0, 2.0, hangs=True)


# ── closing ───────────────────────────────────────────────────────────────────────────────────────

HEALED = WALL + 20


def test_closing_is_counted_from_the_undo() -> None:
    story = breaker((2.4, "open"), (22.4, "half_open"), (22.9, "closed"))
    (change,) = returned_to_closed(story, GATEWAY, ["a"], HEALED, END)
    assert change.seconds is not None
    assert change.seconds.low == change.seconds.high == pytest.approx(2.9)


def test_closing_without_the_wallets_own_time_lies_between_two_scrapes() -> None:
    story = breaker((2.4, "open"), (22.4, "half_open"), (22.9, "closed"), exact=False)
    (change,) = returned_to_closed(story, GATEWAY, ["a"], HEALED, END)
    assert change.seconds is not None
    assert change.seconds.low < 2.9 < change.seconds.high <= change.seconds.low + 1.001


def test_a_breaker_that_stays_open_never_returned() -> None:
    (change,) = returned_to_closed(breaker((2.4, "open")), GATEWAY, ["a"], HEALED, END)
    assert (change.seconds, change.known) == (None, True)


def test_a_breaker_that_never_opened_is_closed_at_once() -> None:
    (change,) = returned_to_closed(breaker(), GATEWAY, ["a"], HEALED, END)
    assert change.seconds == Interval(0.0, 0.0)


def test_a_breaker_that_fell_silent_is_unknown() -> None:
    (change,) = returned_to_closed(breaker(until=25), GATEWAY, ["a"], HEALED, END)
    assert not change.known


def test_flapping_is_closing_in_vain() -> None:
    window = (T0, END)
    steady = breaker((2.4, "open"), (12.4, "half_open"), (12.5, "open"))
    assert flaps(steady, GATEWAY, "a", window) == 0
    restless = breaker((2, "open"), (12, "closed"), (14, "open"), (24, "closed"), (26, "open"))
    assert flaps(restless, GATEWAY, "a", window) == 2
    assert flaps(breaker((2, "open"), (12, "closed")), GATEWAY, "a", window) == 0
    assert flaps(breaker(until=20), GATEWAY, "a", window) is None


# ── who carried the calls ─────────────────────────────────────────────────────────────────────────

WINDOW = (WALL + 5, WALL + 45)


def test_the_backup_carried_all_but_the_trials() -> None:
    found = carried_by_backup(
        [calls(GATEWAY, 0), calls(GATEWAY, 0.1, trial="true"), calls("pix-backup", 20)],
        GATEWAY,
        "pix-backup",
        WINDOW,
    )
    assert found.share == 1.0
    assert (found.primary, round(found.trials), round(found.backup)) == (0.0, 4, 800)


def test_calls_that_still_go_to_the_bad_gateway_lower_the_share() -> None:
    every = [calls(GATEWAY, 5), calls("pix-backup", 15), calls("ted", 100)]
    found = carried_by_backup(every, GATEWAY, "pix-backup", WINDOW)
    assert found.share == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("every", "why"),
    [
        ([calls(GATEWAY, 0)], "no calls to pix-primary and to pix-backup"),
        ([calls("pix-backup", 20)], "no calls to pix-primary and to pix-backup"),
        ([calls(GATEWAY, 0), calls("pix-backup", 0)], "nobody called"),
        ([calls(GATEWAY, 0, until=20), calls("pix-backup", 20)], "the calls of a are not covered"),
        (
            [calls(GATEWAY, 0), calls("pix-backup", 20), calls("pix-backup", 20, pod="b", until=9)],
            "the calls of b are not covered",
        ),
        ([], "no calls"),
    ],
)
def test_without_data_there_is_no_share(every: list[Series], why: str) -> None:
    found = carried_by_backup(every, GATEWAY, "pix-backup", WINDOW)
    assert found.share is None
    assert found.why.startswith(why)
