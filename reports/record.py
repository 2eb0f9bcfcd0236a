"""Everything that a report says, gathered by the caller; the renderers read nothing else.

Every `_s` is in seconds from the start of the load, `origin` by the wall clock. Instants are UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.model import Finding, Objective, Observation
from holdfast.verdict import Verdict


@dataclass(frozen=True)
class Fault:
    """What was broken: its kind, whom it hit and what was asked for, both as one line of text.

    `end_s` is when the undo began; None when nothing was undone. A fault that can be undone and was
    not is shaded to the end of the run; one that cannot (a kill) is an instant.
    """

    kind: str
    targets: str
    asked: str
    start_s: float
    end_s: float | None = None
    reversible: bool = True


@dataclass(frozen=True)
class Phase:
    """A named stretch of the run: before, fault, hold, after, drain."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Bin:
    """Requests of every journey that were scheduled in the second which starts at `t_s`."""

    t_s: float
    good: int
    bad: int


@dataclass(frozen=True)
class LatencyBin:
    """Latencies in seconds of one journey's requests that were scheduled in one second."""

    t_s: float
    journey: str
    p50: float
    p99: float
    max: float


@dataclass(frozen=True)
class Limit:
    """A journey's promise, and its target where it has one, in seconds: lines in its chart."""

    journey: str
    within: float
    target: float | None = None


@dataclass(frozen=True)
class BreakerSpan:
    """One breaker, in one pod, stayed in one state: closed, open or half_open."""

    gateway: str
    pod: str
    state: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class ShareBin:
    """Who carried which share (0 to 1) of one second's traffic; empty when there was none."""

    t_s: float
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Proof:
    """One of the witness's proofs: `exposed`, `struck` or `lasting`.

    `shown` is None when it could not be looked at; `why` is one sentence.
    """

    name: str
    shown: bool | None
    why: str


@dataclass(frozen=True)
class Event:
    """Something that happened, as a line of the timeline."""

    at: datetime
    text: str


@dataclass(frozen=True)
class Report:
    """One run, ready to be told.

    A finding's measured value is that of the observations it names, the deciding one first. An
    interval whose `high` is infinite is printed as "> low". `objectives` add limit and source.
    `control` says which control run it is: `null`, or `sabotage` and the planted defect's name.
    """

    experiment: str
    title: str
    run_id: str
    folder: str
    environment: str
    started: datetime
    ended: datetime
    origin: datetime
    exit_code: int
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    observations: tuple[Observation, ...] = ()
    objectives: tuple[Objective, ...] = ()
    fault: Fault | None = None
    witness: tuple[Proof, ...] = ()
    phases: tuple[Phase, ...] = ()
    timeline: tuple[Event, ...] = ()
    requests: tuple[Bin, ...] = ()
    latency: tuple[LatencyBin, ...] = ()
    limits: tuple[Limit, ...] = ()
    breakers: tuple[BreakerSpan, ...] = ()
    zone_share: tuple[ShareBin, ...] = ()
    gateway_share: tuple[ShareBin, ...] = ()
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    control: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
