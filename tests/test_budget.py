"""What runs cost of the yearly error budget, and what a year may bring: against known truths."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from holdfast import budget
from holdfast.judge import judge
from holdfast.measure.budget import BUDGET_S, LEAST_S, Mode, burn, project
from holdfast.model import Record
from holdfast.pipeline import cost
from holdfast.pipeline.story import tell
from holdfast.reports.record import Report
from tests.fakes import FakeKubernetes, FakePrometheus
from tests.judge_stories import Story, told
from tests.plan_case import Here, everything
from tests.stories import errors
from tests.test_cli import holdfast, refused

ROW = {
    "experiment": "dead-gateway",
    "run": "runs/dead-gateway/1",
    "environment": "lab-1",
    "exit_code": 0,
    "bad_seconds": 12.5,
    "measured": True,
}
OUTAGE = Story(hold=70.0, service=errors(5, 20))


def report(record: Record) -> Report:
    return tell(record, judge(record), Path("runs/story/1"))


# ── before a run ──────────────────────────────────────────────────────────────────────────────────


def test_a_kept_promise_bounds_what_a_run_may_cost() -> None:
    at_worst = burn([60.0, 60.0], 90.0, {"pix": 60.0, "balance": 40.0})
    assert (at_worst.promised_s, at_worst.held_s, at_worst.requests) == (60.0, 90.0, 6000)


def test_without_a_promise_the_hold_is_the_bound() -> None:
    assert burn([], 90.0, {"pix": 10.0}).promised_s == 90.0


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    with everything(kubernetes, prometheus, tmp_path) as found:
        yield found


def test_plan_says_what_the_run_may_cost(here: Here) -> None:
    ended = holdfast("plan", here.path("slow-gateway"), "-e", here.environment)
    words = " ".join(ended.stdout.split())
    assert "may cost: 60 s of bad requests (6000 requests) when the promises are kept" in words
    assert "0.42% of the 4 h a year (0.38% of 99.95 %)" in words
    assert "90 s, 0.62%, when customers do not recover before the undo" in words


# ── after a run ───────────────────────────────────────────────────────────────────────────────────


def test_a_run_costs_its_bad_seconds() -> None:
    seconds, measured = cost(report(told(OUTAGE)))
    assert seconds == pytest.approx(15.0, abs=0.1)
    assert measured


def test_what_was_not_measured_costs_everything_from_the_fault_on() -> None:
    """Fault at 13 s of 58.1: no objective has counted bad requests."""
    seconds, measured = cost(report(told(Story(objectives=("recovery",)))))
    assert seconds == pytest.approx(45.1, abs=0.1)
    assert not measured


def test_a_number_that_nobody_can_trust_is_booked_as_unsure() -> None:
    record = told(OUTAGE)
    late = {**record.load, "lateness_ms": {**record.load["lateness_ms"], "p99": 80.0}}
    seconds, measured = cost(report(replace(record, load=late)))
    assert seconds == pytest.approx(15.0, abs=0.1)
    assert not measured


def test_a_run_without_a_fault_costs_nothing() -> None:
    record = told(Story(objectives=("recovery",)))
    events = tuple(one for one in record.events if one["event"] != "fault")
    assert cost(report(replace(record, events=events))) == (0.0, True)


def test_runs_are_added_up_by_environment_and_experiment(tmp_path: Path) -> None:
    for row in (
        ROW,
        {**ROW, "bad_seconds": 30.0, "measured": False},
        {**ROW, "experiment": "drop-zone", "bad_seconds": 1.0},
        {**ROW, "environment": "production", "bad_seconds": 5.0},
    ):
        budget.book(tmp_path, row)
    found = budget.accounts(budget.rows(tmp_path))
    lab = found["lab-1"]
    assert (lab.runs, lab.booked_s, lab.unsure_s) == (3, 43.5, 30.0)
    assert lab.left_s == BUDGET_S - 43.5 == 14_356.5
    assert lab.experiments == {"dead-gateway": [12.5, 30.0], "drop-zone": [1.0]}
    assert found["production"].booked_s == 5.0


def test_a_row_that_was_changed_is_found_out(tmp_path: Path) -> None:
    """Otherwise the budget could be made to look unspent."""
    budget.book(tmp_path, ROW)
    budget.book(tmp_path, ROW)
    ledger = tmp_path / budget.LEDGER
    ledger.write_text(ledger.read_text().replace("12.5", "0.5", 1))
    assert "line 1: its checksum is wrong" in refused(2, "budget", "--runs", tmp_path)


def test_budget_prints_what_is_left_of_both_promises(tmp_path: Path) -> None:
    budget.book(tmp_path, {**ROW, "bad_seconds": 144.0})
    printed = " ".join(holdfast("budget", "--runs", tmp_path).stdout.split())
    assert "dead-gateway │ 1 │ 144.00 │ 1.000% │ 0.913%" in printed
    assert "left │ │ 14256.00 │ 99.000%" in printed
    found = json.loads(holdfast("budget", "--runs", tmp_path, "--json").stdout)
    assert found["environments"]["lab-1"]["left_s"] == 14_256.0
    assert found["environments"]["lab-1"]["left_of_99_95_s"] == 15_624.0


def test_without_a_run_all_of_it_is_left(tmp_path: Path) -> None:
    ended = holdfast("budget", "--runs", tmp_path)
    assert (ended.code, ended.stdout.endswith("all of 14,400 s is left.\n")) == (0, True)


# ── a coming year ─────────────────────────────────────────────────────────────────────────────────


def test_a_well_known_world_is_projected_as_it_is() -> None:
    """10 events a year of exactly 20 s each: 200 s, and its Poisson spread of 63 s."""
    year = project([Mode("known", 10_000, 1000.0, [20.0] * 50)], seed=1).everything
    assert year.median_s == pytest.approx(200, abs=5)
    assert year.low_s == pytest.approx(100, abs=20)  # the 5 % quantile of Poisson(10) is 5
    assert year.high_s == pytest.approx(300, abs=20)  # and its 95 % quantile 15
    assert year.within_hours == 1.0


def test_the_share_of_customers_counts() -> None:
    whole = project([Mode("a", 10_000, 1000.0, [20.0] * 50)], seed=1).everything
    half = project([Mode("a", 10_000, 1000.0, [20.0] * 50, share=0.5)], seed=1).everything
    assert half.median_s == pytest.approx(whole.median_s / 2)


def test_the_middle_90_percent_holds_the_year_that_comes() -> None:
    """Worlds drawn at random, each known by 8 events in 2 years and 6 trials: the next year."""
    chance = random.Random(7)
    inside = 0
    for world in range(200):
        rate, centre, sigma = chance.uniform(2, 6), chance.uniform(1, 4), chance.uniform(0.2, 0.8)
        seen = _events(2 * rate, chance)
        trials = [chance.lognormvariate(centre, sigma) for _ in range(6)]
        truth = sum(chance.lognormvariate(centre, sigma) for _ in range(_events(rate, chance)))
        year = project([Mode("mode", seen, 2.0, trials)], seed=world, simulated=500).everything
        inside += year.low_s <= truth <= year.high_s
    assert inside >= 168  # 90 % of 200, less three standard errors


def _events(mean: float, chance: random.Random) -> int:
    count, passed = 0, chance.expovariate(1.0)
    while passed < mean:
        count, passed = count + 1, passed + chance.expovariate(1.0)
    return count


def test_few_trials_give_a_wide_answer() -> None:
    few = project([Mode("few", 20, 2.0, [10.0, 20.0, 40.0])], seed=1).everything
    many = project([Mode("many", 20, 2.0, [10.0, 20.0, 40.0] * 20)], seed=1).everything
    assert few.high_s - few.low_s > 2 * (many.high_s - many.low_s)


def test_what_cannot_be_tested_stands_apart() -> None:
    """Otherwise three incidents decide the whole."""
    tested = Mode("tested", 4, 2.0, [1.0, 2.0, 3.0])
    deploys = Mode("bad deploy", 2, 2.0, [900.0, 3000.0, 9000.0], testable=False)
    found = project([tested, deploys], seed=1)
    assert found.testable
    assert found.other
    assert found.testable.within_hours > 0.99
    assert found.other.within_hours < 0.9
    assert found.everything.within_hours <= found.other.within_hours
    assert project([tested], seed=1).other is None


def test_the_same_seed_gives_the_same_year() -> None:
    modes = [Mode("a", 4, 2.0, [1.0, 2.0, 3.0])]
    assert project(modes, seed=3) == project(modes, seed=3)


def test_trials_that_cost_nothing_count_as_one_request() -> None:
    year = project([Mode("a", 10_000, 1000.0, [0.0] * 5)], seed=1).everything
    assert year.median_s == pytest.approx(10 * LEAST_S)


def test_two_trials_say_nothing() -> None:
    with pytest.raises(ValueError, match="a: 2 impacts, 3 are needed"):
        project([Mode("a", 4, 2.0, [1.0, 2.0])], seed=1)


def rates(folder: Path, **modes: object) -> Path:
    path = folder / "rates.yaml"
    path.write_text(yaml.safe_dump(modes))
    return path


def test_a_projection_from_booked_runs(tmp_path: Path) -> None:
    for seconds in (10.0, 12.0, 14.0):
        budget.book(tmp_path, {**ROW, "bad_seconds": seconds})
    path = rates(
        tmp_path,
        gateway={"seen": 4, "years": 2, "experiment": "dead-gateway"},
        deploy={"seen": 3, "years": 2, "impacts": ["12m", "45m", "20m"]},
    )
    printed = holdfast("budget", "--runs", tmp_path, "--rates", path).stdout
    assert "what chaos runs can test: " in printed
    assert "what they cannot: " in printed
    found = json.loads(holdfast("budget", "--runs", tmp_path, "--rates", path, "--json").stdout)
    assert found["projection"]["lab-1"]["testable"]["within_hours"] > 0.99


def test_an_experiment_that_never_ran_cannot_be_projected(tmp_path: Path) -> None:
    path = rates(tmp_path, gateway={"seen": 4, "years": 2, "experiment": "dead-gateway"})
    words = refused(2, "budget", "--runs", tmp_path, "--rates", path)
    assert "gateway: 0 impacts, 3 are needed. Run the experiment more often" in words


def test_a_rate_needs_one_source_of_its_impacts(tmp_path: Path) -> None:
    path = rates(tmp_path, gateway={"seen": 4, "years": 2})
    assert "`experiment` or `impacts`" in refused(2, "budget", "--rates", path)
