"""Record and judgement → the report's content: phases, timeline, and what the charts draw."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from pathlib import Path

from holdfast.clock import SECOND
from holdfast.judge import Judgement
from holdfast.judge.timeline import Timeline
from holdfast.measure import Series
from holdfast.model import Journey, Json, Objective, Record
from holdfast.reports import words
from holdfast.reports.record import (
    Bin,
    BreakerSpan,
    Event,
    Fault,
    LatencyBin,
    Limit,
    Phase,
    Proof,
    Report,
    ShareBin,
)
from holdfast.samples import Samples

_ANNOUNCED = (
    "zones.drop through the Kubernetes API is an orderly, announced loss; a sudden loss of power"
    " was not tested"
)
_TOLD = {"phase", "fault", "undo_began", "undo_verified", "undo_failed", "abort", "ended_early"}
_TOLD |= {"not_collected", "not_watched", "mark", "ended"}


def tell(record: Record, judgement: Judgement, folder: Path) -> Report:
    """Everything that a report says about a run."""
    when, plan = judgement.timeline, record.plan
    journeys = {name: _journey(name, one) for name, one in plan["journeys"].items()}
    counts, samples = judgement.counts, Samples.of(record.samples)
    return Report(
        experiment=str(plan["name"]),
        title=words.titled(str(plan["title"]), str(plan.get("control") or "")),
        run_id=folder.name,
        folder=str(folder),
        environment=str(plan["environment"]["name"]),
        started=when.start.utc(when.start.mono_ns),
        ended=when.start.utc(when.end.mono_ns),
        origin=when.start.utc(when.start.mono_ns),
        exit_code=judgement.exit_code,
        verdict=judgement.verdict,
        findings=judgement.findings,
        observations=judgement.observations,
        objectives=tuple(_objective(name, one) for name, one in plan["objectives"].items()),
        fault=_fault(when),
        witness=tuple(Proof(one.name, one.shown, one.why) for one in judgement.proofs),
        phases=tuple(_phases(record, when)),
        timeline=tuple(_timeline(record, when)),
        requests=tuple(_requests(samples, journeys, when)),
        latency=tuple(_latency(samples, journeys, when)),
        limits=tuple(Limit(one.name, one.within, one.target) for one in journeys.values()),
        breakers=tuple(_breakers(counts.series("breaker_state") or [], when)),
        zone_share=tuple(_shares(counts.series("entrance_count") or [], "zone", when)),
        gateway_share=tuple(_shares(counts.series("gateway_calls_count") or [], "gateway", when)),
        notes=tuple(_notes(when, str(plan.get("control") or ""))),
        commands=(f"holdfast judge {folder}",),
        control=str(plan.get("control") or ""),
        versions={"holdfast": str(plan["holdfast"]), **plan["systems"]},
    )


def _journey(name: str, one: Json) -> Journey:
    return Journey(name, one["within"], one["target"], one["limit"], one["money"], one["entrance"])


def _objective(name: str, one: Json) -> Objective:
    return Objective(
        name, one["promise"], float(one["limit"]), one["unit"], one["source"], one["journey"]
    )


def _s(when: Timeline, instant_ns: int) -> float:
    return (instant_ns - when.start.mono_ns) / SECOND


def _fault(when: Timeline) -> Fault | None:
    fault = when.fault
    if fault is None:
        return None
    names = [one.get("pod") or one.get("node") or one.get("proxy") for one in fault["targets"]]
    reversible = bool(fault["reversible"])
    undone = reversible and not when.remains
    return Fault(
        kind=str(fault["kind"]),
        targets=", ".join(str(one) for one in names),
        asked=", ".join(f"{key} {value}" for key, value in fault["asked"].items() if value),
        start_s=_s(when, int(fault["began_ns"])),
        end_s=_s(when, when.undo_ns) if undone else None,
        reversible=reversible,
    )


def _phases(record: Record, when: Timeline) -> Iterator[Phase]:
    marks = [one for one in record.events if one["event"] == "phase"]
    starts = [(str(one["name"]), _s(when, int(one["mono_ns"]))) for one in marks]
    ends = [start for _, start in starts[1:]] + [_s(when, when.end.mono_ns)]
    for (name, start), end in zip(starts, ends, strict=True):
        yield Phase(name, start, end)


def _timeline(record: Record, when: Timeline) -> Iterator[Event]:
    for one in record.events:
        if one["event"] not in _TOLD:
            continue
        words = [str(one["event"]).replace("_", " ")]
        words += [str(one[key]) for key in ("name", "kind", "why", "text") if key in one]
        instant = one["began_ns"] if one["event"] == "fault" else one["mono_ns"]
        yield Event(when.start.utc(int(instant)), ": ".join(words))


def _requests(samples: Samples, journeys: Mapping[str, Journey], when: Timeline) -> Iterator[Bin]:
    counted: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for name, journey in journeys.items():
        track = samples.of_journey(name)
        for due_ns, bad in zip(track.scheduled_ns, track.bad(journey.within), strict=True):
            counted[int(_s(when, due_ns))][bad] += 1
    for second, (good, missed) in sorted(counted.items()):
        yield Bin(float(second), good, missed)


def _latency(samples: Samples, journeys: Iterable[str], when: Timeline) -> Iterator[LatencyBin]:
    seen: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for name in journeys:
        track = samples.of_journey(name)
        for due_ns, done_ns in zip(track.scheduled_ns, track.done_ns, strict=True):
            seen[int(_s(when, due_ns)), name].append((done_ns - due_ns) / SECOND)
    for (second, journey), values in sorted(seen.items()):
        values.sort()
        yield LatencyBin(
            float(second), journey, _quantile(values, 0.5), _quantile(values, 0.99), values[-1]
        )


def _quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def _breakers(states: Iterable[Series], when: Timeline) -> Iterator[BreakerSpan]:
    """The stretches in which a breaker reported a state as its own."""
    zero = when.start.wall_ns / SECOND
    for one in states:
        label, begun, last = one.labels, None, 0.0
        for at, value in one.points:
            if value == 1:
                begun, last = (at if begun is None else begun), at
            elif begun is not None:
                yield _span(label, begun - zero, at - zero)
                begun = None
        if begun is not None:
            yield _span(label, begun - zero, last - zero)


def _span(labels: Mapping[str, str], start_s: float, end_s: float) -> BreakerSpan:
    return BreakerSpan(
        labels.get("gateway", "?"), labels.get("pod", "?"), labels.get("state", "?"), start_s, end_s
    )


def _shares(counters: Iterable[Series], label: str, when: Timeline) -> Iterator[ShareBin]:
    """Who carried which share of each second, from counters sampled about once a second."""
    zero = when.start.wall_ns / SECOND
    rises: defaultdict[int, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in counters:
        name = one.labels.get(label, "")
        for (_, before), (at, after) in zip(one.points, one.points[1:], strict=False):
            if name and after > before:
                rises[int(at - zero)][name] += after - before
    for second in range(max(0, min(rises, default=0)), max(rises, default=-1) + 1):
        total = sum(rises[second].values())
        shares = {name: rise / total for name, rise in sorted(rises[second].items())}
        yield ShareBin(float(second), shares)


def _notes(when: Timeline, control: str) -> Iterator[str]:
    if control:
        yield words.caveat(control)
    if when.fault and when.fault["kind"] == "zones.drop":
        yield _ANNOUNCED
