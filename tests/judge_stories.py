"""Finished runs whose truth is known, in a few lines each: what a folder would hold, as a Record.

Seconds count from the fault (`stories.ORIGIN`). `Story()` is a healthy wallet whose primary gateway
turned slow: the breakers opened at their floor, the backup carried the rest, customers saw nothing.
"""

import csv
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from holdfast.clock import SECOND
from holdfast.judge import Judgement, judge
from holdfast.measure import Series
from holdfast.model import Journey, Json, Record, Sample
from holdfast.store import SAMPLES, Run
from tests.stories import (
    BALANCE,
    ORIGIN,
    PIX,
    WALL,
    Customers,
    Service,
    counter,
    ns,
    settlement,
    transfer,
    well,
)

PODS = ("wallet-a", "wallet-b", "wallet-c")
PRIMARY, BACKUP = "pix-primary", "pix-backup"
FLOOR_S = 2.75  # 10 failures at 40/3 calls a second and replica, and 2 s until a call gives up
FAIRLY = ("recovery", "availability", "pix-latency", "failover")
JOURNEYS = {one.name: one for one in (PIX, BALANCE)}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "recovery": {"kind": "recovery", "limit": 60.0},
    "availability": {"kind": "availability", "limit": 60.0},
    "pix-latency": {"kind": "latency", "limit": 0.01, "journey": "pix"},
    "balance-latency": {"kind": "latency", "limit": 0.01, "journey": "balance"},
    "success": {"kind": "success", "limit": 0.001, "journey": "pix"},
    "failover": {"kind": "failover", "limit": 1.5, "journey": "pix"},
    "restart": {"kind": "restart", "limit": 60.0},
    "money": {"kind": "money", "limit": 0.0},
}


_LAST: list[tuple[Record, Judgement]] = []


@dataclass(frozen=True)
class Story:
    """What happened: the phases in seconds, the service that customers met, what reacted when.

    `opens` is when each breaker opened, `carried` the backup's share from then on, `back` when the
    replacement of the first pod was ready, for faults that kill it.
    """

    kind: str = "gateway.slow"
    before: float = 12.0
    hold: float = 30.0
    after: float = 12.0
    sent: tuple[str, ...] = ("pix",)
    rate: float = 40.0
    queries: float = 1.0  # of a balance, for each transfer
    service: Service = well
    opens: float | None = FLOOR_S
    carried: float = 1.0
    back: float | None = 6.0
    objectives: tuple[str, ...] = FAIRLY

    @property
    def journeys(self) -> tuple[Journey, ...]:
        """What customers did."""
        return tuple(JOURNEYS[name] for name in self.sent)

    def rate_of(self, journey: Journey) -> float:
        """Requests a second; there are `queries` balance queries for each transfer."""
        return self.rate if journey.money else self.rate * self.queries

    @property
    def start(self) -> float:
        """When customers began."""
        return -self.before

    @property
    def end(self) -> float:
        """When customers stopped."""
        return self.hold + self.after

    @property
    def kills(self) -> bool:
        """Does the fault take the first pod?"""
        return not self.kind.startswith("gateway.")


PAID = Story(objectives=(*FAIRLY, "money"))


@cache
def told(story: Story = Story()) -> Record:
    """The record of that run."""
    samples = tuple(_samples(story))
    paid = [one for one in samples if one.outcome == "ok" and one.id]
    numbers = [int(one.id.removeprefix("id-")) for one in paid]
    return Record(
        plan=plan(story),
        events=tuple(events(story)),
        samples=samples,
        load=load(samples),
        series={
            **entrance(story, samples),
            **gateway_calls(story),
            **breakers(story),
            "proxy_bytes": proxy_bytes(story),
        },
        pods=tuple(pods(story)),
        readbacks=tuple(readbacks(story)),
        transfers=tuple(transfer(number) for number in numbers),
        settlements=tuple(settlement(number) for number in numbers),
    )


def laid(record: Record, root: Path) -> Run:
    """The folder of that run."""
    run = Run.create(root, "story")
    run.write_json("plan.json", record.plan)
    for name, records in (
        ("events.jsonl", record.events),
        ("samples/pods.jsonl", record.pods),
        ("samples/readbacks.jsonl", record.readbacks),
    ):
        for one in records:
            run.append(name, dict(one))
    with run.path(SAMPLES).open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(Sample.__dataclass_fields__)
        rows.writerows(astuple(one) for one in record.samples)
    run.write_json("samples/load.json", record.load)
    for name, answer in record.series.items():
        run.write_answer(f"series/{name}.json", answer)
    for name, lines in (("transfers", record.transfers), ("settlements", record.settlements)):
        if lines is not None:
            text = "".join(json.dumps(one) + "\n" for one in lines)
            run.path(f"series/{name}.jsonl").write_text(text)
    return run


def found(record: Record) -> dict[str, str]:
    """The verdict on each promise."""
    return verdicts(judged(record))


def exit_code(record: Record) -> int:
    """How `holdfast judge` would end."""
    return judged(record).exit_code


def judged(record: Record) -> Judgement:
    """What the judge says; the last answer is kept, since tests ask several things about it."""
    if not _LAST or _LAST[0][0] is not record:
        _LAST[:] = [(record, judge(record))]
    return _LAST[0][1]


def verdicts(judgement: Judgement) -> dict[str, str]:
    """The verdict on each promise."""
    return {one.objective: str(one.verdict) for one in judgement.findings}


def why(judgement: Judgement, objective: str) -> str:
    """The reason of one finding."""
    return next(one.why for one in judgement.findings if one.objective == objective)


# ── the plan ──────────────────────────────────────────────────────────────────────────────────────


def plan(story: Story) -> dict[str, Any]:
    """The plan, as far as judging and telling read it."""
    return {
        "holdfast": "0.1.0",
        "name": "story",
        "title": "A story",
        "extension": {
            "load": {one.name: story.rate_of(one) for one in story.journeys},
            "stable": 10.0,
            "lost_requests": 0,
            "objectives": [*story.objectives],
        },
        "environment": {
            "name": "lab",
            "kubernetes": {"kubeconfig": "none", "cluster_uid": "cluster-1"},
            "prometheus": {"url": "http://127.9.0.13:9090"},
            "toxiproxy": [{"url": "http://127.9.0.11:8474"}],
            "customers": {"url": "http://127.9.0.10:8080", "values": {}},
            "workload": {"namespace": "wallet", "selector": "app=wallet-api"},
            "signals": {},
            "breakers": {PRIMARY: {"backup": BACKUP, "failures": 10, "call_limit": 2.0}},
            "policy": {"namespaces": ["wallet"]},
        },
        "journeys": {one.name: _journey(one) for one in story.journeys},
        "objectives": {
            name: {
                "promise": name,
                "unit": "",
                "source": "",
                "journey": "",
                **OBJECTIVES[name],
            }
            for name in story.objectives
        },
        "systems": {},
    }


def _journey(one: Journey) -> dict[str, Any]:
    return {
        "good": {"status": [200]},
        "within": one.within,
        "target": one.target,
        "limit": one.limit,
        "money": one.money,
        "entrance": dict(one.entrance),
    }


def planned(record: Record, **changes: Any) -> Record:
    """The record with another value in its plan: a whole member of its top level."""
    return replace(record, plan={**record.plan, **changes})


# ── events ────────────────────────────────────────────────────────────────────────────────────────


def event(at: float, what: str, /, **more: Any) -> dict[str, Any]:
    """One event at a second of the story."""
    return {"mono_ns": ns(at), "wall_ns": round((WALL + at) * SECOND), "event": what, **more}


def numbered(unnumbered: Iterable[Json]) -> tuple[Json, ...]:
    """The events in order of time, with their sequence numbers."""
    ordered = sorted(unnumbered, key=lambda one: int(one["mono_ns"]))
    return tuple({**one, "seq": number} for number, one in enumerate(ordered, 1))


def events(story: Story) -> Sequence[Json]:
    """What the runner wrote down."""
    phases = {
        "before": story.start - 0.2,
        "fault": -0.1,
        "after": story.hold + 0.05,
        "drain": story.end,
        "end": story.end + 3,
    }
    found = [event(at, "phase", name=name) for name, at in phases.items()]
    found += [event(story.start - 1, "anchor"), event(story.end + 3.1, "anchor"), fault(story)]
    if story.kind != "pods.kill":
        found += [event(story.hold, "undo_began"), event(story.hold + 0.02, "undo_verified")]
    return numbered(found)


def fault(story: Story) -> dict[str, Any]:
    """The event of the fault itself."""
    asked: dict[str, Any] = {"proxy": PRIMARY}
    if story.kind == "gateway.slow":
        asked["latency_ms"] = 8000
    if story.kind == "gateway.throttle":
        asked["rate_kbps"] = 1
    victim = {"pod": PODS[0], "namespace": "wallet", "uid": f"uid-{PODS[0]}", "zone": "a"}
    node = {"node": "node-a", "uid": "uid-node-a", "zone": "a"}
    targets: list[dict[str, Any]] = [{"proxy": PRIMARY, "toxiproxy": "http://127.9.0.11:8474"}]
    if story.kills:
        targets = [node, victim] if story.kind == "zones.drop" else [victim]
        asked = {"zone": "a"}
    return event(
        0.01,
        "fault",
        kind=story.kind,
        began_ns=ns(0),
        returned_ns=ns(0.005),
        reversible=story.kind != "pods.kill",
        targets=targets,
        asked=asked,
    )


def without(record: Record, *names: str) -> Record:
    """The record without the events of these names; a phase is called `phase:after`."""
    kept = [one for one in record.events if _called(one) not in names]
    return replace(record, events=tuple(kept))


def also(record: Record, *more: Json) -> Record:
    """The record with more events, numbered anew."""
    return replace(record, events=numbered([*record.events, *more]))


def until(record: Record, at: float) -> Record:
    """The record of a runner that was killed at that second: nothing was written any more."""
    return replace(
        record,
        events=tuple(one for one in record.events if one["mono_ns"] <= ns(at)),
        samples=tuple(one for one in record.samples if one.done_ns <= ns(at)),
        pods=tuple(one for one in record.pods if one["mono_ns"] <= ns(at)),
        readbacks=tuple(one for one in record.readbacks if one["mono_ns"] <= ns(at)),
        series={},
        transfers=None,
        settlements=None,
    )


def _called(one: Json) -> str:
    return f"phase:{one['name']}" if one["event"] == "phase" else str(one["event"])


# ── customers ─────────────────────────────────────────────────────────────────────────────────────


def _samples(story: Story) -> Iterator[Sample]:
    for journey in story.journeys:
        customers = Customers(journey, story.rate_of(journey), story.start, story.end)
        for number, sent in enumerate(customers.meet(story.service)):
            one = sent
            if journey.money:
                one = replace(one, id=f"id-{number}", account="acc-0001", amount_cents=1000)
            yield one


def load(samples: Sequence[Sample]) -> dict[str, Any]:
    """The customers' process's own account of these."""
    names = sorted({one.journey for one in samples})
    counted = {name: sum(one.journey == name for one in samples) for name in names}
    return {
        "ended": "stop",
        "start_ns": min((one.scheduled_ns for one in samples), default=ORIGIN),
        "journeys": {
            name: {"scheduled": count, "sent": count, "answered": count}
            for name, count in counted.items()
        },
        "open": 0,
        "no_socket_left": 0,
        "lateness_ms": {"p50": 0.4, "p99": 3.0, "p99_9": 9.0, "max": 12.0},
        "late_over_50ms": [],
        "late_over_50ms_count": 0,
    }


def loaded(record: Record, **changes: Any) -> Record:
    """The record with another account of the customers' process."""
    return replace(record, load={**record.load, **changes})


def spoiled(
    record: Record, number: int, start: float, end: float, **changes: Any
) -> tuple[Sample, ...]:
    """The samples, of which every n-th between two seconds is changed."""
    inside = [one for one in record.samples if ns(start) <= one.scheduled_ns < ns(end)]
    chosen = set(inside[:: max(1, len(inside) // max(1, number))][:number])
    return tuple(replace(one, **changes) if one in chosen else one for one in record.samples)


def as_customers_saw(story: Story, record: Record, samples: Sequence[Sample]) -> Record:
    """The record with other samples, and an entrance and an account that agree with them."""
    series = {**record.series, **entrance(story, samples)}
    return replace(record, samples=tuple(samples), load=load(samples), series=series)


# ── series ────────────────────────────────────────────────────────────────────────────────────────


def scraped(story: Story, offset: float = 0.3) -> list[float]:
    """When a target was scraped: each second, from before the run until after it."""
    first, last = story.start - 4, story.end + 6
    return [first + offset + number for number in range(round(last - first))]


def answered(*those: Series) -> dict[str, Any]:
    """The series as Prometheus answers a query with a range selector, to the last digit."""
    return _matrix(
        {"metric": dict(one.labels), "values": [[at, repr(value)] for at, value in one.points]}
        for one in those
    )


def _matrix(those: Iterable[Json]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(those)}}


def entrance(story: Story, samples: Iterable[Sample]) -> dict[str, Any]:
    """The entrance's counters of what reached it, by upstream; a killed pod's stay flat."""
    times, routes = scraped(story), {one.name: one.entrance["route"] for one in story.journeys}
    seen: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    heard = [one for one in samples if one.outcome not in ("connect", "reset")]
    for number, one in enumerate(heard):
        alive = PODS[1:] if story.kills and one.sent_ns >= ns(0) else PODS
        code = "499" if one.outcome == "timeout" else str(one.code)
        key = (routes[one.journey], code, alive[number % len(alive)])
        took = (one.done_ns - one.sent_ns) / SECOND
        seen.setdefault(key, []).append(((one.done_ns - ns(0)) / SECOND, took))
    counts, buckets = [], []
    for (route, code, pod), those in sorted(seen.items()):
        labels = {"route": route, "code": code, "pod": pod, "upstream": f"uid-{pod}"}
        labels |= {"job": "edge", "instance": "edge:9090", "zone": pod[-1]}
        born = [at for at in times if code == "200" or at >= min(those)[0]]
        counts.append(_counted(labels, [at for at, _ in those], born))
        for limit in ("2", "5", "+Inf"):
            fast = [at for at, took in those if took <= float(limit)]
            buckets.append(_counted({**labels, "le": limit}, fast, born))
    return {"entrance_count": answered(*counts), "entrance_bucket": answered(*buckets)}


def _counted(labels: dict[str, str], done: Iterable[float], times: Sequence[float]) -> Series:
    ordered = sorted(done)
    return counter(labels, lambda at: float(bisect_right(ordered, at)), times)


def gateway_calls(story: Story) -> dict[str, Any]:
    """The wallet's own calls: to the primary until its breaker opens, then to the backup."""
    each = story.rate / len(PODS)
    opens = story.hold if story.opens is None else story.opens
    hung = 2.0 if story.kind in ("gateway.slow", "gateway.throttle") else 0.0
    broken = not story.kills

    def good(at: float) -> float:
        calm = min(at, 0.0) if broken else at
        again = max(0.0, at - story.hold) if broken else 0.0
        return each * (calm - story.start + 4 + again)

    def failed(at: float) -> float:
        until_open = min(max(0.0, at - hung), opens) if broken else 0.0
        later = max(0.0, min(at, story.hold) - opens) if broken else 0.0
        return each * (until_open + (1 - story.carried) * later)

    def trials(at: float) -> float:
        rounds = int((min(max(0.0, at), story.hold) - opens - hung) / 10)
        return 3.0 * max(0, rounds) if broken else 0.0

    def backup(at: float) -> float:
        return each * story.carried * max(0.0, min(at, story.hold) - opens) if broken else 0.0

    counts, sums, buckets = [], [], []
    bad = "timeout" if hung else "refused"
    for pod in PODS:
        base = {"pod": pod, "job": "wallet-api", "instance": pod}
        for gateway, outcome, trial, count, took in (
            (PRIMARY, "ok", "false", good, 0.02),
            (PRIMARY, bad, "false", failed, hung or 0.001),
            (PRIMARY, bad, "true", trials, hung or 0.001),
            (BACKUP, "ok", "false", backup, 0.02),
        ):
            labels = {**base, "gateway": gateway, "outcome": outcome, "trial": trial}
            times = scraped(story, 0.0)
            counts.append(counter(labels, count, times))
            sums.append(counter(labels, _times(count, took), times))
            for limit in (2.0, 5.0):
                fast = count if took <= limit else _times(count, 0)
                buckets.append(counter({**labels, "le": str(limit)}, fast, times))
    return {
        "gateway_calls_count": answered(*counts),
        "gateway_calls_sum": answered(*sums),
        "gateway_calls_bucket": answered(*buckets),
    }


def _times(count: Callable[[float], float], took: float) -> Callable[[float], float]:
    return lambda at: count(at) * took


def breakers(story: Story) -> dict[str, Any]:
    """Closed, open from `opens` on, closed again two seconds after the undo."""
    opens = None if story.kills else story.opens
    states, entered = [], []
    for pod in PODS:
        for state in ("closed", "open"):
            labels = {"pod": pod, "job": "wallet-api", "instance": pod}
            labels |= {"gateway": PRIMARY, "state": state}
            times = scraped(story, 0.0)
            states.append(counter(labels, _is(state, opens, story.hold + 2), times))
            entered.append(counter(labels, _since(state, opens, story.hold + 2), times))
    return {"breaker_state": answered(*states), "breaker_entered": answered(*entered)}


def _is(state: str, opens: float | None, closes: float) -> Callable[[float], float]:
    def value(at: float) -> float:
        is_open = opens is not None and opens <= at < closes
        return float(is_open == (state == "open"))

    return value


def _since(state: str, opens: float | None, closes: float) -> Callable[[float], float]:
    def value(at: float) -> float:
        if opens is None or at < opens:
            return WALL - 900 if state == "closed" else 0.0
        if state == "open":
            return WALL + opens
        return WALL + closes if at >= closes else WALL - 900

    return value


def proxy_bytes(story: Story) -> dict[str, Any]:
    """Bytes through the primary's proxy: 400 for each call before the fault, then a twentieth."""

    def through(at: float) -> float:
        slow = max(0.0, at) if not story.kills else 0.0
        return 400 * story.rate * (at - story.start + 4 - 0.95 * slow)

    labels = {"proxy": PRIMARY, "direction": "downstream", "job": "toxiproxy", "instance": "toxi"}
    return answered(counter(labels, through, scraped(story, 0.1)))


def series(record: Record, name: str, keep: Callable[[dict[str, str]], bool]) -> Record:
    """The record with only those series of an answer whose labels are to be kept."""
    left = [one for one in record.series[name]["data"]["result"] if keep(one["metric"])]
    return replace(record, series={**record.series, name: _matrix(left)})


def cut(record: Record, name: str, start: float, end: float) -> Record:
    """The record with an answer whose samples between two seconds of the story are gone."""
    left = [
        {
            **one,
            "values": [pair for pair in one["values"] if not WALL + start <= pair[0] < WALL + end],
        }
        for one in record.series[name]["data"]["result"]
    ]
    return replace(record, series={**record.series, name: _matrix(left)})


def nan(record: Record, name: str) -> Record:
    """The record with an answer of which every value is NaN."""
    left = [
        {**one, "values": [[at, "NaN"] for at, _ in one["values"]]}
        for one in record.series[name]["data"]["result"]
    ]
    return replace(record, series={**record.series, name: _matrix(left)})


def unanswered(record: Record, *names: str) -> Record:
    """The record without these answers: Prometheus could not be asked."""
    kept = {name: one for name, one in record.series.items() if name not in names}
    return replace(record, series=kept)


# ── the platform, and looks at the fault ──────────────────────────────────────────────────────────


def pods(story: Story) -> Iterator[dict[str, Any]]:
    """What was seen of the pods, each second."""
    for number in range(round(story.before + story.hold + story.after) - 1):
        at = story.start + 0.5 + number
        names = list(PODS)
        if story.kills and at > 0:
            names = [*PODS[1:], *(["wallet-d"] if _back(story, at) else [])]
        seen = [
            {"name": name, "uid": f"uid-{name}", "zone": name[-1], "ready": True} for name in names
        ]
        yield {"looked_ns": ns(at), "mono_ns": ns(at + 0.05), "pods": seen}


def _back(story: Story, at: float) -> bool:
    return story.back is not None and at >= story.back


def readbacks(story: Story) -> Iterator[dict[str, Any]]:
    """The fault was read back every five seconds, and as the last act before the undo."""
    for at in [0.1 + 5 * number for number in range(int(story.hold / 5))] + [story.hold - 0.2]:
        yield looked(at)


def looked(at: float, **changes: Any) -> dict[str, Any]:
    """One look at the fault."""
    return {
        "looked_ns": ns(at),
        "mono_ns": ns(at + 0.02),
        "in_place": True,
        "missing": [],
        **changes,
    }
