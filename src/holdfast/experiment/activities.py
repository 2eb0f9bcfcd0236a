"""The activities that an experiment may call, with what each takes. Nothing foreign is imported.

holdfast's own stand in a closed list. A module that the environment allows by name is found and
read as text: `__all__`, and the signatures of its functions. It is imported when the run starts.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, get_type_hints

from holdfast.experiment import foreign

OURS = {
    "action": (
        "holdfast.actions.gateway",
        "holdfast.actions.null",
        "holdfast.actions.pods",
        "holdfast.actions.undo",
        "holdfast.actions.zones",
    ),
    "probe": (
        "holdfast.probes.breaker",
        "holdfast.probes.landed",
        "holdfast.probes.ledger",
        "holdfast.probes.recovery",
        "holdfast.probes.restart",
        "holdfast.probes.seen",
        "holdfast.probes.sla",
    ),
}


@dataclass(frozen=True)
class Call:
    """What a function takes; a type that is not known is `Any`."""

    signature: inspect.Signature
    types: Mapping[str, Any]

    def takes(self) -> list[str]:
        """The names of what an experiment may give it."""
        return [name for name in self.signature.parameters if name != "configuration"]


def own(name: str) -> ModuleType | None:
    """The module of that name on the closed list; None for any other, which is not imported."""
    listed = [one for modules in OURS.values() for one in modules if one == name]
    return importlib.import_module(listed[0]) if listed else None


def calls(name: str) -> Mapping[str, Call]:
    """What a module exports, by name.

    Raises:
        ValueError: a foreign module that is not there, or cannot be understood without running it.
    """
    if (module := own(name)) is not None:
        return _registered(module)
    return {one: Call(*taken) for one, taken in foreign.read(name).items()}


@cache
def _registered(module: ModuleType) -> Mapping[str, Call]:
    """The entries of one of our own modules, made once."""
    return {one: _call(getattr(module, one)) for one in module.__all__}


def _call(function: Callable[..., Any]) -> Call:
    hints = get_type_hints(function, include_extras=True)
    return Call(inspect.signature(function), hints)
