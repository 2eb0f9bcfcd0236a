"""A plan, as it is made and written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast import __version__
from holdfast.calibration import Calibration
from holdfast.documents import Environment, JourneyFile, ObjectiveFile, seconds
from holdfast.errors import HoldfastError
from holdfast.experiment import Experiment
from holdfast.guard import Answer
from holdfast.measure.budget import Burn, burn
from holdfast.model import plain


@dataclass(frozen=True)
class Plan:
    """What will be broken, where, measured how, and what every system said when it was asked."""

    experiment: Experiment
    environment: Environment
    journeys: Mapping[str, JourneyFile]
    objectives: Mapping[str, ObjectiveFile]
    targets: list[dict[str, Any]] = field(default_factory=list)
    systems: Mapping[str, str] = field(default_factory=dict)
    guards: Sequence[Answer] = ()
    prediction: Mapping[str, Any] | None = None
    control: str = ""
    calibration: Calibration | None = None

    def record(self) -> dict[str, Any]:
        """The plan as it is written down."""
        return {
            "holdfast": __version__,
            "name": self.experiment.name,
            "title": self.experiment.title,
            "control": self.control,
            **self.substance(),
            "environment": self.environment.model_dump(mode="json"),
            "targets": self.targets,
            "systems": self.systems,
            "burn": plain(self.burn()),
            "guards": [one.record() for one in self.guards],
            "prediction": self.prediction,
        }

    def substance(self) -> dict[str, Any]:
        """What would be done, by which customers, and what is promised: what a person approves."""
        return {
            "experiment": self.experiment.document,
            "extension": self.experiment.extension.model_dump(mode="json"),
            "journeys": {k: v.model_dump(mode="json") for k, v in self.journeys.items()},
            "objectives": {k: v.model_dump(mode="json") for k, v in self.objectives.items()},
        }

    def refusals(self) -> list[HoldfastError]:
        """What the guards refuse, first come first."""
        return [one.refusal for one in self.guards if one.refusal]

    def hold_s(self) -> tuple[float, float]:
        """The shortest and the longest that the fault is held, in seconds."""
        arguments = self.experiment.wait().provider.arguments
        return seconds(arguments["at_least"]), seconds(arguments["at_most"])

    def burn(self) -> Burn:
        """What the run may cost of the yearly error budget, at worst."""
        kinds = ("recovery", "availability")
        limits = [one.limit for one in self.objectives.values() if one.kind in kinds]
        return burn(limits, self.hold_s()[1], self.experiment.extension.rates(self.hold_s()[1]))

    def rate(self) -> float:
        """The mean requests a second of all journeys over the longest hold."""
        return sum(self.experiment.extension.rates(self.hold_s()[1]).values())

    def expected_s(self) -> float:
        """How long the run takes when nothing has to grow, in seconds."""
        extension = self.experiment.extension
        return extension.before + self.hold_s()[0] + extension.after
