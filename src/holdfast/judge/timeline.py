"""When what happened: the instants of a run, read from its events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from holdfast.clock import SECOND, Anchor, seconds
from holdfast.errors import InvalidInput
from holdfast.judge import observed
from holdfast.model import Json, Record, Window

_RUNNER = "runner"
_WAIT = ("holdfast.probes.recovery", "wait")
_HOLD_SLACK_S = 1.0
_LONGEST_S = 7 * 86_400.0
_DRIFT_MAX_S = 0.25  # beyond it the second source cannot be aligned (DESIGN section 4, Clock)


@dataclass(frozen=True)
class Timeline:
    """The instants that everything is measured from, in monotonic nanoseconds.

    `undo_ns` is when the undo began; for a fault that cannot be undone, when the wait ended.
    `looks` holds, by phase, what the run saw when it decided whether the phase should grow.
    `customers_ns` is when customers began; `drift_s` by how much the wall clock moved against the
    monotonic one, at most, as any event up to the last anchor tells.
    """

    start: Anchor
    end: Anchor
    fault: Json | None
    undo_ns: int
    undone_ns: int
    stop_ns: int
    aborted: str
    remains: str
    ended_early: str
    customers_ns: int
    drift_s: float
    looks: Mapping[str, Json] = field(default_factory=dict)

    @property
    def began_ns(self) -> int:
        """T0: the start of the call that injected; the end of the run when none did."""
        return int(self.fault["began_ns"]) if self.fault else self.stop_ns

    @property
    def without_fault(self) -> bool:
        """Is it a control run that put an instant in the fault's place (`actions.null`)?"""
        return self.fault is not None and self.fault["kind"] == "null"

    @property
    def before(self) -> Window:
        """The steady state before the fault."""
        return Window(self.start.mono_ns, self.began_ns)

    @property
    def served(self) -> Window:
        """The part of it in which customers came."""
        return Window(min(self.customers_ns, self.began_ns), self.began_ns)

    @property
    def hold(self) -> Window:
        """The fault, from its effect to its undo."""
        return Window(self.began_ns, max(self.began_ns, self.undo_ns))

    @property
    def after(self) -> Window:
        """From the verified undo until customers stopped."""
        return Window(self.undone_ns, max(self.undone_ns, self.stop_ns))

    @property
    def clock_moved(self) -> bool:
        """Did it move by more than a second source can be aligned over?"""
        return self.drift_s > _DRIFT_MAX_S

    def wall_s(self, mono_ns: int) -> float:
        """A monotonic instant in Unix seconds."""
        return self.start.to_wall_ns(mono_ns) / SECOND


def read(record: Record) -> Timeline:
    """The instants of a run, as far as it came."""
    events = record.events
    anchors = [Anchor(one["mono_ns"], one["wall_ns"]) for one in _named(events, "anchor")]
    if not anchors:
        raise InvalidInput("events.jsonl", "it holds no anchor", "Judge a run that has begun")
    faults = _named(events, "fault")
    stop_ns = _phase(events, "drain", int(events[-1]["mono_ns"]))
    undo_ns = _first_ns(events, "undo_began", _phase(events, "after", stop_ns))
    undone_ns = _first_ns(events, "undo_verified", undo_ns)
    if observed.is_observed(record):
        faults = [observed.fault(record, anchors[0].mono_ns)]
        undo_ns, undone_ns = observed.ended(record, stop_ns)
    broke_off = "" if _phases(events, "end") else "the record breaks off before the run's end"
    if not broke_off and anchors[0] is anchors[-1]:
        broke_off = "the record breaks off before the clocks were read at the run's end"
    before_ns = _phase(events, "before", anchors[0].mono_ns)
    customers_ns = int(record.load.get("start_ns", before_ns))
    instants = [*(int(one["mono_ns"]) for one in events), customers_ns]
    if max(instants) - min(instants) > _LONGEST_S * SECOND:  # seconds are counted one by one
        raise InvalidInput("the run", "its instants lie over a week apart", "Do not trust this run")
    return Timeline(
        start=anchors[0],
        end=anchors[-1],
        fault=faults[0] if faults else None,
        undo_ns=min(undo_ns, stop_ns),
        undone_ns=min(undone_ns, stop_ns),
        stop_ns=stop_ns,
        aborted=_why(events, "abort") or broke_off,
        remains=_remains(events, faults, broke_off),
        ended_early=_why(events, "ended_early") or _cut_short(record, faults, undo_ns),
        customers_ns=customers_ns,
        drift_s=_drift_s(events, anchors),
        looks={str(one["phase"]): one for one in reversed(_named(events, "look"))},
    )


def _cut_short(record: Record, faults: list[Json], undo_ns: int) -> str:
    """Why the fault was not held as long as was planned; empty when it was."""
    if not faults or observed.is_observed(record):
        return ""
    after_ns = _phase(record.events, "after", int(record.events[-1]["mono_ns"]))
    undos = [one for one in _named(record.events, "undo_began") if one["mono_ns"] < after_ns]
    by = str(undos[0].get("by", _RUNNER)) if undos else _RUNNER
    if by != _RUNNER:
        return f"the fault was undone by another than the runner ({by})"
    held_s = (undo_ns - int(faults[0]["began_ns"])) / SECOND
    asked_s = max(_at_least(record), default=0.0)
    if held_s < asked_s - _HOLD_SLACK_S:
        return f"the fault was held for {held_s:.1f} s, where {asked_s:g} s were planned"
    return ""


def _at_least(record: Record) -> Iterator[float]:
    """How long each wait of the experiment holds the fault at least, in seconds."""
    for activity in record.plan.get("experiment", {}).get("method", []):
        provider = activity.get("provider", {})
        if (provider.get("module"), provider.get("func")) == _WAIT:
            yield seconds(provider["arguments"]["at_least"])


def _drift_s(events: tuple[Json, ...], anchors: list[Anchor]) -> float:
    """What was written down after the last anchor may come from another time or machine."""
    read = [Anchor(one["mono_ns"], one["wall_ns"]) for one in events if "wall_ns" in one]
    seen = [one for one in read if one.mono_ns <= anchors[-1].mono_ns or len(anchors) == 1]
    return max(abs(anchors[0].to_wall_ns(one.mono_ns) - one.wall_ns) for one in seen) / SECOND


def _remains(events: tuple[Json, ...], faults: list[Json], broke_off: str) -> str:
    """Why the fault may still be there: its last undo failed, or nothing says that it was made."""
    ends = _named(events, "undo_verified") + _named(events, "undo_failed")
    last = max(ends, key=lambda one: int(one["seq"]), default=None)
    if last:
        return str(last["why"]) if last["event"] == "undo_failed" else ""
    if faults:
        return "nothing says that it was undone" if faults[0]["reversible"] else ""
    return broke_off if _phases(events, "fault") else ""


def _named(events: tuple[Json, ...], name: str) -> list[Json]:
    return [one for one in events if one["event"] == name]


def _first_ns(events: tuple[Json, ...], name: str, otherwise: int) -> int:
    return next((int(one["mono_ns"]) for one in _named(events, name)), otherwise)


def _phases(events: tuple[Json, ...], name: str) -> list[Json]:
    return [one for one in _named(events, "phase") if one["name"] == name]


def _phase(events: tuple[Json, ...], name: str, otherwise: int) -> int:
    return next((int(one["mono_ns"]) for one in _phases(events, name)), otherwise)


def _why(events: tuple[Json, ...], name: str) -> str:
    return next((str(one["why"]) for one in _named(events, name)), "")
