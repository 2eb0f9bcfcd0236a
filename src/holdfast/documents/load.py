"""How many requests customers send, and when: a rate, or a shape of it."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from holdfast import files
from holdfast.documents.kinds import Duration, Rate, Strict
from holdfast.errors import InvalidInput

MAX_INSTANTS = 100_000  # of one recording: `plan.json` holds them, so that a verdict can be redone
_MAX_BYTES = 4 << 20
_MAX_RATE = 10_000.0  # a second, where instants are known one by one

type Positive = Annotated[Duration, Field(gt=0)]


class Ramp(Strict):
    """The rate rises or falls evenly for a time, and stays there."""

    model_config = {"serialize_by_alias": True}

    shape: Literal["ramp"]
    first: Annotated[Rate, Field(alias="from")]
    to: Rate
    over: Positive


class Steps(Strict):
    """One rate after another, each for a time; the last one stays."""

    shape: Literal["steps"]
    rates: Annotated[list[Rate], Field(min_length=2)]
    each: Positive


class Poisson(Strict):
    """Independent customers at a mean rate; the same seed gives the same instants."""

    shape: Literal["poisson"]
    rate: Annotated[Rate, Field(le=_MAX_RATE)]
    seed: Annotated[int, Field(ge=0)]


class Recorded(Strict):
    """Instants in seconds, from a file or written here; after `over` they begin again."""

    shape: Literal["recorded"]
    file: str = ""
    instants: list[Annotated[float, Field(ge=0)]] = []
    over: Positive

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.file) == bool(self.instants):
            raise ValueError("either `file` or `instants` is needed")
        return self.checked()

    def checked(self) -> Self:
        """The same, when its instants are in order and before its end."""
        if self.instants != sorted(self.instants):
            raise ValueError("the instants are not in order")
        if self.instants and self.instants[-1] >= self.over:
            raise ValueError(f"an instant lies at or after the end, {self.over:g} s")
        if len(self.instants) > min(MAX_INSTANTS, _MAX_RATE * self.over):
            raise ValueError(f"more than {MAX_INSTANTS} instants, or than {_MAX_RATE:g} a second")
        return self

    def read(self, folder: Path) -> "Recorded":
        """With the instants of its file, which lies in that folder: one on each line.

        Raises:
            InvalidInput: it cannot be read, or a line is not an instant.
        """
        if not self.file:
            return self
        path = folder / self.file
        try:
            lines = files.read(path, _MAX_BYTES).decode().split()
            instants = [_instant(number, line) for number, line in enumerate(lines, 1)]
            if not instants:
                raise ValueError("it holds no instant")
            return self.model_copy(update={"file": "", "instants": instants}).checked()
        except OSError as error:
            raise InvalidInput(
                str(path),
                f"cannot be read: {error.strerror or error}",
                "Check the path and its rights",
            ) from None
        except ValueError as error:
            step = "Write one instant a line, in seconds since the start, in order"
            raise InvalidInput(str(path), str(error), step) from None


def _instant(number: int, text: str) -> float:
    try:
        instant = float(text)
    except ValueError:
        raise ValueError(f"line {number}: {text!r} is not a number of seconds") from None
    if not 0 <= instant < float("inf"):
        raise ValueError(f"line {number}: {text!r} is not an instant")
    return instant


def _kind(value: Any) -> str:
    return "shape" if isinstance(value, dict | Strict) else "rate"


type Shape = Annotated[Ramp | Steps | Poisson | Recorded, Field(discriminator="shape")]
Load = Annotated[
    Annotated[Rate, Tag("rate")] | Annotated[Shape, Tag("shape")], Discriminator(_kind)
]
