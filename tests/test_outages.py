"""The benchmark of outages whose truth is known: what it tells to do, and who failed it."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.outage_customers import Sending
from benchmarks.outage_trials import CALM_S, FLAP_S, KINDS, Errors
from benchmarks.outages import LONG_REST_S, REST_S, schedule
from holdfast.clock import until
from holdfast.customers import LOG
from holdfast.model import Interval
from tests.slow_server import SlowServer, serving


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
