"""For how long a fault is held, in which hours, and on which days nothing is changed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast import guard
from holdfast.documents import Environment
from holdfast.errors import InvalidInput
from tests.test_guard import policy, refused
from tests.test_guard_consent import environment

OFFICE = {
    "days": ["mon", "tue", "wed", "thu", "fri"],
    "hours": "09:00-17:00",
    "zone": "America/Sao_Paulo",  # three hours behind UTC in 2026
}
MONDAY = "2026-03-02"
SUNDAY = "2026-03-01"


def at(day: str, time: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(f"{day}T{time}+00:00").astimezone(UTC)


def test_a_fault_is_held_for_five_minutes_at_most_unless_the_policy_says_otherwise() -> None:
    guard.check_hold(300.0, policy())
    words = refused(lambda: guard.check_hold(301.0, policy()))
    assert "could be held for 301 s, the policy allows 300 s" in words
    guard.check_hold(1800.0, policy(max_hold="30m"))


@pytest.mark.parametrize(
    ("day", "time", "minutes", "inside"),
    [
        (MONDAY, "12:00:00", 5, True),
        (MONDAY, "11:59:59", 5, False),  # 08:59:59 there
        (MONDAY, "19:55:00", 5, True),  # until 17:00 there
        (MONDAY, "19:55:01", 5, False),
        (MONDAY, "02:00:00", 5, False),  # still Sunday there
        (SUNDAY, "15:00:00", 5, False),
    ],
)
def test_the_whole_run_lies_inside_the_hours_of_the_team(
    day: str, time: str, minutes: float, inside: bool
) -> None:
    there = environment("laboratory", windows=[OFFICE])
    if inside:
        guard.check_windows(there, at(day, time), minutes * 60)
    else:
        words = refused(lambda: guard.check_windows(there, at(day, time), minutes * 60))
        assert "is not inside mon,tue,wed,thu,fri 09:00-17:00 America/Sao_Paulo" in words


def test_a_run_over_midnight_is_inside_no_window() -> None:
    whole = {"days": ["mon", "tue"], "hours": "00:00-24:00", "zone": "UTC"}
    there = environment("laboratory", windows=[whole])
    guard.check_windows(there, at(MONDAY, "23:50:00"), 500)
    refused(lambda: guard.check_windows(there, at(MONDAY, "23:59:00"), 500))


def test_one_of_several_windows_is_enough() -> None:
    night = {"days": ["sun"], "hours": "12:00-13:00", "zone": "UTC"}
    there = environment("production", windows=[OFFICE, night])
    assert "sun 12:00-13:00 UTC" in guard.check_windows(there, at(SUNDAY, "12:00:00"), 60)


def test_production_without_windows() -> None:
    now = at(MONDAY, "12:00:00")
    words = refused(lambda: guard.check_windows(environment("production"), now, 60))
    assert "production needs `policy.windows`" in words
    guard.check_windows(environment("staging"), now, 60)


@pytest.mark.parametrize("change", [{"zone": "America/Nowhere"}, {"days": []}, {"hours": "9-17"}])
def test_a_window_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="windows"):
        environment("laboratory", windows=[{**OFFICE, **change}])


# ── change freeze ─────────────────────────────────────────────────────────────────────────────────

CALENDAR: dict[str, Any] = {
    "zone": "America/Sao_Paulo",
    "valid_until": "2026-12-31",
    "frozen": [{"first": "2026-03-02", "last": "2026-03-03", "why": "carnival"}],
}


def frozen_by(folder: Path, content: object, kind: str = "laboratory") -> Environment:
    """An environment with this calendar."""
    path = folder / "freeze.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return environment(kind, freeze=str(path))


@pytest.mark.parametrize(
    ("day", "time", "frozen"),
    [
        ("2026-03-02", "02:50:00", False),  # the first of March there
        ("2026-03-02", "02:55:01", True),  # its end is on the second
        ("2026-03-03", "15:00:00", True),
        ("2026-03-04", "02:59:59", True),
        ("2026-03-04", "03:00:00", False),
    ],
)
def test_no_day_of_the_run_may_be_frozen(tmp_path: Path, day: str, time: str, frozen: bool) -> None:
    there = frozen_by(tmp_path, CALENDAR)
    if frozen:
        words = refused(lambda: guard.check_freeze(there, at(day, time), 300))
        assert "2026-03-02 to 2026-03-03 is frozen: carnival" in words
    else:
        assert "is not frozen" in guard.check_freeze(there, at(day, time), 300)


def test_an_outdated_calendar_counts_as_frozen(tmp_path: Path) -> None:
    there = frozen_by(tmp_path, CALENDAR)
    guard.check_freeze(there, at("2026-12-31", "12:00:00"), 300)
    words = refused(lambda: guard.check_freeze(there, at("2027-01-01", "12:00:00"), 300))
    assert "says nothing after 2026-12-31, which counts as frozen" in words


@pytest.mark.parametrize(
    "content",
    [
        "",
        "frozen: [",
        {**CALENDAR, "valid_until": "soon"},
        {**CALENDAR, "valid_until": "2026-13-01"},
        {**CALENDAR, "frozen": [{"first": "2026-03-03", "last": "2026-03-02", "why": "x"}]},
        {**CALENDAR, "misspelt": 1},
    ],
    ids=["empty", "not YAML", "no day", "no such day", "the wrong way round", "another key"],
)
def test_a_calendar_that_cannot_be_read_counts_as_frozen(tmp_path: Path, content: object) -> None:
    there = frozen_by(tmp_path, content)
    words = refused(lambda: guard.check_freeze(there, at("2026-06-01", "12:00:00"), 300))
    assert "cannot be read, which counts as frozen" in words


def test_a_calendar_that_is_not_there_counts_as_frozen(tmp_path: Path) -> None:
    there = environment("laboratory", freeze=str(tmp_path / "nowhere.yaml"))
    words = refused(lambda: guard.check_freeze(there, at("2026-06-01", "12:00:00"), 300))
    assert "No such file" in words


def test_production_without_a_calendar() -> None:
    now = at("2026-06-01", "12:00:00")
    words = refused(lambda: guard.check_freeze(environment("production"), now, 300))
    assert "an unknown one counts as frozen" in words
    guard.check_freeze(environment("laboratory"), now, 300)
