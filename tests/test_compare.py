"""Has a run become slower: against known truths, and never on a run that was not accepted."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.measure.regression import prediction, quantile, slide, student
from holdfast.model import Interval
from tests.judge_stories import Story, laid, told
from tests.stories import errors
from tests.test_cli import holdfast

TEN = [Interval(9.9 + n / 10, 10.0 + n / 10) for n in range(10)]


# ── the rule ──────────────────────────────────────────────────────────────────────────────────────


def test_twice_as_slow_is_slower() -> None:
    found = slide("recovery", Interval(20.9, 21.0), TEN)
    assert found.slid is True
    assert found.slower_by
    assert found.slower_by.low == pytest.approx(20.9 - 10.45)
    assert found.slower_by.high == pytest.approx(21.0 - 10.35)
    assert found.false_alarms == 1 / 11


def test_as_slow_as_before_is_not_slower() -> None:
    assert slide("recovery", Interval(10.3, 10.4), TEN).slid is False


def test_slower_than_all_but_within_what_they_predict_is_not_slower() -> None:
    """Ranks alone would raise this false alarm; the bound is 11.05 s."""
    found = slide("recovery", Interval(10.95, 11.0), TEN)
    assert found.slid is False
    assert found.bound_s == pytest.approx(11.05, abs=0.02)


def test_beyond_the_prediction_but_not_the_slowest_is_not_slower() -> None:
    """One slow run before: the bound alone could lie below it."""
    earlier = [*[Interval(1.0, 1.01)] * 19, Interval(3.0, 3.01)]
    assert prediction([one.high for one in earlier], 0.95) < 3.0
    assert slide("recovery", Interval(2.9, 2.95), earlier).slid is False


def test_overlap_is_no_proof() -> None:
    """Recovery lies between 5 and 30 s: it may have been as before."""
    assert slide("recovery", Interval(5.0, 30.0), TEN).slid is False


@pytest.mark.parametrize(("now", "earlier"), [(None, TEN), (Interval(20, 21), TEN[:4])])
def test_without_a_number_or_with_four_runs_nothing_is_told(
    now: Interval | None, earlier: list[Interval]
) -> None:
    assert slide("recovery", now, earlier).slid is None


def test_runs_that_took_exactly_the_same() -> None:
    same = [Interval(1.0, 1.0)] * 5
    assert slide("x", Interval(1.0, 1.0), same).slid is False
    assert slide("x", Interval(1.1, 1.1), same).slid is True


@pytest.mark.parametrize(
    ("confidence", "freedom", "t"),
    [(0.95, 1, 6.314), (0.95, 4, 2.132), (0.95, 9, 1.833), (0.99, 9, 2.821), (0.95, 30, 1.697)],
)
def test_quantiles_of_student_are_those_of_tables(
    confidence: float, freedom: int, t: float
) -> None:
    assert student(confidence, freedom) == pytest.approx(t, abs=5e-4)


DRAWS: dict[str, Callable[[random.Random], float]] = {
    "lognormal": lambda chance: chance.lognormvariate(2, 0.3),
    "uniform": lambda chance: chance.uniform(5, 10),
    "two kinds": lambda chance: chance.lognormvariate(2 if chance.random() < 0.8 else 3, 0.1),
    "Pareto": lambda chance: chance.paretovariate(1),
}


@pytest.mark.parametrize("n", [5, 20])
@pytest.mark.parametrize("kind", DRAWS)
def test_the_rate_of_false_alarms(kind: str, n: int) -> None:
    """At most one in N + 1 whatever the distribution, and 5 % of a lognormal one."""
    chance = random.Random(f"{kind}{n}")
    alarms = 0
    for _ in range(3_000):
        values = [Interval(one, one) for one in (DRAWS[kind](chance) for _ in range(n + 1))]
        alarms += bool(slide("x", values[0], values[1:]).slid)
    most = min(0.05, 1 / (n + 1)) if kind == "lognormal" else 1 / (n + 1)
    assert alarms / 3_000 < most + 0.016  # three standard errors


def test_five_quantities_together_raise_a_false_alarm_in_one_run_of_twenty() -> None:
    chance = random.Random(5)
    alarms = 0
    for _ in range(1_500):
        slid = False
        for _ in range(5):
            values = [Interval(one, one) for one in (DRAWS["lognormal"](chance) for _ in range(11))]
            slid |= bool(slide("x", values[0], values[1:], 5).slid)
        alarms += slid
    assert alarms / 1_500 < 0.07


def test_a_slide_by_half_is_found_nearly_always() -> None:
    """Runs that vary by 10 %, ten before: at least nine in ten slides by half are found."""
    chance = random.Random(3)
    hits = 0
    for _ in range(500):
        before = [Interval(x, x) for x in (chance.lognormvariate(2, 0.1) for _ in range(10))]
        x = 1.5 * chance.lognormvariate(2, 0.1)
        hits += bool(slide("x", Interval(x, x), before).slid)
    assert hits / 500 > 0.9


def test_a_quantile_lies_between_exact_ranks() -> None:
    """Of 1,000 values, the 99th percentile lies between the 985th and the 996th."""
    assert quantile([n / 1000 for n in range(1, 1001)], 0.99) == Interval(0.985, 0.996)
    assert quantile([1.0] * 298, 0.99) is None
    assert quantile([], 0.5) is None


def test_the_interval_of_a_quantile_covers_it() -> None:
    """At least 90 % of the time: each side is right at 95 %."""
    chance = random.Random(11)
    truth = 4.60517  # of the exponential distribution: ln(100)
    inside = 0
    for _ in range(500):
        found = quantile([chance.expovariate(1) for _ in range(600)], 0.99)
        assert found
        inside += found.low <= truth <= found.high
    assert inside >= 440  # 90 % of 500, less 1.5 standard errors


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────


def lay(root: Path, outage_s: float, **changes: Any) -> Path:
    """A judged run whose customers recovered so many seconds after the fault."""
    story = Story(
        hold=40.0, service=errors(5, 5 + outage_s), objectives=("recovery", "availability")
    )
    record = told(story)
    plan = {**record.plan, "experiment": {"title": "story"}, **changes}
    run = laid(replace(record, plan=plan), root)
    assert holdfast("judge", run.folder).code in (0, 1, 3)
    return run.folder


@pytest.fixture
def six(tmp_path: Path) -> list[Path]:
    """Six accepted runs, with outages of 1.0 to 1.5 s."""
    return [lay(tmp_path, 1.0 + n / 10) for n in range(6)]


def test_a_run_that_slid_fails_the_gate_though_its_promise_holds(six: list[Path]) -> None:
    slow = lay(six[0].parent.parent, 12.0)
    ended = holdfast("compare", slow, "--gate", "--json")
    assert ended.code == 1
    found = json.loads(ended.stdout)
    assert len(found["earlier"]) == 6
    assert {one["name"]: one["slid"] for one in found["slides"]}["recovery"] is True
    assert holdfast("compare", slow).code == 0  # without the gate it only says so
    assert "recovery" in holdfast("compare", slow).stdout


def test_a_run_like_the_others_passes_the_gate(six: list[Path]) -> None:
    ended = holdfast("compare", six[5], "--gate", "--json")
    found = json.loads(ended.stdout)
    assert ended.code == 0, found
    assert [one["slid"] for one in found["slides"]] == [False] * 3
    assert [Path(one) for one in found["earlier"]] == six[4::-1]


def test_only_accepted_runs_of_the_same_kind_count(six: list[Path]) -> None:
    root = six[0].parent.parent
    lay(root, 1.0, control="null")
    lay(root, 1.0, experiment={"title": "another"})
    lay(root, 1.0, environment={**told().plan["environment"], "name": "elsewhere"})
    lay(root, 38.0)  # customers never recovered: not accepted
    last = lay(root, 1.2)
    found = json.loads(holdfast("compare", last, "--json").stdout)
    assert [Path(one) for one in found["earlier"]] == six[::-1]


def test_too_few_runs_cannot_pass_the_gate(six: list[Path]) -> None:
    ended = holdfast("compare", six[4], "--gate")
    assert ended.code == 3
    assert "only 4 accepted runs of the same kind lie beside it: 5 are needed" in ended.stdout


def test_the_last_five_are_the_newest_five(six: list[Path]) -> None:
    last = lay(six[0].parent.parent, 1.2)
    found = json.loads(holdfast("compare", last, "--last", "5", "--json").stdout)
    assert [Path(one) for one in found["earlier"]] == six[:0:-1]


@pytest.mark.parametrize("changed", [0, 5], ids=["an earlier run", "the run itself"])
@pytest.mark.parametrize("name", ["observations.json", "findings.json", "samples/customers.csv"])
def test_what_was_changed_since_it_was_judged_is_not_compared(
    six: list[Path], changed: int, name: str
) -> None:
    path = six[changed] / name
    path.write_text(path.read_text() + "\n")
    ended = holdfast("compare", six[5], "--gate")
    assert ended.code == 2
    assert f"{name}: not as manifest.json has it" in ended.stderr


def test_a_control_run_is_not_compared(tmp_path: Path) -> None:
    folder = lay(tmp_path, 1.0, control="null")
    assert "it is a control run (null)" in refused_after_progress(folder)


def refused_after_progress(folder: Path) -> str:
    ended = holdfast("compare", folder)
    assert ended.code == 2
    return ended.stderr


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    ended = holdfast("compare", tmp_path)
    assert ended.code == 2
    assert "it is not a run folder" in ended.stderr
