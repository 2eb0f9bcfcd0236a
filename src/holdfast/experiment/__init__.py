"""An experiment file, read and checked without running or importing anything that it names.

It is a valid Chaos Toolkit experiment in a narrow dialect: Python activities of holdfast's own
modules (or of modules that the environment names), and no dynamic configuration, runtime block,
control, `process` or `http` provider. A key that is not known is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from holdfast.documents import AS_WRITTEN, Environment, Extension, Variant, checked
from holdfast.documents.strict_yaml import read_yaml
from holdfast.documents.variants import NO_FAULT, vary
from holdfast.errors import InvalidInput
from holdfast.experiment import activities
from holdfast.experiment.activities import Call

WAIT = ("holdfast.probes.recovery", "wait")
STILL_THERE = ("holdfast.probes.landed", "still_there")
UNDO = ("holdfast.actions.undo", "everything")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Provider(_Strict):
    """Which function an activity calls, and with what."""

    type: Literal["python"]
    module: str
    func: str
    arguments: dict[str, Any] = {}


class Activity(_Strict):
    """One action or probe. In the hypothesis a probe answers true or false, and has to be true."""

    type: Literal["action", "probe"]
    name: Annotated[str, Field(min_length=1)]
    provider: Provider
    tolerance: bool | None = None

    @property
    def calls(self) -> tuple[str, str]:
        """The module and the function."""
        return self.provider.module, self.provider.func


class Hypothesis(_Strict):
    """What steady state looks like."""

    title: str
    probes: Annotated[list[Activity], Field(min_length=1)]


class _Document(_Strict):
    title: Annotated[str, Field(min_length=1)]
    description: str = ""
    tags: list[str] = []
    contributions: dict[str, str] = {}
    extensions: Annotated[list[dict[str, Any]], Field(min_length=1)]
    hypothesis: Annotated[Hypothesis, Field(alias="steady-state-hypothesis")]
    method: Annotated[list[Activity], Field(min_length=1)]
    rollbacks: Annotated[list[Activity], Field(min_length=1)]


@dataclass(frozen=True)
class Experiment:
    """A checked experiment: the document for Chaos Toolkit, and what holdfast reads in it."""

    path: Path
    title: str
    document: Mapping[str, Any]
    extension: Extension
    hypothesis: tuple[Activity, ...]
    method: tuple[Activity, ...]
    rollbacks: tuple[Activity, ...]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def faults(self) -> Iterator[Activity]:
        """The actions of the method."""
        return (activity for activity in self.method if activity.type == "action")

    def wait(self) -> Activity:
        """The probe that holds the fault until customers have recovered."""
        return next(activity for activity in self.method if activity.calls == WAIT)


def read(path: Path, environment: Environment, variant: Variant = AS_WRITTEN) -> Experiment:
    """Read and check an experiment file, or a variant of it.

    Raises:
        InvalidInput: names the file, the place in it, and what is wrong.
    """
    data = vary(read_yaml(path), variant)
    _refuse_foreign_providers(data, path)
    document = checked(_Document, data, str(path))
    ours = [one for one in document.extensions if one.get("name") == "holdfast"]
    if len(ours) != 1:
        raise InvalidInput(
            f"{path}: extensions",
            f"{len(ours)} entries are named holdfast, one is needed",
            "Add load, before, stable, after and objectives there",
        )
    extension = checked(Extension, ours[0], f"{path}: extensions: holdfast")
    experiment = Experiment(
        path=path,
        title=document.title,
        document=data,
        extension=extension.with_recordings(path.parent),
        hypothesis=tuple(document.hypothesis.probes),
        method=tuple(document.method),
        rollbacks=tuple(document.rollbacks),
    )
    _check_activities(experiment, environment)
    _check_shape(experiment)
    if not variant.null and NO_FAULT in (one.calls for one in experiment.method):
        raise InvalidInput(f"{path}: method", "it breaks nothing", "Use `holdfast run --null`")
    return experiment


def module(activity: Activity) -> ModuleType | None:
    """The module of holdfast that the activity is in; None for a foreign one."""
    return activities.own(activity.provider.module)


def _refuse_foreign_providers(data: Any, path: Path) -> None:
    """Say plainly that a kind of activity is not accepted, before the schema says it in its way."""
    for section in ("method", "rollbacks"):
        activities = data.get(section) if isinstance(data, dict) else None
        for number, one in enumerate(activities if isinstance(activities, list) else [], 1):
            provider = one.get("provider") if isinstance(one, dict) else None
            kind = provider.get("type") if isinstance(provider, dict) else None
            if kind in ("process", "http"):
                raise InvalidInput(
                    f"{path}: {section} {number}",
                    f"providers of type {kind} are refused: nobody could check what they do",
                    "Use a Python activity of holdfast",
                )


def _check_activities(experiment: Experiment, environment: Environment) -> None:
    for section in ("hypothesis", "method", "rollbacks"):
        for activity in getattr(experiment, section):
            place = f"{experiment.path}: {section}: {activity.name}"
            _check_call(activity, environment, place)
            needed = section == "hypothesis" or activity.tolerance is not None
            if needed and activity.tolerance is not True:
                raise InvalidInput(place, "its tolerance is not true", "Write `tolerance: true`")
            if section == "hypothesis" and activity.type != "probe":
                raise InvalidInput(place, "an action stands in the hypothesis", "Use a probe")


def _check_call(activity: Activity, environment: Environment, place: str) -> None:
    name, func = activity.calls
    ours = name.partition(".")[0] == "holdfast"
    if name not in (activities.OURS[activity.type] if ours else environment.modules):
        raise InvalidInput(
            place,
            f"the module {name} is not allowed in an activity of type {activity.type}",
            f"Call one of {', '.join(activities.OURS[activity.type])}, or list another in the"
            " environment's `modules:`",
        )
    try:
        known = activities.calls(name)
    except ValueError as error:
        raise InvalidInput(place, f"the module {name}: {error}", "Correct it") from None
    if func not in known:
        step = f"It has: {', '.join(known) or 'none'}"
        raise InvalidInput(place, f"{name} has no activity {func}", step)
    _check_arguments(activity, known[func], place)


def _check_arguments(activity: Activity, call: Call, place: str) -> None:
    arguments = activity.provider.arguments
    try:
        if "configuration" in arguments:
            raise TypeError("Chaos Toolkit itself gives the configuration")
        call.signature.bind(**arguments)
    except TypeError as error:
        step = f"{activity.calls[1]} takes: {', '.join(call.takes()) or 'nothing'}"
        raise InvalidInput(place, str(error), step) from None
    for name, value in arguments.items():
        try:
            TypeAdapter(call.types.get(name, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"]
            raise InvalidInput(f"{place}: {name}", message, "Correct the value") from None


def _check_shape(experiment: Experiment) -> None:
    """A fault, then the wait, then the last look at the fault; and an undo of everything."""
    calls = [activity.calls for activity in experiment.method]
    kinds = [activity.type for activity in experiment.method]
    place = f"{experiment.path}: method"
    if kinds.count("action") != 1 or kinds[0] != "action" or calls[0] == UNDO:
        raise InvalidInput(
            place, "it has to begin with its one fault", "Break one thing in one experiment"
        )
    if calls[-2:] != [WAIT, STILL_THERE]:
        raise InvalidInput(
            place,
            "it does not end with recovery.wait and landed.still_there",
            "A fault is held until customers recovered, and looked at just before its undo",
        )
    if [activity.calls for activity in experiment.rollbacks] != [UNDO]:
        raise InvalidInput(
            f"{experiment.path}: rollbacks",
            "they are not exactly undo.everything",
            "Every action records its own undo; undo.everything replays them",
        )
