"""The files that people write: strict YAML, checked against a schema before anything else happens.

A file is refused when it holds a key that the schema does not know, or a value of another type or
unit; and when it is not the YAML that `strict_yaml` accepts.
"""

from collections.abc import Mapping
from os.path import expanduser  # which leaves a `~name` of nobody as it is
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from holdfast.clock import seconds
from holdfast.documents import ledger as ledgers
from holdfast.documents.controls import Control, ControlFile
from holdfast.documents.environment import (
    Breaker,
    Controls,
    Customers,
    Environment,
    Kubernetes,
    Prometheus,
    Signal,
    Toxiproxy,
    Workload,
)
from holdfast.documents.experiments import (
    Between,
    Extension,
    Good,
    JourneyFile,
    ObjectiveFile,
    Pick,
    Request,
    Step,
    Until,
)
from holdfast.documents.kinds import Duration, DurationText, Rate, Url, per_second
from holdfast.documents.ledger import Ledger, Source, Sql
from holdfast.documents.policy import Alerts, Budget, Calendar, Hours, Policy
from holdfast.documents.rates import RateFile
from holdfast.documents.strict_yaml import read_yaml
from holdfast.documents.variants import AS_WRITTEN, Variant
from holdfast.errors import InvalidInput

__all__ = [
    "AS_WRITTEN",
    "Alerts",
    "Between",
    "Breaker",
    "Budget",
    "Calendar",
    "Control",
    "ControlFile",
    "Controls",
    "Customers",
    "Duration",
    "DurationText",
    "Environment",
    "Extension",
    "Good",
    "Hours",
    "JourneyFile",
    "Kubernetes",
    "Ledger",
    "ObjectiveFile",
    "Pick",
    "Policy",
    "Prometheus",
    "Rate",
    "RateFile",
    "Request",
    "Signal",
    "Source",
    "Sql",
    "Step",
    "Toxiproxy",
    "Until",
    "Url",
    "Variant",
    "Workload",
    "checked",
    "per_second",
    "read_calendar",
    "read_controls",
    "read_environment",
    "read_journeys",
    "read_objectives",
    "read_rates",
    "recorded",
    "seconds",
]


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
        raise _wrong(place, error) from None


def _wrong(place: str, error: ValidationError) -> InvalidInput:
    wrong = [
        f"{'.'.join(str(part) for part in one['loc']) or 'the whole'}: {one['msg']}"
        for one in error.errors(include_url=False)
    ]
    wrong[10:] = [f"and {len(wrong) - 10} more"] if len(wrong) > 10 else []
    return InvalidInput(place, "; ".join(wrong), "Correct these keys")


def read_environment(path: Path) -> Environment:
    """The environment file; relative paths, such as `kubeconfig:`, lie beside it.

    The kubeconfig `in-cluster` is no path.
    """
    environment = checked(Environment, read_yaml(path), str(path))

    def beside(name: str) -> str:
        return str((path.parent / expanduser(name)).resolve())  # noqa: PTH111

    kubernetes, policy = environment.kubernetes, environment.policy
    if kubernetes.kubeconfig != "in-cluster":
        place = beside(kubernetes.kubeconfig)
        kubernetes = kubernetes.model_copy(update={"kubeconfig": place})
    if policy.freeze:
        policy = policy.model_copy(update={"freeze": beside(policy.freeze)})
    entrance = environment.customers
    if entrance.ca:
        entrance = entrance.model_copy(update={"ca": beside(entrance.ca)})
    ledger = environment.ledger
    if ledger:
        ledger = ledgers.beside(ledger, path, beside)
    changed = {
        "kubernetes": kubernetes,
        "policy": policy,
        "customers": entrance,
        "ledger": ledger,
    }
    return environment.model_copy(update=changed)


def read_calendar(path: Path) -> Calendar:
    """A change-freeze calendar."""
    return checked(Calendar, read_yaml(path), str(path))


def read_journeys(path: Path) -> Mapping[str, JourneyFile]:
    """What customers do, by name."""
    return _named(JourneyFile, path)


def read_objectives(path: Path) -> Mapping[str, ObjectiveFile]:
    """What is promised, by name."""
    return _named(ObjectiveFile, path)


def read_controls(path: Path) -> ControlFile:
    """Which planted defect has to do what to which experiment."""
    try:
        read: ControlFile = TypeAdapter(ControlFile).validate_python(read_yaml(path))
    except ValidationError as error:
        raise _wrong(str(path), error) from None
    return read


def read_rates(path: Path) -> dict[str, RateFile]:
    """How often each way to fail happens, by name."""
    return _named(RateFile, path)


def _named[T: BaseModel](schema: type[T], path: Path) -> dict[str, T]:
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InvalidInput(str(path), "is not a mapping of names", "Correct the file")
    return {str(name): checked(schema, one, f"{path}: {name}") for name, one in data.items()}
