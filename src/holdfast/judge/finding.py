"""What every promise is judged on: the run's samples by phase, the second source, the clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from typing import Any

from holdfast.arrivals import planned
from holdfast.clock import SECOND
from holdfast.judge import clocks
from holdfast.judge.counts import Counts
from holdfast.judge.timeline import Timeline
from holdfast.measure import Agreement, Entrance, Recovery, agree, lost_s, recovery
from holdfast.model import Finding, Journey, Observation, Record, Window
from holdfast.samples import Samples, Track
from holdfast.verdict import Verdict

_LATE_MAX_MS = (
    50.0  # beyond it, near an edge or at the 99th percentile, times are not to be trusted
)
_EDGE_S = 1.0
_LAST_WINDOWS = 3  # of stability, that tell how customers were served at the end


@dataclass(frozen=True)
class Judged:
    """A finding together with the observations it rests on."""

    finding: Finding
    observations: tuple[Observation, ...] = ()

    def unknown(self, why: str) -> "Judged":
        """The same, with nothing known, and the reason first."""
        text = f"{why}; otherwise: {self.finding.why}" if self.finding.why else why
        return replace(self, finding=replace(self.finding, verdict=Verdict.UNKNOWN, why=text))


@dataclass(frozen=True)
class Ground:
    """A finished run, prepared for judging."""

    record: Record
    timeline: Timeline
    journeys: dict[str, Journey]
    counts: Counts

    @classmethod
    def of(cls, record: Record, timeline: Timeline) -> "Ground":
        """Prepare a record."""
        journeys = {
            name: Journey(
                name=name,
                within=one["within"],
                target=one["target"],
                limit=one["limit"],
                money=one["money"],
                entrance=one["entrance"],
            )
            for name, one in record.plan["journeys"].items()
        }
        return cls(record, timeline, journeys, Counts(record, timeline))

    @cached_property
    def recovery(self) -> Recovery:
        """When customers were served again, from their own timestamps."""
        fault = self.timeline.fault
        assert fault is not None
        call = Window(int(fault["began_ns"]), int(fault["returned_ns"]))
        stable_s = float(self.record.plan["extension"]["stable"])

        def until(hold: Window) -> Recovery:
            return recovery(self.samples, self.journeys, call, hold, stable_s)

        return clocks.recovered(until, self.timeline.hold, self.apart_ns / SECOND)

    @cached_property
    def apart_ns(self) -> int:
        """The most that the clocks of customers' machines are apart, as far as anybody said."""
        return round((clocks.apart_s(self.record) or 0.0) * SECOND)

    @cached_property
    def samples(self) -> Samples:
        """The requests of the run, in columns."""
        return Samples.of(self.record.samples)

    def tracks(self) -> dict[str, Track]:
        """The requests of each journey."""
        return {name: self.samples.of_journey(name) for name in self.journeys}

    def due(self, window: Window) -> int:
        """How many requests were due in a window."""
        return sum(len(track.due(window)) for track in self.tracks().values())

    @cached_property
    def cut_off_ns(self) -> int:
        """When the first request was due that was open when the fault came."""
        came_ns = self.timeline.began_ns - self.apart_ns
        open_then = [
            due_ns
            for track in self.tracks().values()
            for due_ns, done_ns in zip(track.scheduled_ns, track.done_ns, strict=True)
            if due_ns < came_ns <= done_ns
        ]
        return min(open_then, default=came_ns)

    def counted(self, journey: Journey, window: Window) -> list[int]:
        """The positions of a journey's requests that were due in a window and say something of it.

        What the fault cut off says nothing of the time before, unless it had broken its promise
        by then.
        """
        track = self.samples.of_journey(journey.name)
        began_ns = self.timeline.began_ns - self.apart_ns
        since_ns = began_ns - round(journey.within * SECOND)
        return [
            one
            for one in track.due(window)
            if not since_ns < track.scheduled_ns[one] < began_ns <= track.done_ns[one]
        ]

    def phases(self) -> list[tuple[str, Window]]:
        """The stretches in which customers are to be served well: before, recovered, after.

        The second is empty when they did not recover, or nobody knows when.
        """
        hold = self.timeline.hold
        seconds = self.recovery.seconds if self.timeline.fault else None
        start_ns = end_ns = max(hold.start_ns, hold.end_ns - self.apart_ns)
        if seconds and self.recovery.recovered:
            start_ns = min(hold.start_ns + round(seconds.high * SECOND), end_ns)
        before, after = self.steady()
        return [before, ("recovered", Window(start_ns, end_ns)), after]

    def steady(self) -> tuple[tuple[str, Window], tuple[str, Window]]:
        """What was surely before the fault, and what was surely after the undo."""
        before, after = self.timeline.before, self.timeline.after
        ends_ns = max(before.start_ns, before.end_ns - self.apart_ns)
        starts_ns = min(after.start_ns + self.apart_ns, after.end_ns)
        return (
            ("before", replace(before, end_ns=ends_ns)),
            ("after", replace(after, start_ns=starts_ns)),
        )

    def incomplete(self) -> str:
        """Why there is not a record of every request that was sent; empty when there is."""
        load = self.record.load
        if load.get("ended") != "stop":
            return f"the customers' process did not end well ({load.get('ended') or 'no account'})"
        if load["open"]:
            return f"the customers' process left {load['open']} requests open"
        for name in self.journeys:
            if (counts := load["journeys"].get(name)) is None:
                return f"the customers' process gave no account of {name}"
            recorded = len(self.samples.of_journey(name))
            if recorded != counts["scheduled"]:
                return f"{recorded} of {counts['scheduled']} requests of {name} are recorded"
        return ""

    def too_few(self, window: Window, journey: str) -> str:
        """Why too little of a journey's planned load is recorded; empty when it is all there."""
        mine, due = len(self.samples.of_journey(journey).due(window)), self.planned(window, journey)
        return f"only {mine} requests of {journey} were recorded" if mine < due * 0.99 - 1 else ""

    def planned(self, window: Window, journey: str) -> float:
        """How many requests of a journey were to be sent in a window."""
        ends = (self._load_s(instant) for instant in (window.start_ns, window.end_ns))
        return planned(self.record.plan["extension"]["load"][journey], *ends)

    def missed(self, window: Window, journey: Journey) -> list[int]:
        """The positions of a journey's bad requests that were due in a window.

        What had ended when the fault came is not its own, though due after one that was open then.
        """
        track, came_ns = self.samples.of_journey(journey.name), self.timeline.began_ns
        bads = track.bad_due(window, journey.within)
        return [one for one in bads if track.done_ns[one] >= came_ns - self.apart_ns]

    def lost(self, window: Window, journey: Journey) -> tuple[list[int], float | None]:
        """The positions of a journey's bad requests that were due in a window, and their seconds.

        None in the place of the seconds when none were planned (`measure.lost_s`).
        """
        track, missed = self.samples.of_journey(journey.name), self.missed(window, journey)
        bads_s = (self._load_s(track.scheduled_ns[one]) for one in missed)
        ends = (self._load_s(instant) for instant in (window.start_ns, window.end_ns))
        return missed, lost_s(self.record.plan["extension"]["load"][journey.name], bads_s, *ends)

    def _load_s(self, instant: int) -> float:
        """An instant in seconds since the load began."""
        start_ns = int(self.record.load.get("start_ns", self.timeline.start.mono_ns))
        return (instant - start_ns) / SECOND

    def still_bad(self) -> str:
        """Words for customers who cannot be said to be well when they stopped; empty when they are.

        The rule is that of recovery: a window of good requests that lasts until then.
        """
        end_ns, stable_s = self.timeline.stop_ns, float(self.record.plan["extension"]["stable"])
        start_ns = max(self.timeline.began_ns, end_ns - round(_LAST_WINDOWS * stable_s * SECOND))
        seen = recovery(
            self.samples,
            self.journeys,
            Window(start_ns, start_ns),
            Window(start_ns, end_ns),
            stable_s,
        )
        return (
            "" if seen.recovered else f"no {stable_s:g} s are shown in which all were served well"
        )

    def distrust(self) -> str:
        """Why customers' times or counts cannot be believed; empty when they can."""
        if self.timeline.clock_moved:
            return (
                f"the wall clock moved by {self.timeline.drift_s:.3f} s during the run, so the"
                " second source cannot be aligned"
            )
        return self.incomplete() or self._late() or self._disagreement()

    def _late(self) -> str:
        """Was the load generator itself the reason for what it measured?"""
        load = self.record.load
        if load["no_socket_left"]:
            return "the customers' process ran out of sockets"
        if clocks.apart_s(self.record) is None:
            return "customers ran on several machines, whose clocks nobody compared"
        edges = [self.timeline.began_ns, self.timeline.undo_ns]
        if self.timeline.fault:
            ends = [one.end for one in self.recovery.outages]
            bounds = [bound for end in ends for bound in (end.low, end.high)]
            edges += [round(bound) for bound in bounds if isfinite(bound)]
        return too_late(load, edges, _EDGE_S + self.apart_ns / SECOND)

    def _disagreement(self) -> str:
        """Do the entrance's own counters tell the same story?"""
        if self.timeline.fault is None:
            return ""
        agreement = self.agreement
        return "" if agreement.agrees else f"the second source: {agreement.why}"

    @cached_property
    def agreement(self) -> Agreement:
        """Customers against the entrance, from the fault to the end."""
        counted, timed = (self.counts.series(f"entrance_{part}") for part in ("count", "bucket"))
        if counted is None or timed is None:
            return Agreement(None, "the entrance's counters were not collected")
        codes, apart_s = (
            {name: self.good_codes(name) for name in self.journeys},
            self.apart_ns / SECOND,
        )
        entrance = Entrance([*counted, *timed], codes, self.timeline.start, apart_s)
        window = Window(self.timeline.began_ns, self.timeline.stop_ns)
        return agree(self.samples, entrance, self.journeys, window, self.recovery)

    def good_codes(self, journey: str) -> list[int]:
        """The codes of good answers as the entrance counts them: of several steps the first's."""
        plan = self.record.plan["journeys"][journey]
        codes: list[int] = (plan["good"] or plan["steps"][0]["good"])["status"]
        return codes

    def observations(self) -> Iterable[Observation]:
        """What was observed of the run as a whole."""
        load = self.record.load
        if load:
            yield Observation(
                "generator-lateness-p99",
                load["lateness_ms"]["p99"],
                "ms",
                "customers",
                samples=len(self.record.samples),
            )
        yield Observation("clock-drift", self.timeline.drift_s, "s", "anchors of the run")


def too_late(load: Mapping[str, Any], edges: Sequence[int], near_s: float = _EDGE_S) -> str:
    """Was the load generator late all the time, or near one of these instants (monotonic ns)?

    `load` is its account of itself. Empty when it was not, else why it cannot be believed.
    """
    p99 = load["lateness_ms"]["p99"]
    if p99 is None or not p99 <= _LATE_MAX_MS:
        return f"the load generator was late: p99 {p99} ms"
    if load["late_over_50ms_count"] > len(load["late_over_50ms"]):
        return f"the load generator was late {load['late_over_50ms_count']} times"
    for scheduled_ns, late_ms in load["late_over_50ms"]:
        if any(abs(scheduled_ns - edge) < near_s * SECOND for edge in edges):
            return f"the load generator was {late_ms:.0f} ms late near an edge"
    return ""


def finding(
    name: str, ground: Ground, verdict: Verdict, why: str, *observations: Observation
) -> Judged:
    """A finding on one objective, with what it rests on."""
    promise = ground.record.plan["objectives"][name]["promise"]
    names = tuple(one.name for one in observations)
    return Judged(Finding(name, promise, verdict, why, names), observations)
