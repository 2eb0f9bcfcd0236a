"""The kinds of value that people write: durations, rates and URLs, each with its unit or form."""

import re
from collections.abc import Callable
from math import inf
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)

from holdfast.addresses import check_host
from holdfast.clock import seconds


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
    check_host(parts.hostname or "")
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


def _place(text: str) -> str:
    return text if text.startswith("csv:") else _url(text)


Place = Annotated[  # of a record: where it answers, or its table
    str, Field(pattern=r"^(https?://[^\s/@]+(/[^\s]*)?|csv:[^\x00]+)$"), AfterValidator(_place)
]


class Strict(BaseModel):
    """A mapping that accepts no key and no type that it does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
