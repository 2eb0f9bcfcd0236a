"""The breaker's state machine, under a clock that only moves when a test says so."""

from dataclasses import dataclass, field

import pytest

from lab.wallet.breaker import Breaker, Limits, Permit, State


@dataclass
class Bench:
    """A breaker with the default limits, its clock, and the changes that it told of."""

    stuck: bool = False
    now: float = 100.0
    changes: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaker = Breaker(
            Limits(),
            lambda: self.now,
            lambda before, after: self.changes.append((before, after)),
            stuck=self.stuck,
        )

    def state(self) -> State:
        """The breaker's state."""
        return self.breaker.state

    def admitted(self) -> Permit:
        """A permit; there has to be one."""
        permit = self.breaker.admit()
        assert permit is not None
        return permit

    def calls(self, count: int, seconds: float = 0.02, *, failed: bool = False) -> None:
        """So many calls, one after the other."""
        for _ in range(count):
            self.breaker.record(self.admitted(), seconds, failed=failed)

    def open(self) -> "Bench":
        """Let it open."""
        self.calls(10, failed=True)
        assert self.state() is State.OPEN
        return self

    def half_open(self) -> list[Permit]:
        """Open it, wait, and take every trial permit."""
        self.open()
        self.now += 10.0
        return [self.admitted() for _ in range(3)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_starts_closed_and_lets_calls_through(bench: Bench) -> None:
    assert bench.admitted() == Permit(period=0, trial=False)
    assert bench.state() is State.CLOSED


def test_nine_failures_leave_it_closed_and_the_tenth_opens_it(bench: Bench) -> None:
    bench.calls(9, failed=True)
    assert bench.state() is State.CLOSED
    bench.calls(1, failed=True)
    assert bench.state() is State.OPEN
    assert bench.changes == [("closed", "open")]


def test_after_twenty_good_calls_ten_failures_make_half_of_the_window(bench: Bench) -> None:
    bench.calls(20)
    bench.calls(9, failed=True)
    assert bench.state() is State.CLOSED
    bench.calls(1, failed=True)
    assert bench.state() is State.OPEN


def test_a_failure_older_than_the_window_is_forgotten(bench: Bench) -> None:
    bench.calls(11)
    bench.calls(9, failed=True)
    bench.calls(20)
    bench.calls(9, failed=True)
    assert bench.state() is State.CLOSED


def test_ten_slow_calls_open_it_though_all_succeed(bench: Bench) -> None:
    bench.calls(9, seconds=1.0)
    assert bench.state() is State.CLOSED
    bench.calls(1, seconds=1.0)
    assert bench.state() is State.OPEN


def test_calls_just_below_a_second_are_not_slow(bench: Bench) -> None:
    bench.calls(40, seconds=0.999)
    assert bench.state() is State.CLOSED


def test_failures_and_slow_calls_are_not_added_up(bench: Bench) -> None:
    bench.calls(8)
    bench.calls(6, failed=True)
    bench.calls(6, seconds=1.5)
    assert bench.state() is State.CLOSED


def test_open_it_admits_nothing_until_ten_seconds_have_passed(bench: Bench) -> None:
    bench.open()
    bench.now += 9.999
    assert bench.breaker.admit() is None
    bench.now += 0.001
    assert bench.admitted().trial
    assert bench.changes == [("closed", "open"), ("open", "half_open")]


def test_half_open_it_admits_three_trial_calls_and_no_fourth(bench: Bench) -> None:
    assert [permit.trial for permit in bench.half_open()] == [True, True, True]
    assert bench.breaker.admit() is None


def test_three_good_trials_close_it(bench: Bench) -> None:
    for permit in bench.half_open():
        assert bench.state() is State.HALF_OPEN
        bench.breaker.record(permit, 0.02, failed=False)
    assert bench.state() is State.CLOSED
    assert bench.changes[-1] == ("half_open", "closed")


def test_one_failed_trial_of_three_is_below_half_and_closes_it(bench: Bench) -> None:
    first, second, third = bench.half_open()
    bench.breaker.record(first, 0.02, failed=True)
    bench.breaker.record(second, 0.02, failed=False)
    bench.breaker.record(third, 0.02, failed=False)
    assert bench.state() is State.CLOSED


@pytest.mark.parametrize(("seconds", "failed"), [(2.0, True), (0.02, True), (1.2, False)])
def test_failed_or_slow_trials_open_it_for_another_wait(
    bench: Bench, seconds: float, failed: bool
) -> None:
    for permit in bench.half_open():
        bench.breaker.record(permit, seconds, failed=failed)
    assert bench.state() is State.OPEN
    bench.now += 9.9
    assert bench.breaker.admit() is None
    bench.now += 0.1
    assert bench.admitted().trial


def test_a_trial_that_is_given_back_may_be_made_by_another_call(bench: Bench) -> None:
    permits = bench.half_open()
    bench.breaker.release(permits[0])
    assert bench.admitted().trial
    assert bench.breaker.admit() is None


def test_the_result_of_a_call_from_an_earlier_state_counts_for_nothing(bench: Bench) -> None:
    late = [bench.admitted() for _ in range(3)]
    bench.half_open()
    for permit in late:
        bench.breaker.record(permit, 2.0, failed=True)
        bench.breaker.release(permit)
    assert bench.state() is State.HALF_OPEN
    assert bench.breaker.admit() is None


def test_once_closed_again_it_starts_with_an_empty_window(bench: Bench) -> None:
    for permit in bench.half_open():
        bench.breaker.record(permit, 0.02, failed=False)
    bench.calls(9, failed=True)
    assert bench.state() is State.CLOSED


def test_the_defect_never_opens() -> None:
    bench = Bench(stuck=True)
    bench.calls(100, seconds=2.0, failed=True)
    assert bench.state() is State.CLOSED
    assert bench.changes == []
