"""environment.yaml: where things are, how they are named, and what may be broken there."""

import os
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from holdfast.documents.kinds import Duration, Strict, Url
from holdfast.documents.ledger import Ledger
from holdfast.documents.policy import Policy
from holdfast.redact import keep_secret
from holdfast.signals import DEFAULTS, Named


class Kubernetes(Strict):
    """Which cluster, by the uid of its kube-system namespace, and with whose rights.

    `namespace` is holdfast's own: its lock lies there, and its reaper.
    """

    kubeconfig: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    cluster_uid: str
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")] = "holdfast"


class Prometheus(Strict):
    """Where the second source is asked."""

    url: Url


class Toxiproxy(Strict):
    """One instance; `token_env` names the environment variable that holds its token."""

    url: Url
    token_env: str | None = None

    @model_validator(mode="after")
    def _never_told(self) -> Self:
        """Whoever knows of the token keeps it to himself; that it is there, is checked at use."""
        if token := os.environ.get(self.token_env or ""):
            keep_secret(token)
        return self


class Customers(Strict):
    """The entrance, and the values that journeys may pick from: synthetic accounts only.

    `ca` is a PEM file of the authorities that an https:// entrance is verified with; `clock_bound`
    the most that the clocks of any two machines are apart, where customers run on several.
    """

    url: Url
    ca: Annotated[str, Field(pattern=r"^[^\x00]+$")] | None = None
    clock_bound: Duration | None = None
    values: dict[str, list[str]]


class Workload(Strict):
    """The customers' service: what may be killed, and what `restart` counts."""

    namespace: str
    selector: Annotated[str, Field(min_length=1)]


class Breaker(Strict):
    """One circuit breaker: what opens it, and where traffic then goes.

    Its floor, the earliest that it can open, is failures ÷ (rate per replica), plus the call limit
    when calls hang instead of failing at once.
    """

    backup: str | None = None
    failures: Annotated[int, Field(gt=0)]
    call_limit: Duration


class Signal(Strict):
    """How one signal is named here: the metric, its labels by role, and a fixed matcher."""

    metric: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
    labels: dict[str, str] = {}
    where: dict[str, str] = {}


class Controls(Strict):
    """For laboratories: the command that plants a defect, whose name is its last argument.

    It runs without a shell; with `none` it makes the platform healthy again.
    """

    command: Annotated[list[str], Field(min_length=1)]


class Environment(Strict):
    """Where things are, how they are named, how fast they react, and what may be broken."""

    name: str
    kind: Literal["laboratory", "staging", "production"] = "production"
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
    controls: Controls | None = None

    @property
    def burn(self) -> str:
        """Is the burn rate watched: as the policy says, else as the kind of environment demands."""
        strict = {"production": "required", "staging": "on", "laboratory": "off"}
        return self.policy.burn or strict[self.kind]

    @property
    def reaper(self) -> Literal["required", "off"]:
        """Has a reaper to be alive: as the policy says, else in production."""
        return self.policy.reaper or ("required" if self.kind == "production" else "off")

    def named(self, signal: str) -> Named:
        """How a signal is named in this environment."""
        given = self.signals.get(signal)
        return Named(given.metric, given.labels, given.where) if given else DEFAULTS[signal]
