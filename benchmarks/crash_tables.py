"""What the parts of crash.py found, as tables against their goals."""

from collections.abc import Callable
from typing import Any

from benchmarks import crash_ends, crash_results, machine
from benchmarks.crash_results import Table
from benchmarks.crash_trials import POINTS

GOAL_KILLED_S = 2.0  # p99: runner killed, host alive
GOAL_HALF_S, GOAL_SIGNAL_S = 1.0, 5.0  # p50 and p99: first signal or stop to verified gone
GOAL_HOST_S = 30.0  # p99: host gone

type Found = list[dict[str, Any]]


def kill_tables(found: Found) -> list[Table]:
    """A row for each instant."""
    rows = []
    for point, words in [*POINTS.items(), ("all", "")]:
        mine = [one for one in found if point in (one["point"], "all")]
        rows.append([f"{point} {words}".strip(), str(len(mine)), *_counts(mine), *_gone(mine)])
    head = ["killed", "trials", "not there", "fault left", "log damaged", "lock kept", "fault seen"]
    every = [one["gone_s"] for one in found if one["gone_s"] is not None]
    late = crash_results.percentile(every, 0.99)
    verdict = machine.against(late, GOAL_KILLED_S)
    notes = [
        "gone: seconds until the fault was gone, of those trials in which one was seen afterwards",
        f"p99 {late:.3f} s, goal {GOAL_KILLED_S:.0f} s: {verdict}",
    ]
    return [Table("SIGKILL of the runner", [*head, "gone p50", "p99", "max"], rows, notes)]


def _counts(mine: Found) -> list[str]:
    wrong = [
        [one for one in mine if not one["reached"]],
        [one for one in mine if one["left"]],
        [one for one in mine if one["log"]],
        [one for one in mine if one["free_s"] is None],
    ]
    return [str(len(one)) for one in wrong]


def _gone(mine: Found) -> list[str]:
    seen = [one["gone_s"] for one in mine if one["gone_s"] is not None]
    return [str(len(seen)), *crash_results.spread(seen)]


def end_tables(found: Found) -> list[Table]:
    """A row for each end, a column for each way to run."""
    cells = {(one["end"], one["way"]): _end(one) for one in found}
    ways = [one.name for one in crash_ends.WAYS]
    rows = [
        [end.name, *(cells.get((end.name, way), "-") for way in ways)] for end in crash_ends.ENDS
    ]
    notes = [
        (
            "each cell: exit code, journal, and seconds from the first signal (or from the probe's"
            " failure) until the fault was gone; LEFT when it was there 10 s after the last process"
            " of the run had ended"
        ),
        (
            f"where two signals come, a rollback of {crash_ends.STEP_S:.0f} s stands before the"
            " undo in the columns of `chaos run`"
        ),
    ]
    return [Table("The same ends with Chaos Toolkit alone", ["end", *ways], rows, notes)]


def _end(one: dict[str, Any]) -> str:
    if not one["reached"]:
        return "no fault took effect"
    gone = "LEFT" if one["left"] else f"gone in {one['gone_s']:.2f} s"
    return f"{one['exit']}, {one['journal']}, {gone}"


def latency_tables(found: Found) -> list[Table]:
    """A row for each kind of end."""
    rows = []
    for kind in dict.fromkeys(one["kind"] for one in found):
        mine = [one for one in found if one["kind"] == kind]
        times = [max(one["gone_s"], one["verified_s"] or 0.0) for one in mine]
        half, most = (crash_results.percentile(times, share) for share in (0.5, 0.99))
        verdicts = [machine.against(half, GOAL_HALF_S), machine.against(most, GOAL_SIGNAL_S)]
        left = str(sum(bool(one["left"]) for one in mine))
        rows.append([kind, str(len(mine)), left, *crash_results.spread(times), "/".join(verdicts)])
    goal = f"p50 <= {GOAL_HALF_S:.0f} s / p99 <= {GOAL_SIGNAL_S:.0f} s"
    head = ["end of the run", "trials", "fault left", "p50", "p99", "max", goal]
    notes = [
        (
            "seconds from the first signal, or from the stop on the lock, until the fault was gone"
            " and the run had read that back"
        ),
        (
            "held by an activity: Chaos Toolkit sleeps a `pauses.after` to its end also when"
            " SIGTERM came in the activity before it, with the fault in place; holdfast refuses"
            " pauses"
        ),
    ]
    return [Table("First signal, or stop, to verified gone", head, rows, notes)]


def host_tables(found: Found) -> list[Table]:
    """One row."""
    times = [one["gone_s"] for one in found]
    most = crash_results.percentile(times, 0.99)
    left = str(sum(bool(one["left"]) for one in found))
    cells = [str(len(found)), str(3 * len(found)), left, *crash_results.spread(times)]
    goal = f"p99 <= {GOAL_HOST_S:.0f} s"
    head = ["killed at once", "trials", "faults", "trials with a fault left", "p50", "p99", "max"]
    row = ["runner and watchdog", *cells, machine.against(most, GOAL_HOST_S)]
    free = [one["free_s"] + one["gone_s"] for one in found if one["free_s"] is not None]
    notes = [
        "a slow gateway, a cut one and a dropped zone each; until the last of them was gone",
        f"the lock was free again after {' / '.join(crash_results.spread(free))} (p50, p99, max)",
    ]
    return [Table("Host gone: the reaper", [*head, goal], [row], notes)]


TABLES: dict[str, Callable[[Found], list[Table]]] = {
    "kills": kill_tables,
    "ends": end_tables,
    "latency": latency_tables,
    "host": host_tables,
}
