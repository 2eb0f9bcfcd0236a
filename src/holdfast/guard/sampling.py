"""While a run is on: every few seconds, one look at the guards, and a reason to abort or none.

The watchdog calls `look` every 5 s from the start of the run to the end of its undo. What cannot be
known aborts: at once when a system answers and its answer is no good, at the second look in a row
when Prometheus does not answer at all.
"""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import isfinite

from holdfast.clock import SECOND, now_ns
from holdfast.documents import Environment
from holdfast.errors import HoldfastError, Silent
from holdfast.guard.health import COVERED_MIN, critical
from holdfast.model import Sample
from holdfast.prometheus import Prometheus
from holdfast.signals import FRESH_S, age, covered_shares, failed_shares

type Recent = Callable[[int], list[Sample]]

CALL_S = 5.0  # a Prometheus that takes longer has not answered
CUSTOMERS_S = 60  # the window of customers' own error share
IN_A_ROW = 2  # looks: of customers over their limit, of a silent Prometheus
# Google, The Site Reliability Workbook, chapter 5, table 5-8: the two rules that page
BURN = ((14.4, 300, 3600), (6.0, 1800, 21600))  # times the budget's pace, both windows in s


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
        self._prometheus = Prometheus(environment.prometheus.url, CALL_S)
        self._since_ns = now_ns()
        self._silent = self._over = 0

    def look(self) -> str:
        """Why the run has to be aborted now, or '' when all is well.

        Never raises. It may take as long as two calls to Prometheus (10 s; 5 s when it is silent),
        so a watchdog that has anything else to do calls it from a thread.
        """
        asked = (self._alerts, self._fresh, self._burning, self._customers)
        with ThreadPoolExecutor(len(asked)) as pool:
            found = [*pool.map(_answered, asked)]
        silent = [str(one) for one in found if isinstance(one, Silent)]
        self._silent = self._silent + 1 if silent else 0
        reasons = [str(one) for one in found if one and not isinstance(one, Silent)]
        if self._silent >= IN_A_ROW:
            reasons.append(f"{silent[0]} ({self._silent} looks in a row)")
        return "; ".join(reasons)

    def _alerts(self) -> str:
        """No alert that would forbid a start fires, but those that are expected."""
        firing = critical(self._environment, self._prometheus.alerts(), self._expected)
        names = ", ".join(firing)
        return f"alert {names} fires, and the experiment does not expect it" if names else ""

    def _fresh(self) -> str:
        """Prometheus still hears of the entrance."""
        old_s = self._prometheus.number(age(self._environment.named("entrance")))
        if old_s is None or not old_s <= FRESH_S:
            seen = "has no sample of" if old_s is None else f"was last told {old_s:.0f} s ago of"
            return f"Prometheus {seen} the entrance: nothing is known of customers there"
        return ""

    def _burning(self) -> str:
        """The error budget is not spent at a pace that pages, on both windows of a rule."""
        mode, budget = self._environment.burn, self._environment.policy.budget
        if mode == "off":
            return ""
        if budget is None:
            return "the burn rate has to be watched, and no `policy.budget` says what is promised"
        entrance = self._environment.named("entrance")
        windows = [seconds for _, *both in BURN for seconds in both]
        covered = self._prometheus.shares(covered_shares(entrance, windows))
        failed = self._prometheus.shares(failed_shares(entrance, windows))
        known = {
            one: failed[one] / (1 - budget.objective)
            for one in windows
            if covered.get(one, 0.0) >= COVERED_MIN and isfinite(failed.get(one, float("nan")))
        }
        if mode == "required" and (blind := [one for one in windows if one not in known]):
            return f"the burn rate over {', '.join(f'{one} s' for one in blind)} is not known"
        return "; ".join(_too_fast(known))

    def _customers(self) -> str:
        """No more of the customers' requests of the last minute failed than the policy allows."""
        limit = self._environment.policy.max_error_share
        if limit is None:
            return ""
        settled = self._recent(now_ns() - CUSTOMERS_S * SECOND)
        if not settled:
            quiet = now_ns() - self._since_ns > CUSTOMERS_S * SECOND
            return f"no request of customers was settled for {CUSTOMERS_S} s" if quiet else ""
        share = sum(one.outcome != "ok" for one in settled) / len(settled)
        self._over = self._over + 1 if share > limit else 0
        if self._over < IN_A_ROW:
            return ""
        return (
            f"{share:.1%} of {len(settled)} requests of customers failed within {CUSTOMERS_S} s,"
            f" {limit:.1%} are allowed"
        )


def _too_fast(rates: dict[int, float]) -> Iterator[str]:
    """The rules that page, of those whose windows are both known."""
    for limit, short, long in BURN:
        if min(rates.get(short, 0.0), rates.get(long, 0.0)) >= limit:
            yield (
                f"error budget burns {rates[short]:.1f} times too fast over {short} s and"
                f" {rates[long]:.1f} times over {long} s; {limit:g} is the limit"
            )


def _answered(ask: Callable[[], str]) -> HoldfastError | str:
    try:
        return ask()
    except HoldfastError as error:
        return error
    except Exception as error:  # noqa: BLE001  # a guard that cannot look has seen nothing good
        return f"a guard could not look: {error!r}"
