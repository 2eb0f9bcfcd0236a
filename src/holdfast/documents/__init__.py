"""The files that people write: strict YAML, checked against a schema before anything else happens.

A file is refused when it holds a key that the schema does not know, or a value of another type or
unit; and when it is not the YAML that `strict_yaml` accepts.
"""

import re
from collections.abc import Callable, Mapping
from math import inf, isfinite
from os.path import expanduser  # which leaves a `~name` of nobody as it is
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from holdfast.documents.strict_yaml import read_yaml
from holdfast.errors import InvalidInput
from holdfast.model import Journey

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: object) -> float:
    """`500ms`, `60s`, `5m` or `1h` in seconds; a bare number has no unit and is refused."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text) if isinstance(text, str) else None
    found = float(match[1]) * _UNITS[match[2]] if match else inf
    if not isfinite(found):
        raise ValueError(f"{text!r} is not a duration such as 500ms, 60s or 5m")
    return found


def _duration_text(text: str) -> str:
    seconds(text)
    return text


def per_second(text: object) -> float:
    """`60/s` as requests a second."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/s", text) if isinstance(text, str) else None
    if match is None or not 0 < float(match[1]) < inf:
        raise ValueError(f"{text!r} is not a rate such as 60/s")
    return float(match[1])


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not (parts.hostname or "").encode("idna") or parts.port == 0:  # which checks both
        raise ValueError("a URL needs a host, and a port up to 65535")
    return text


def _with_unit(parse: Callable[[object], float]) -> BeforeValidator:
    """Numbers need their unit in a file that a person wrote; in our own records they are bare."""

    def validate(value: object, info: ValidationInfo) -> object:
        recorded = isinstance(info.context, dict) and info.context.get("recorded")
        return value if recorded and isinstance(value, float) else parse(value)

    return BeforeValidator(validate)


def _written(pattern: str, example: str) -> WithJsonSchema:
    """What the published schema says of a number with a unit: it is written as text."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Duration = Annotated[float, _with_unit(seconds), _written(r"^\d+(\.\d+)?(ms|s|m|h)$", "60s")]
Rate = Annotated[float, _with_unit(per_second), _written(r"^\d+(\.\d+)?/s$", "60/s")]
DurationText = Annotated[str, AfterValidator(_duration_text)]  # as an activity's argument
Url = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/[^\s]*)?$"), AfterValidator(_url)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Kubernetes(_Strict):
    """Which cluster, by the uid of its kube-system namespace, and with whose rights."""

    kubeconfig: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    cluster_uid: str


class Prometheus(_Strict):
    """Where the second source is asked."""

    url: Url


class Toxiproxy(_Strict):
    """One instance; `token_env` names the environment variable that holds its token."""

    url: Url
    token_env: str | None = None


class Customers(_Strict):
    """The entrance, and the values that journeys may pick from: synthetic accounts only."""

    url: Url
    values: dict[str, list[str]]


class Ledger(_Strict):
    """Where every transfer's postings, and the bank side's settlements, can be read."""

    transfers: Url
    settlements: Url


class Workload(_Strict):
    """The customers' service: what may be killed, and what `restart` counts."""

    namespace: str
    selector: Annotated[str, Field(min_length=1)]


class Breaker(_Strict):
    """One circuit breaker: what opens it, and where traffic then goes.

    Its floor, the earliest that it can open, is failures ÷ (rate per replica), plus the call limit
    when calls hang instead of failing at once.
    """

    backup: str | None = None
    failures: Annotated[int, Field(gt=0)]
    call_limit: Duration


class Signal(_Strict):
    """How one signal is named here: the metric, its labels by role, and a fixed matcher."""

    metric: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
    labels: dict[str, str] = {}
    where: dict[str, str] = {}


class Policy(_Strict):
    """What may be broken here. What is not listed is refused."""

    namespaces: list[str]
    max_zones: Annotated[int, Field(ge=0, le=1)] = 1
    max_share: Annotated[float, Field(gt=0, le=0.5)] = 0.5
    allow_outage: bool = False
    allow_taint: bool = False
    proxies: list[str] = []


class Environment(_Strict):
    """Where things are, how they are named, how fast they react, and what may be broken."""

    name: str
    kubernetes: Kubernetes
    prometheus: Prometheus
    toxiproxy: list[Toxiproxy]
    customers: Customers
    ledger: Ledger | None = None
    workload: Workload
    signals: dict[str, Signal] = {}
    breakers: dict[str, Breaker] = {}
    periods: dict[str, Duration] = {}
    policy: Policy
    modules: list[str] = []


class Request(_Strict):
    """One HTTP request; `${name}` is replaced by a value of the journey."""

    method: Annotated[str, Field(pattern=r"^(GET|POST|PUT|DELETE)$")]
    path: Annotated[str, Field(pattern=r"^/")]
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None


class Good(_Strict):
    """Which answers are good: the status, and members that the JSON answer has to have."""

    status: list[int]
    body: dict[str, Any] = {}


class Between(_Strict):
    """A whole number, drawn evenly; both ends included."""

    between: Annotated[tuple[int, int], Field(strict=False)]  # YAML has lists only


class Pick(_Strict):
    """One of the environment's values of that name."""

    pick: str


class JourneyFile(_Strict):
    """Something that a customer does, with what makes it good.

    `within` is the promise, `target` the wish, `limit` when the customer gives up.
    """

    request: Request
    good: Good
    within: Duration
    target: Duration | None = None
    limit: Duration
    values: dict[str, Pick | Between] = {}
    money: bool = False
    entrance: dict[str, str] = {}

    def judged(self, name: str) -> Journey:
        """What judging needs of it."""
        return Journey(name, self.within, self.target, self.limit, self.money, self.entrance)


class ObjectiveFile(_Strict):
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


class Extension(_Strict):
    """What holdfast needs to know of an experiment, from Chaos Toolkit's `extensions` list."""

    name: Annotated[str, Field(pattern=r"^holdfast$")]
    load: Annotated[dict[str, Rate], Field(min_length=1)]
    before: Duration
    stable: Duration
    after: Duration
    objectives: Annotated[list[str], Field(min_length=1)]
    lost_requests: Annotated[int, Field(ge=0)] = 0


def recorded[T: BaseModel](schema: type[T], data: Any, place: str) -> T:
    """What we wrote down ourselves, as the schema's type: durations are seconds there."""
    return checked(schema, data, place, context={"recorded": True})


def checked[T: BaseModel](
    schema: type[T], data: Any, place: str, *, context: dict[str, Any] | None = None
) -> T:
    """The data as the schema's type.

    Raises:
        InvalidInput: names the place, the path inside it, and what is wrong, all at once.
    """
    try:
        return schema.model_validate(data, context=context)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(str(part) for part in one['loc']) or 'the whole'}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        wrong[10:] = [f"and {len(wrong) - 10} more"] if len(wrong) > 10 else []
        raise InvalidInput(place, "; ".join(wrong), "Correct these keys") from None


def read_environment(path: Path) -> Environment:
    """The environment file; a relative `kubeconfig:` lies beside it."""
    environment = checked(Environment, read_yaml(path), str(path))
    kubeconfig = (path.parent / expanduser(environment.kubernetes.kubeconfig)).resolve()  # noqa: PTH111
    kubernetes = environment.kubernetes.model_copy(update={"kubeconfig": str(kubeconfig)})
    return environment.model_copy(update={"kubernetes": kubernetes})


def read_journeys(path: Path) -> Mapping[str, JourneyFile]:
    """What customers do, by name."""
    return _named(JourneyFile, path)


def read_objectives(path: Path) -> Mapping[str, ObjectiveFile]:
    """What is promised, by name."""
    return _named(ObjectiveFile, path)


def _named[T: BaseModel](schema: type[T], path: Path) -> dict[str, T]:
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InvalidInput(str(path), "is not a mapping of names", "Correct the file")
    return {str(name): checked(schema, one, f"{path}: {name}") for name, one in data.items()}
