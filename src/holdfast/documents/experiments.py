"""journeys.yaml, objectives.yaml and an experiment's extension."""

from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from holdfast.arrivals import peak
from holdfast.documents.kinds import Duration, Strict
from holdfast.documents.load import Load, Positive, Recorded
from holdfast.model import Journey


class Request(Strict):
    """One HTTP request; `${name}` is replaced by a value of the journey."""

    method: Annotated[str, Field(pattern=r"^(GET|POST|PUT|DELETE)$")]
    path: Annotated[str, Field(pattern=r"^/")]
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None


class Good(Strict):
    """Which answers are good: the status, and members that the JSON answer has to have."""

    status: list[int]
    body: dict[str, Any] = {}


class Between(Strict):
    """A whole number, drawn evenly; both ends included."""

    between: Annotated[tuple[int, int], Field(strict=False)]  # YAML has lists only


class Pick(Strict):
    """One of the environment's values of that name."""

    pick: str


class Until(Strict):
    """Ask again until the answer has these members too."""

    body: Annotated[dict[str, Any], Field(min_length=1)]
    every: Positive
    at_most: Positive


class Step(Strict):
    """One request of a journey that has several; `take` carries values over to later steps."""

    request: Request
    good: Good
    take: dict[
        Annotated[str, Field(pattern=r"^\w+$")], Annotated[str, Field(pattern=r"^body(\.[^.]+)+$")]
    ] = {}
    until: Until | None = None


class JourneyFile(Strict):
    """Something that a customer does, with what makes it good: a request, steps, or Python.

    `within` is the promise, `target` the wish, `limit` when the customer gives up, not sooner than
    the promise.
    """

    request: Request | None = None
    good: Good | None = None
    steps: list[Step] = []
    python: Annotated[str, Field(pattern=r"^\w+(\.\w+)+$")] | None = None
    within: Duration
    target: Duration | None = None
    limit: Duration
    values: dict[str, Pick | Between] = {}
    money: bool = False
    entrance: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.request, self.steps, self.python))) != 1:
            raise ValueError("one of `request`, `steps` and `python` is needed")
        if bool(self.good) == bool(self.steps):
            raise ValueError("`good` is needed, or else each of `steps` has its own")
        return self

    @model_validator(mode="after")
    def _patient(self) -> Self:
        if self.limit < self.within:
            raise ValueError(
                "`limit` is shorter than `within`: nobody would see the promise broken"
            )
        return self

    @property
    def walk(self) -> list[Step]:
        """Its requests, one after another; none when Python makes them."""
        if self.request and self.good:
            return [Step(request=self.request, good=self.good)]
        return self.steps

    def judged(self, name: str) -> Journey:
        """What judging needs of it."""
        return Journey(name, self.within, self.target, self.limit, self.money, self.entrance)


class ObjectiveFile(Strict):
    """A promised number, with its unit and its source; `kind` says how it is judged."""

    kind: Literal["recovery", "availability", "latency", "success", "failover", "restart", "money"]
    promise: str
    limit: Annotated[float, Field(ge=0)]
    unit: str
    source: str
    journey: str = ""

    @model_validator(mode="after")
    def _a_share(self) -> Self:
        if self.kind in ("latency", "success") and not 0 < self.limit < 1:
            raise ValueError(f"the limit of a {self.kind} is a share, between 0 and 1")
        return self


class Extension(Strict):
    """What holdfast needs to know of an experiment, from Chaos Toolkit's `extensions` list."""

    name: Annotated[str, Field(pattern=r"^holdfast$")]
    load: Annotated[dict[str, Load], Field(min_length=1)]
    before: Duration
    stable: Duration
    after: Duration
    objectives: Annotated[list[str], Field(min_length=1)]
    lost_requests: Annotated[int, Field(ge=0)] = 0
    environments: list[str] = []
    expects_alerts: list[str] = []

    def loads(self) -> dict[str, Any]:
        """Each journey's load, as `arrivals` takes it and as `plan.json` holds it."""
        loads: dict[str, Any] = self.model_dump(mode="json")["load"]
        return loads

    def rates(self, length_s: float) -> dict[str, float]:
        """Each journey's requests a second, on average over the fullest window of that length."""
        return {name: peak(load, length_s, inf) / length_s for name, load in self.loads().items()}

    def with_recordings(self, folder: Path) -> Self:
        """The same, with the instants of the files that it names, which lie in that folder."""
        load = {
            name: one.read(folder) if isinstance(one, Recorded) else one
            for name, one in self.load.items()
        }
        return self.model_copy(update={"load": load})
