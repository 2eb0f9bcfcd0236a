"""The nouns, as frozen dataclasses. Instants are nanoseconds of the monotonic clock."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from holdfast.verdict import Verdict

type Json = Mapping[str, Any]


@dataclass(frozen=True)
class Window:
    """From one instant up to, not including, another."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return (self.end_ns - self.start_ns) / 1e9

    def holds(self, instant_ns: int) -> bool:
        """Does the instant lie inside?"""
        return self.start_ns <= instant_ns < self.end_ns


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a customer. Its latency counts from the instant it was scheduled for.

    `outcome` is `ok` (the answer was the one the journey calls good), `wrong` (another answer),
    `timeout`, `connect` (never sent: no connection) or `reset` (the connection broke).
    """

    journey: str
    scheduled_ns: int
    sent_ns: int
    done_ns: int
    outcome: str
    code: int
    id: str = ""
    account: str = ""
    amount_cents: int = 0

    @property
    def latency(self) -> float:
        """Seconds from the scheduled instant to the end of the answer."""
        return (self.done_ns - self.scheduled_ns) / 1e9


@dataclass(frozen=True)
class Journey:
    """What judging needs to know of a journey: its promise in seconds, and how it is named there.

    `entrance` holds the labels by which the entrance's own counters tell this journey apart.
    """

    name: str
    within: float
    target: float | None
    limit: float
    money: bool
    entrance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective:
    """A promised number, with its unit and its source."""

    name: str
    promise: str
    limit: float
    unit: str
    source: str
    journey: str = ""


@dataclass(frozen=True)
class Heal:
    """What undoes a fault: the name of an operation from a closed list, and its arguments."""

    id: str
    operation: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Interval:
    """A quantity of which only two bounds are known: above `low`, up to and including `high`."""

    low: float
    high: float

    def meets(self, other: "Interval") -> bool:
        """Do the two have a point in common?"""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Observation:
    """A probe's answer: a number or an interval, its unit, and what it was computed from.

    `value` is None when it could not be measured; `why` then says the reason.
    """

    name: str
    value: float | Interval | None
    unit: str
    source: str
    window: Window | None = None
    samples: int = 0
    why: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One objective, its verdict, one sentence of why, and the observations it rests on."""

    objective: str
    promise: str
    verdict: Verdict
    why: str
    observations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """A finished run as its folder holds it: all that judging may look at.

    `transfers` and `settlements` are None where they could not be read: no data is not zero. The
    bank side is read twice, before the ledger and after it; `books` says when that began. `sums`
    are looks at the whole ledger's sums while the run was on.
    """

    plan: Json
    events: tuple[Json, ...]
    samples: Collection[Sample]
    load: Json
    series: Mapping[str, Json]
    pods: tuple[Json, ...]
    readbacks: tuple[Json, ...]
    transfers: Collection[Json] | None = None
    settlements: Collection[Json] | None = None
    settlements_before: Collection[Json] | None = None
    books: Json = field(default_factory=dict)
    sums: tuple[Json, ...] = ()


def plain(value: Any) -> Any:
    """A dataclass, or a container of them, as what JSON can hold."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
