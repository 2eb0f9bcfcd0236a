"""The benchmark of outages whose truth is known: what it tells to do, and who failed it."""

import os
import signal
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import outage_stalls
from benchmarks.outage_customers import Sending
from benchmarks.outage_stalls import STILL_NS
from benchmarks.outage_tables import Machine, Told, text
from benchmarks.outage_trials import CALM_S, FLAP_S, KINDS, Errors, simulated
from benchmarks.outages import LONG_REST_S, REST_S, schedule
from holdfast.clock import now_ns, until
from holdfast.customers import LOG
from holdfast.model import Interval, Window
from tests.slow_server import SlowServer, serving

pytestmark = pytest.mark.integration


def test_no_outage_begins_before_the_one_before_it_is_judged() -> None:
    """A window of it would hold the next one's bad requests."""
    for service in schedule(24, 340.0):
        for one, following in pairwise(service["outages"]):
            rest_s = LONG_REST_S if one["long"] else REST_S
            ends = one["at"] + one["lasts"]
            assert following["at"] - ends >= rest_s
            if not one["long"]:
                assert following["at"] - ends >= rest_s + CALM_S
            if one["kind"] == "flapping":
                assert ends + FLAP_S < following["at"]  # it may last a turn longer
            if one["kind"] == "slow start":
                assert ends + one["lasts"] + 2 * CALM_S < following["at"]  # slow, and well


def test_each_kind_has_its_share() -> None:
    times = Counter(one["kind"] for service in schedule(24, 340.0) for one in service["outages"])
    assert set(times) == set(KINDS)
    assert min(times.values()) >= 200


def test_an_estimate_that_says_nothing_covers_nothing() -> None:
    errors = Errors.of(
        [
            (5.0, Interval(4.9, 5.3)),
            (6.0, Interval(6.1, 6.3)),
            (7.0, None),
            (8.0, Interval(1, 1e999)),
        ]
    )
    assert (errors.unknown, errors.covered) == (2, 0.5)
    assert list(errors.off) == pytest.approx([0.1, 0.2])
    assert list(errors.widths) == pytest.approx([0.4, 0.2])


def test_a_watcher_that_is_held_up_notes_from_when_to_when(tmp_path: Path) -> None:
    with outage_stalls.watching(tmp_path / "stalls") as stalls:

        def noticed() -> bool:
            held_up = _held_up(stalls.pids[0])
            return until(
                lambda: any(
                    one.start_ns < held_up.start_ns and held_up.end_ns < one.end_ns
                    for one in stalls.seen()
                ),
                seconds=0.5,
            )

        assert until(noticed, seconds=20)  # the first time it may not have begun to watch


def _held_up(pid: int) -> Window:
    """Stop a process, and let it go on after a stall's length; the time that it surely stood."""
    os.kill(pid, signal.SIGSTOP)
    began_ns = now_ns()
    assert until(lambda: now_ns() - began_ns > STILL_NS, seconds=5, every=0.001)
    ended_ns = now_ns()
    os.kill(pid, signal.SIGCONT)
    return Window(began_ns, ended_ns)


def test_who_stood_still_at_an_end_of_an_outage_is_marked_and_who_did_in_between_is_not() -> None:
    trial = simulated("errors", 1)
    middle_ns = (trial.began_ns + trial.ended_ns) // 2
    for at_ns, stood_still in (
        (trial.began_ns, True),
        (middle_ns, False),
        (trial.ended_ns, True),
    ):
        assert trial.stood_still([Window(at_ns - 5_000_000, at_ns + 5_000_000)]) is stood_still


def test_who_stood_still_has_missed_the_goal_all_the_same() -> None:
    """A wide interval of a full outage, and what the table says of it."""
    trial = simulated("errors", 1)
    late = [
        replace(one, done_ns=one.done_ns + 40_000_000) if one.scheduled_ns > trial.ended_ns else one
        for one in trial.samples
    ]
    wide = replace(trial, samples=late)
    for stood_still, still in ((True, " (1 stood still)"), (False, "")):
        told = Told(wide, long=False, late=False, stood_still=stood_still, usual={})
        table = text([told], [], Machine("a machine", 1, 0.1, 0.002))
        row = next(line for line in table.splitlines() if "| errors     | recovery" in line)
        said = f"MISSED: error in 1 of 1{still}, width in 1 of 1{still}"
        assert row.split("|")[-2].strip() == said


def test_customers_who_end_early_are_named_with_what_they_said(tmp_path: Path) -> None:
    with serving(SlowServer()) as server:
        sending = Sending.start(tmp_path, 7, f"{server.host}:{server.port}", 30.0)
        try:
            sending.look()
            with sending.run.path(LOG).open("a") as log:
                log.write("no space left on device\n")
            sending.customers.process.kill()
            assert until(lambda: not sending.customers.alive(), seconds=10)
            with pytest.raises(SystemExit) as failed:
                sending.look()
        finally:
            sending.customers.kill()
    assert "the customers of service 7 ended early: exit code -9" in str(failed.value)
    assert "no space left on device" in str(failed.value)


def test_customers_who_stop_hand_over_each_request(tmp_path: Path) -> None:
    with serving(SlowServer()) as server:
        sending = Sending.start(tmp_path, 1, f"{server.host}:{server.port}", 30.0)
        assert until(lambda: len(server.seen) >= 20, seconds=10)
        track, account = sending.stop()
    assert account["ended"] == "stop"
    assert len(track) == account["journeys"]["query"]["scheduled"] == len(server.seen)
