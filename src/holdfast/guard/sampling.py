"""While a run is on: every few seconds, one look at the guards, and a reason to abort or none.

The watchdog calls `look` every 5 s from the start of the run to the end of its undo.
"""

from collections.abc import Callable, Collection

from holdfast.documents import Environment
from holdfast.model import Sample

type Recent = Callable[[int], list[Sample]]


class Sampler:
    """What the guards see of one run.

    `expects_alerts` names the alerts that the experiment expects to fire; `recent` answers with the
    customers' requests that were settled at a monotonic instant (ns) or later.
    """

    def __init__(
        self, environment: Environment, expects_alerts: Collection[str], recent: Recent
    ) -> None:
        self._environment = environment
        self._expected = frozenset(expects_alerts)
        self._recent = recent

    def look(self) -> str:
        """Why the run has to be aborted now, or '' when all is well. Never raises; under 6 s."""
        return ""
