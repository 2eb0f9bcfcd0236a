"""For how long, and when: the hold, the hours of the owning team, the change freeze."""

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from holdfast.documents import Environment, Hours, Policy, read_calendar
from holdfast.errors import InvalidInput, Refused

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def check_hold(at_most: float, policy: Policy) -> str:
    """Is the fault held no longer than the policy allows? Both in seconds."""
    if at_most > policy.max_hold:
        raise Refused(
            "hold",
            f"the fault could be held for {at_most:g} s, the policy allows {policy.max_hold:g} s",
            "Lower `at_most`, or raise `policy.max_hold` (30m at most)",
        )
    return f"{at_most:g} s at most, of {policy.max_hold:g} s"


def check_windows(environment: Environment, now: datetime, seconds: float) -> str:
    """Would the whole run lie inside hours in which the owning team works?"""
    windows = environment.policy.windows
    if not windows and environment.kind != "production":
        return f"at any time in {environment.kind}"
    if not windows:
        raise Refused(
            "time", "production needs `policy.windows`, and there is none", "Say when runs may be"
        )
    end = now + timedelta(seconds=seconds)
    for one in windows:
        if _inside(one, now, end):
            return f"inside {_words(one)}"
    local = now.astimezone(ZoneInfo(windows[0].zone))
    raise Refused(
        "time",
        f"a run of up to {seconds / 60:.0f} min from {local:%a %H:%M} {windows[0].zone} is not"
        f" inside {'; '.join(map(_words, windows))}",
        "Start it then, while those are at work who own the service",
    )


def _inside(window: Hours, start: datetime, end: datetime) -> bool:
    first, last = (one.astimezone(ZoneInfo(window.zone)) for one in (start, end))
    opens, closes = window.hours.split("-")
    same_day = first.date() == last.date() and _DAYS[first.weekday()] in window.days
    return same_day and opens <= f"{first:%H:%M}" and f"{last:%H:%M:%S}" <= f"{closes}:00"


def _words(window: Hours) -> str:
    return f"{','.join(window.days)} {window.hours} {window.zone}"


def check_freeze(environment: Environment, now: datetime, seconds: float) -> str:
    """Is no day of the run frozen? A calendar that nobody can read, or an old one, is frozen."""
    path = environment.policy.freeze
    if path is None and environment.kind != "production":
        return f"no calendar is needed in {environment.kind}"
    if path is None:
        raise Refused(
            "change freeze",
            "production needs a calendar, and an unknown one counts as frozen",
            "Name it as `policy.freeze`",
        )
    try:
        calendar = read_calendar(Path(path))
    except InvalidInput as error:
        raise Refused(
            "change freeze",
            f"its calendar cannot be read, which counts as frozen ({error.thing}: {error.reason})",
            "Mend the calendar",
        ) from None
    zone = ZoneInfo(calendar.zone)
    first = now.astimezone(zone).date()
    last = (now + timedelta(seconds=seconds)).astimezone(zone).date()
    if last > date.fromisoformat(calendar.valid_until):
        raise Refused(
            "change freeze",
            f"its calendar says nothing after {calendar.valid_until}, which counts as frozen",
            "Let its owner bring it up to date",
        )
    for one in calendar.frozen:
        if date.fromisoformat(one.first) <= last and first <= date.fromisoformat(one.last):
            raise Refused(
                "change freeze",
                f"{one.first} to {one.last} is frozen: {one.why}",
                "Wait until it is over",
            )
    return f"{first} is not frozen; the calendar is valid until {calendar.valid_until}"
