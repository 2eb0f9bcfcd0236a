"""Shards' files as one record, without loss: `python -m holdfast.load FOLDER --merge`.

Every request of the schedule has to be there exactly once. Instants of other machines are moved by
their wall clocks, so those have to agree as well as a recovery time is to be known.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from holdfast.clock import SECOND, Anchor
from holdfast.errors import InvalidInput
from holdfast.load.schedule import schedule
from holdfast.load.shards import Shard
from holdfast.model import Sample
from holdfast.store import LOAD_PLAN, LOAD_REPORT, SAMPLES, Run, parse_sample, write_whole

_STEP = "Send the load again: what is not there cannot be judged"


def merge(run: Run) -> int:
    """Write `samples/customers.csv` and `samples/load.json` from the shards'; how many requests.

    Raises:
        InvalidInput: a shard is missing or did not end well, a request is not there exactly once,
            or the run has samples already.
    """
    if run.path(SAMPLES).exists():
        raise InvalidInput(str(run.path(SAMPLES)), "it is there already", "Merge into an empty run")
    plan, shards = run.read_json(LOAD_PLAN), _shards(run)
    reports = [run.read_json(shard.report) for shard in shards]
    here = Clock.here()
    rows: list[Sample] = []
    for shard, report in zip(shards, reports, strict=True):
        found = _samples(run, shard)
        _check(plan, shard, report, found)
        shift = here.shift_ns(report)
        rows += (_moved(one, shift) for one in found)
    rows.sort(key=lambda one: (one.done_ns, one.scheduled_ns))
    write_whole(run.path(SAMPLES), _csv(rows))
    run.write_json(LOAD_REPORT, together(reports, here))
    return len(rows)


class Clock:
    """The monotonic clock that the merged instants are of: this machine's."""

    def __init__(self, boot: str, anchor: Anchor) -> None:
        self._boot, self._anchor = boot, anchor

    @classmethod
    def here(cls) -> "Clock":
        """This machine's."""
        about = Shard(named=True).about()
        return cls(about["clock"], about["anchor"])

    def shift_ns(self, report: dict[str, Any]) -> int:
        """What is added to a shard's instants: nothing, where both ran on one machine."""
        if report["clock"] == self._boot != "unknown":
            return 0
        its = Anchor(**report["anchor"])
        return (its.wall_ns - its.mono_ns) - (self._anchor.wall_ns - self._anchor.mono_ns)

    def many(self, reports: Sequence[dict[str, Any]]) -> int:
        """How many clocks there are, this one included: who does not know theirs has their own."""
        boots = [self._boot, *(one["clock"] for one in reports)]
        known = {boot for boot in boots if boot != "unknown"}
        return len(known) + boots.count("unknown")


def _shards(run: Run) -> list[Shard]:
    """All of them, by number."""
    names = [path.name for path in run.path("samples").glob("shard-*.json")]
    if not names:
        raise InvalidInput(str(run.folder), "it has no shard's account", "Run the shards first")
    of = run.read_json(f"samples/{min(names)}")["shard"][1]
    shards = [Shard(number, of, named=True) for number in range(of)]
    for shard in shards:
        if not run.path(shard.report).exists():
            raise InvalidInput(str(run.folder), f"shard {shard.number} of {of} is missing", _STEP)
    if len(names) > of:
        raise InvalidInput(str(run.folder), f"there are more than {of} shards", _STEP)
    return shards


def _samples(run: Run, shard: Shard) -> list[Sample]:
    whole, newline, _ = run.path(shard.samples).read_text("utf-8").rpartition("\n")
    rows = csv.reader(io.StringIO(whole + newline))
    next(rows, None)
    return [sample for row in rows if (sample := parse_sample(row))]


def _check(plan: dict[str, Any], shard: Shard, report: dict[str, Any], found: list[Sample]) -> None:
    """Is every request of its part of the schedule there, once, and no other?"""
    name = f"shard {shard.number} of {shard.of}"
    if report["shard"] != [shard.number, shard.of] or report["ended"] != "stop" or report["open"]:
        why = f"it did not end well ({report['ended']}, {report['open']} open)"
        raise InvalidInput(name, why, _STEP)
    due = Counter(expected(plan, shard))
    seen = Counter((one.scheduled_ns - report["start_ns"], one.journey) for one in found)
    for wrong, what in ((due - seen, "is missing"), (seen - due, "is there too often")):
        if wrong:
            at_ns, journey = min(wrong)
            why = (
                f"a request of {journey} at {at_ns / SECOND:.6f} s {what} ({wrong.total()} in all)"
            )
            raise InvalidInput(name, why, _STEP)


def expected(plan: dict[str, Any], shard: Shard) -> Iterator[tuple[int, str]]:
    """What a shard has to send: nanoseconds since the start, and the journey."""
    end_ns = round(plan["max_seconds"] * SECOND)
    whole = takewhile(lambda one: one[0] < end_ns, schedule(plan["loads"], 0))
    return shard.mine(whole)


def _moved(one: Sample, shift_ns: int) -> Sample:
    if not shift_ns:
        return one
    return replace(
        one,
        scheduled_ns=one.scheduled_ns + shift_ns,
        sent_ns=one.sent_ns + shift_ns,
        done_ns=one.done_ns + shift_ns,
    )


def _csv(rows: Sequence[Sample]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [*Sample.__dataclass_fields__]
    writer.writerow(names)
    writer.writerows([getattr(one, name) for name in names] for one in rows)
    return text.getvalue()


def together(reports: Sequence[dict[str, Any]], here: Clock) -> dict[str, Any]:
    """One account of all: counts are added, of lateness the worst stands for all."""
    worst = {
        name: max((late for one in reports if (late := one["lateness_ms"][name])), default=None)
        for name in reports[0]["lateness_ms"]
    }
    counts: dict[str, Counter[str]] = {}
    for one in reports:
        for journey, numbers in one["journeys"].items():
            counts.setdefault(journey, Counter()).update(numbers)
    pairs = [(one, here.shift_ns(one)) for one in reports]
    sums = (
        "open",
        "requests",
        "no_socket_left",
        "late_over_50ms_count",
        "cpu_seconds",
        "cpu_seconds_of_start",
    )
    return {
        "ended": "stop",
        "start_ns": min(one["start_ns"] + shift for one, shift in pairs),
        "end_ns": max(one["end_ns"] + shift for one, shift in pairs),
        "seed": reports[0]["seed"],
        "journeys": {name: dict(numbers) for name, numbers in counts.items()},
        **{name: sum(one[name] for one in reports) for name in sums},
        "connections": dict(sum((Counter(one["connections"]) for one in reports), Counter())),
        "lateness_ms": worst,
        "late_over_50ms": [
            [at_ns + shift, late] for one, shift in pairs for at_ns, late in one["late_over_50ms"]
        ],
        "shards": list(reports),
        "clocks": here.many(reports),
    }
