"""Several runs: none is dropped, the gravest decides, and controls say what they have shown."""

import json
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli import several
from holdfast.documents import Control
from holdfast.errors import HoldfastError, Refused, Unreachable
from holdfast.model import Interval
from holdfast.plan import Plan
from holdfast.suite import (
    Controls,
    Outcome,
    Ran,
    Repeats,
    combined,
    judged_defect,
    judged_null,
    once,
    repeat,
)
from holdfast.verdict import Verdict

HELD, BROKEN, UNKNOWN = Verdict.HELD, Verdict.BROKEN, Verdict.UNKNOWN


def row(code: int = 0, recovery: Interval | None = None, **more: Any) -> Ran:
    verdicts = {"recovery": {0: HELD, 1: BROKEN}.get(code, UNKNOWN), "money": HELD}
    return Ran("x", "", code, "runs/x/1", verdicts, recovery_s=recovery, **more)


def repeats(*rows: Ran, wanted: int = 10) -> Repeats:
    return Repeats("x", wanted, 60.0, rows)


# ── repeats ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0, 0, 0], 0),
        ([0, 2, 0], 2),
        ([0, 6, 2], 6),
        ([0, 3, 6], 3),
        ([0, 1, 3], 1),
        ([4, 1, 0], 4),
        ([4, 5, 1], 5),
        ([], 3),
        ([0, 7, 0], 3),
    ],
)
def test_the_gravest_decides(codes: list[int], code: int) -> None:
    assert combined(codes) == code


def test_ten_held_repeats_bound_the_share_that_is_too_slow() -> None:
    """None of ten over 60 s: at most 26 % of all are (study, section 3.3)."""
    found = repeats(*(row(0, Interval(9.0, 10.0 + n / 10)) for n in range(10)))
    assert found.claim
    assert (found.claim.trials, found.claim.over, found.claim.unknown) == (10, 0, 0)
    assert found.claim.share_over == pytest.approx(0.2589, abs=1e-4)
    assert found.claim.bound_s == pytest.approx(11.4, abs=0.1)
    assert found.exit_code == 0


def test_a_repeat_that_failed_or_is_unknown_is_not_dropped() -> None:
    found = repeats(row(0, Interval(1, 2)), row(3), row(1, Interval(75, inf)), row(6))
    assert found.claim
    assert (found.claim.trials, found.claim.over, found.claim.unknown) == (4, 1, 2)
    assert found.claim.verdict is BROKEN
    assert found.claim.bound_s is None
    assert found.exit_code == 1
    assert found.counts()["recovery"] == {HELD: 1, BROKEN: 1, UNKNOWN: 2}


def test_without_a_promised_recovery_nothing_is_claimed() -> None:
    assert Repeats("x", 2, None, (row(0),)).claim is None


def test_a_first_plan_that_is_refused_starts_nothing(tmp_path: Path) -> None:
    def make() -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next(repeat(make, 3, tmp_path / "runs", lambda *_: None))
    assert not (tmp_path / "runs").exists()


def test_each_repeat_has_its_row(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = repeats(row(0, Interval(9, 10), bad_seconds=0.5), row(1, Interval(75, inf)), row(4))
    several.show_repeats(found, tmp_path / "repeat.json", as_json=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 │ 0 │ 9.00 to 10.00 s │ 0.50" in printed
    assert "2 │ 1 │ > 75.00 s" in printed
    assert "3 │ 4 │ unknown" in printed
    assert "recovery: 1 of 3 over 60 s, 1 unknown" in printed
    assert "ended after 3 of 10" in printed
    assert "exit code 4, the gravest of all" in printed


def test_the_summary_is_json_also_when_nobody_recovered(tmp_path: Path) -> None:
    path = tmp_path / "repeat.json"
    several.keep(path, repeats(row(1, Interval(75, inf)), row(1, Interval(75, inf))).record())
    written = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert written["repeats"][0]["recovery_s"] == {"low": 75, "high": None}
    assert written["exit_code"] == 1


# ── controls ──────────────────────────────────────────────────────────────────────────────────────


def null(code: int, **verdicts: Verdict) -> Ran:
    return Ran("x", "null", code, "runs/x/1", verdicts or {"money": HELD})


def sabotaged(code: int, unshown: tuple[str, ...] = (), **verdicts: Verdict) -> Ran:
    return Ran("x", "sabotage d", code, "runs/x/1", verdicts, unshown)


def controls(*outcomes: Outcome, wanted: int = 0) -> Controls:
    return Controls(outcomes, wanted or len(outcomes))


@pytest.mark.parametrize(
    ("ran", "quiet"),
    [
        (null(3), True),
        (null(1, money=BROKEN), False),
        (null(4), None),
        (null(6), None),
        (null(3, money=UNKNOWN), None),
        (null(3, money=HELD, recovery=UNKNOWN), None),
        (Ran("x", "null", 3, "runs/x/1", {}), None),
    ],
)
def test_without_a_fault_nothing_may_turn_red(ran: Ran, quiet: bool | None) -> None:
    assert judged_null(ran).as_it_must is quiet


@pytest.mark.parametrize(
    ("ran", "as_it_must"),
    [
        (sabotaged(1, money=BROKEN, recovery=HELD), True),
        (sabotaged(1, money=BROKEN, recovery=BROKEN), True),
        (sabotaged(1, money=HELD, recovery=BROKEN), False),
        (sabotaged(3, money=HELD), False),
        (sabotaged(3, money=UNKNOWN), False),
        (sabotaged(4, money=UNKNOWN), None),
        (sabotaged(6), None),
    ],
)
def test_a_defect_has_to_turn_its_objective_red(ran: Ran, as_it_must: bool | None) -> None:
    assert judged_defect(ran, Control(broken=["money"])).as_it_must is as_it_must


@pytest.mark.parametrize(
    ("ran", "as_it_must"),
    [
        (sabotaged(3, ("struck",), money=UNKNOWN), True),
        (sabotaged(3, money=UNKNOWN), None),  # by something else than the defect
        (sabotaged(3, ("struck",), money=UNKNOWN, recovery=HELD), False),
        (sabotaged(1, money=BROKEN), False),
        (sabotaged(6), None),
    ],
)
def test_a_defect_may_have_to_make_everything_unknown(ran: Ran, as_it_must: bool | None) -> None:
    assert judged_defect(ran, Control(exit_code=3)).as_it_must is as_it_must


def test_a_defect_may_have_to_be_refused() -> None:
    """By a guard: a Prometheus that does not answer ends a run with the same exit code."""
    refused, missing = replace(sabotaged(6), refused=True), sabotaged(6)
    assert judged_defect(refused, Control(exit_code=6)).as_it_must is True
    assert judged_defect(missing, Control(exit_code=6)).as_it_must is None
    assert judged_defect(sabotaged(1, money=BROKEN), Control(exit_code=6)).as_it_must is False
    assert judged_defect(sabotaged(2), Control(exit_code=6)).as_it_must is None


@pytest.mark.parametrize(("error", "refused"), [(Refused, True), (Unreachable, False)])
def test_a_missing_system_is_no_refusal(
    error: type[HoldfastError], refused: bool, tmp_path: Path
) -> None:
    def make() -> Plan:
        raise error("zone a", "it cannot be", "Try another")

    ran = once(make, tmp_path, lambda *_: None, ("drop-zone", "sabotage one-zone"))
    assert (ran.exit_code, ran.refused) == (6, refused)


def test_what_was_never_red_is_said() -> None:
    """A probe that never goes red may be one that cannot."""
    done = controls(
        judged_null(null(3, money=HELD, recovery=HELD)),
        judged_defect(sabotaged(1, money=BROKEN, recovery=HELD), Control(broken=["money"])),
        judged_defect(sabotaged(3, ("exposed", "struck"), money=UNKNOWN), Control(exit_code=3)),
    )
    assert done.never_red() == ["recovery", "witness lasting"]
    assert done.exit_code == 0


def test_the_rate_of_false_alarms_has_an_exact_bound() -> None:
    """0 of 10: at most 26 %; a run that was not judged, or is unknown, does not count."""
    quiet = tuple(judged_null(null(3)) for _ in range(10))
    others = judged_null(null(4)), judged_null(null(3, money=UNKNOWN))
    alarms, runs, bound = controls(*quiet, *others).false_alarms()
    assert (alarms, runs) == (0, 10)
    assert bound == pytest.approx(0.2589, abs=1e-4)
    assert controls().false_alarms() == (0, 0, 1.0)


def test_how_controls_end() -> None:
    good, alarm = judged_null(null(3)), judged_null(null(1, money=BROKEN))
    untold, remains = judged_null(null(4)), judged_null(null(5))
    assert controls(good).exit_code == 0
    assert controls(good, alarm).exit_code == 1
    assert controls(good, untold).exit_code == 4
    assert controls(alarm, remains).exit_code == 5
    assert controls().exit_code == 3


def test_controls_that_ended_early_are_no_pass() -> None:
    """Red as it must, and the fault may remain; or fewer than were wanted."""
    red = judged_defect(sabotaged(5, money=BROKEN), Control(broken=["money"]))
    assert red.as_it_must is True
    assert controls(red, wanted=3).exit_code == 5
    aborted = judged_defect(sabotaged(4, money=BROKEN), Control(broken=["money"]))
    assert controls(aborted).exit_code == 4
    assert controls(judged_null(null(3)), wanted=2).exit_code == 3


def test_controls_as_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = judged_defect(sabotaged(3, money=HELD), Control(broken=["money"]))
    several.show_controls(controls(judged_null(null(3)), wrong, wanted=3), tmp_path, as_json=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert "x │ null │ 3 │ nothing │ nothing red │ yes" in printed
    assert "x │ sabotage d │ 3 │ nothing │ red: money │ NO" in printed
    assert "false alarms: 0 of 1 runs without a fault; the rate is at most 95%" in printed
    assert "never red: money" in printed
    assert "ended after 2 of 3" in printed
