"""controls.yaml: which planted defect has to turn which objective of which experiment red."""

from typing import Literal, Self

from pydantic import model_validator

from holdfast.documents.kinds import Strict


class Control(Strict):
    """What has to come of an experiment when the platform has a defect.

    `exit_code` 1: the objectives in `broken` are broken, and others may be; 3: everything is
    unknown; 6: the run is refused.
    """

    broken: list[str] = []
    exit_code: Literal[1, 3, 6] = 1

    @model_validator(mode="after")
    def _something_red(self) -> Self:
        if (self.exit_code == 1) != bool(self.broken):
            raise ValueError("`broken` names objectives, unless `exit_code` is 3 or 6")
        return self


ControlFile = dict[str, dict[str, Control]]
