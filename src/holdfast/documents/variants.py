"""How a control run differs from the experiment as it is written: pure, before it is checked."""

import copy
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

from holdfast.documents.kinds import per_second

NO_FAULT = ("holdfast.actions.null", "no_fault")
INSTANT = {("holdfast.actions.pods", "kill"), NO_FAULT}  # nothing stays that could be held
_SHORT_S = 10.0  # a phase of a short run; longer where the load is too small for its windows
_SHORT_HOLD = "20s"  # where nothing is held, and nothing has to be seen to come too late
_LATENCY_NEEDS = 299  # requests that show a share below 1 % (measure.ratio.needed)


@dataclass(frozen=True)
class Variant:
    """A control run: without a fault (`null`), or against a planted defect (`sabotage`).

    `short` shortens the phases: what needs thousands of requests is then not judged.
    """

    null: bool = False
    sabotage: str = ""
    short: bool = False

    @property
    def control(self) -> str:
        """What it is called in the record of a run; empty for an ordinary one."""
        return "null" if self.null else f"sabotage {self.sabotage}" if self.sabotage else ""

    def leaves_out(self, kind: str) -> bool:
        """Can objectives of that kind not be judged in it? Without a fault nothing fails over."""
        return (self.null and kind == "failover") or (self.short and kind == "success")


AS_WRITTEN = Variant()


def vary(document: Any, variant: Variant) -> Any:
    """The experiment of that variant. What is not shaped like one comes back as it is."""
    changed = copy.deepcopy(document)
    try:
        if variant.null:
            module, func = NO_FAULT
            provider = {"type": "python", "module": module, "func": func}
            changed["method"][0] = {"type": "action", "name": "no-fault", "provider": provider}
        if variant.short:
            _shorten(changed, hold=not variant.sabotage)
    except (KeyError, IndexError, TypeError, ValueError):
        return document  # reading it will say what is wrong
    return changed


def _shorten(document: Any, *, hold: bool) -> None:
    (ours,) = [one for one in document["extensions"] if one.get("name") == "holdfast"]
    rates = [per_second(one) for one in ours["load"].values() if isinstance(one, str)]
    slowest = min(rates, default=inf)  # of a shape, the plan itself says what is too short
    phase = f"{max(_SHORT_S, ceil((_LATENCY_NEEDS + 1) / slowest)):g}s"
    ours["before"] = ours["after"] = phase
    fault, wait = document["method"][0]["provider"], document["method"][1]["provider"]
    if hold and (fault["module"], fault["func"]) in INSTANT:
        wait["arguments"]["at_least"] = _SHORT_HOLD
