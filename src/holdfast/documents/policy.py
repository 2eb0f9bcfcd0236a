"""`policy:` of environment.yaml, and the change-freeze calendar that it may name."""

from datetime import date
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from holdfast.documents.kinds import Duration, Strict

_LABEL = r"[A-Za-z0-9][A-Za-z0-9._/-]*(=[A-Za-z0-9._-]*)?"


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, OSError, ValueError):  # an unknown zone is a KeyError
        raise ValueError(f"{text!r} is not a time zone such as America/Sao_Paulo") from None
    return text


def _day(text: str) -> str:
    date.fromisoformat(text)
    return text


def _on_off(value: object) -> object:
    """YAML 1.1 reads `on` and `off` as true and false."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


Zone = Annotated[str, AfterValidator(_zone)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)]
Selector = Annotated[str, Field(pattern=rf"^{_LABEL}(,{_LABEL})*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
PublicKey = Annotated[str, Field(pattern=r"^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$")]
Burn = Annotated[Literal["required", "on", "off"], BeforeValidator(_on_off)]


class Alerts(Strict):
    """Alerts of which severities forbid a start, and end a run."""

    severities: Annotated[list[str], Field(min_length=1)] = ["critical", "page"]


class Budget(Strict):
    """The service's error budget: share of good requests promised over a window."""

    objective: Share
    window: Annotated[Duration, Field(validate_default=True)] = "720h"  # type: ignore[assignment]  # parsed
    left: Annotated[float, Field(ge=0.25, le=1)] = 0.25


class Hours(Strict):
    """When experiments may run: on these weekdays, between these local times."""

    days: Annotated[
        list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)
    ]
    hours: Annotated[
        str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$")
    ]
    zone: Zone


class Policy(Strict):
    """What may be broken here, when and by whom. What is not listed is refused."""

    namespaces: list[str]
    never: list[str] = []
    protected: list[Selector] = []
    max_pods: Annotated[int, Field(ge=1)] = 1
    max_share: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    max_zones: Annotated[int, Field(ge=0, le=1)] = 1
    allow_taint: bool = False
    proxies: list[str] = []
    max_hold: Annotated[Duration, Field(validate_default=True, le=1800)] = "5m"  # type: ignore[assignment]  # parsed
    alerts: Alerts = Alerts()
    budget: Budget | None = None
    burn: Burn | None = None
    reaper: Literal["required", "off"] | None = None
    max_error_share: Share | None = None
    windows: list[Hours] = []
    freeze: Annotated[str, Field(pattern=r"^[^\x00]+$")] | None = None
    approvers: dict[str, PublicKey] = {}


class Frozen(Strict):
    """Days on which nothing may be changed; both ends included."""

    first: Day
    last: Day
    why: str

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"{self.last} is before {self.first}")
        return self


class Calendar(Strict):
    """A change-freeze calendar. After `valid_until` it counts as frozen."""

    zone: Zone
    valid_until: Day
    frozen: list[Frozen]
