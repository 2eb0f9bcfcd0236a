"""rates.yaml: how often each way to fail happens, for the projection of a year."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from holdfast.documents.kinds import Duration, Strict


class RateFile(Strict):
    """One way to fail: seen so often in so many years, and what each time cost.

    The cost is what runs of `experiment` have measured, or `impacts` that were written down.
    """

    seen: Annotated[int, Field(ge=0, le=1000)]
    years: Annotated[float, Field(gt=0, le=100)]
    experiment: str = ""
    impacts: list[Duration] = []
    share: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.experiment) == bool(self.impacts):
            raise ValueError("it needs `experiment` or `impacts`, one of them")
        return self
