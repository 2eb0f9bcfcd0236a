"""Is the platform well enough: alerts, error budget, burn rate; and the sampler while a run is on.

The fake Prometheus answers by what is asked; the queries themselves run against the lab's real one
in `tests/lab/test_guards.py`.
"""

from math import nan
from typing import Any

import pytest

from holdfast import guard
from holdfast.clock import SECOND, now_ns
from holdfast.documents import Environment
from holdfast.errors import Unreachable
from holdfast.guard import Sampler
from holdfast.model import Sample
from holdfast.prometheus import Prometheus
from tests.fakes import Broken, FakePrometheus, absent
from tests.test_guard import refused
from tests.test_guard_consent import environment

pytestmark = pytest.mark.integration

HOST = "127.10.0.13"
BUDGET = {"objective": 0.999}
WINDOWS = (300, 3600, 1800, 21600)


class Seen:
    """What Prometheus knows: the share that failed and how much is covered, by window; its age."""

    def __init__(self, failed: float = 0.0, covered: float = 1.0, age: float | None = 1.0) -> None:
        self.failed = dict.fromkeys((*WINDOWS, 2592000), failed)
        self.covered = dict.fromkeys((*WINDOWS, 2592000), covered)
        self.age = age

    def __call__(self, query: str) -> list[dict[str, Any]]:
        """The vector that a query is answered with."""
        if "count_over_time" in query:
            return self._windows(self.covered, query)
        if "increase" in query:
            return self._windows(self.failed, query)
        return [] if self.age is None else [{"metric": {}, "value": [1.0, str(self.age)]}]

    def _windows(self, values: dict[int, float], query: str) -> list[dict[str, Any]]:
        return [
            {"metric": {"window": str(one)}, "value": [1.0, str(value)]}
            for one, value in values.items()
            if f'"window", "{one}"' in query
        ]


def at(url: str, kind: str = "laboratory", **policy: Any) -> Environment:
    """An environment whose Prometheus is there."""
    there = environment(kind, **policy)
    return there.model_copy(update={"prometheus": there.prometheus.model_copy(update={"url": url})})


@pytest.fixture
def seen(prometheus: FakePrometheus) -> Seen:
    """All is well."""
    prometheus.vectors = Seen()
    return prometheus.vectors


# ── alerts before a start ─────────────────────────────────────────────────────────────────────────


@pytest.mark.row(29)
def test_a_critical_alert_that_fires_forbids_a_start(prometheus: FakePrometheus) -> None:
    client, there = Prometheus(prometheus.url), environment("laboratory")
    assert guard.check_alerts(there, client).startswith("none of critical, page is firing")
    prometheus.fire("WalletSlow", "page")
    words = refused(lambda: guard.check_alerts(there, client))
    assert words.startswith("alert WalletSlow: it is firing")


@pytest.mark.parametrize(
    ("severity", "state", "forbids"),
    [
        ("critical", "firing", True),
        ("Critical", "firing", True),
        ("critical", "pending", False),
        ("warning", "firing", False),
        ("", "firing", False),
    ],
)
def test_which_alerts_forbid(
    prometheus: FakePrometheus, severity: str, state: str, forbids: bool
) -> None:
    prometheus.fire("WalletSlow", severity, state)
    client, there = Prometheus(prometheus.url), environment("laboratory")
    if forbids:
        refused(lambda: guard.check_alerts(there, client))
    else:
        assert "of 1 active" in guard.check_alerts(there, client)


def test_the_policy_says_which_severities(prometheus: FakePrometheus) -> None:
    prometheus.fire("WalletSlow", "warning")
    there = environment("laboratory", alerts={"severities": ["warning"]})
    refused(lambda: guard.check_alerts(there, Prometheus(prometheus.url)))


def test_production_without_alerting_rules_would_notice_nothing(
    prometheus: FakePrometheus,
) -> None:
    client, there = Prometheus(prometheus.url), environment("production")
    assert "has no alerting rule" in refused(lambda: guard.check_alerts(there, client))
    prometheus.rules = ["WalletSlow"]
    guard.check_alerts(there, client)


@pytest.mark.parametrize(
    "alerts",
    [[{"labels": {}, "state": "firing"}], [{"state": "firing"}], ["x"], 7],
    ids=["no name", "no labels", "text", "number"],
)
def test_alerts_of_another_form_are_no_good_news(prometheus: FakePrometheus, alerts: Any) -> None:
    prometheus.alerts = alerts
    with pytest.raises(Unreachable, match="does not list its alerts"):
        Prometheus(prometheus.url).alerts()


def test_alerts_with_warnings_are_no_good_news(prometheus: FakePrometheus) -> None:
    prometheus.warnings = ["a store did not answer"]
    with pytest.raises(Unreachable, match="a store did not answer"):
        Prometheus(prometheus.url).alerts()


# ── error budget ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("failed", "left"), [(0.0, "100%"), (0.0005, "50%"), (0.00074, "26%")])
def test_a_quarter_of_the_error_budget_has_to_be_left(
    prometheus: FakePrometheus, seen: Seen, failed: float, left: str
) -> None:
    seen.failed[2592000] = failed
    there = environment("production", budget=BUDGET)
    words = guard.check_error_budget(there, Prometheus(prometheus.url))
    assert words == f"{left} left over 720 h, 25% is needed"


@pytest.mark.parametrize(("failed", "left"), [(0.00076, "24%"), (0.5, "0%")])
def test_too_little_error_budget(
    prometheus: FakePrometheus, seen: Seen, failed: float, left: str
) -> None:
    seen.failed[2592000] = failed
    there = environment("laboratory", budget=BUDGET)
    words = refused(lambda: guard.check_error_budget(there, Prometheus(prometheus.url)))
    assert f"{left} of it is left, 25% is needed" in words


@pytest.mark.row(27)
@pytest.mark.parametrize(("failed", "covered"), [(0.0, 0.89), (nan, 1.0), (None, 1.0), (0.0, None)])
def test_an_error_budget_that_nobody_knows(
    prometheus: FakePrometheus, seen: Seen, failed: float | None, covered: float | None
) -> None:
    """No request, no series, or too little of the window."""
    for values, value in ((seen.failed, failed), (seen.covered, covered)):
        if value is None:
            del values[2592000]
        else:
            values[2592000] = value
    there = environment("staging", budget=BUDGET)
    with pytest.raises(Unreachable, match="90% are needed"):
        guard.check_error_budget(there, Prometheus(prometheus.url))


def test_production_without_a_budget(prometheus: FakePrometheus) -> None:
    client = Prometheus(prometheus.url)
    words = refused(lambda: guard.check_error_budget(environment("production"), client))
    assert "production needs `policy.budget`" in words
    guard.check_error_budget(environment("staging"), client)


def test_production_watches_the_burn_rate() -> None:
    assert guard.check_burn(environment("production", budget=BUDGET)) == "required"
    assert guard.check_burn(environment("laboratory")) == "off"
    assert "no budget says what is promised" in refused(
        lambda: guard.check_burn(environment("staging"))
    )


@pytest.mark.parametrize("mode", ["on", "off", True, False])
def test_production_watches_nothing_less(mode: str | bool) -> None:
    """Bare `on` and `off` are true and false in YAML 1.1."""
    there = environment("production", budget=BUDGET, burn=mode)
    assert there.burn in ("on", "off")
    assert "production needs it to be required" in refused(lambda: guard.check_burn(there))


# ── while a run is on ─────────────────────────────────────────────────────────────────────────────


def nobody(_since_ns: int) -> list[Sample]:
    """No customer."""
    return []


def sampler(there: Environment, *expected: str) -> Sampler:
    return Sampler(there, expected, nobody)


def test_all_is_well(prometheus: FakePrometheus, seen: Seen) -> None:
    required = at(prometheus.url, "production", budget=BUDGET)
    for there in (at(prometheus.url), required):
        watching = sampler(there)
        assert [watching.look() for _ in range(3)] == ["", "", ""]


@pytest.mark.row(29)
def test_an_alert_that_is_not_expected_aborts(prometheus: FakePrometheus, seen: Seen) -> None:
    prometheus.fire("WalletSlow")
    prometheus.fire("DiskFull", "warning")
    assert sampler(at(prometheus.url), "WalletSlow").look() == ""
    words = sampler(at(prometheus.url), "Other").look()
    assert words == "alert WalletSlow fires, and the experiment does not expect it"


@pytest.mark.row(27)
@pytest.mark.parametrize(
    ("age", "words"),
    [
        (None, "has no sample of the entrance"),
        (31.0, "was last told 31 s ago of the entrance"),
        (nan, "of the entrance"),
        (30.0, ""),
    ],
)
def test_an_entrance_that_nobody_hears_of_aborts_at_once(
    prometheus: FakePrometheus, seen: Seen, age: float | None, words: str
) -> None:
    seen.age = age
    found = sampler(at(prometheus.url)).look()
    assert words in found
    assert bool(found) is bool(words)


@pytest.mark.parametrize(
    ("failed", "pages"),
    [
        ({300: 0.0145, 3600: 0.0145}, "14.5 times too fast over 300 s and 14.5 times over 3600 s"),
        ({300: 0.0145, 3600: 0.0143}, ""),
        ({300: 0.0143, 3600: 0.0145}, ""),
        ({1800: 0.0061, 21600: 0.0061}, "6.1 times too fast over 1800 s and 6.1 times over 21600"),
        ({1800: 0.0061, 21600: 0.0059}, ""),
        ({1800: 0.0059, 21600: 0.0061}, ""),
    ],
)
@pytest.mark.parametrize("kind", ["staging", "production"])
def test_a_budget_that_burns_too_fast_on_both_windows_aborts(
    prometheus: FakePrometheus, seen: Seen, failed: dict[int, float], pages: str, kind: str
) -> None:
    seen.failed |= failed
    words = sampler(at(prometheus.url, kind, budget=BUDGET)).look()
    assert pages in words
    assert bool(words) is bool(pages)


def test_a_window_counts_only_when_data_covers_it(prometheus: FakePrometheus, seen: Seen) -> None:
    """Where it is required, not to know aborts; elsewhere the other rule still decides."""
    seen.failed |= {300: 1.0, 3600: 1.0}
    seen.covered[3600] = 0.89
    assert sampler(at(prometheus.url, "staging", budget=BUDGET)).look() == ""
    words = sampler(at(prometheus.url, "production", budget=BUDGET)).look()
    assert words == "the burn rate over 3600 s is not known"
    seen.covered[3600] = 0.9
    assert "14.4 is the limit" in sampler(at(prometheus.url, "staging", budget=BUDGET)).look()


@pytest.mark.row(27)
@pytest.mark.parametrize("failed", [nan, None])
def test_a_window_without_a_request(
    prometheus: FakePrometheus, seen: Seen, failed: float | None
) -> None:
    if failed is None:
        del seen.failed[300]
    else:
        seen.failed[300] = failed
    assert sampler(at(prometheus.url, "staging", budget=BUDGET)).look() == ""
    words = sampler(at(prometheus.url, "production", budget=BUDGET)).look()
    assert words == "the burn rate over 300 s is not known"


def test_off_in_a_laboratory(prometheus: FakePrometheus, seen: Seen) -> None:
    seen.failed = dict.fromkeys(WINDOWS, 1.0)
    assert sampler(at(prometheus.url, budget=BUDGET)).look() == ""
    assert "14.4 is the limit" in sampler(at(prometheus.url, budget=BUDGET, burn="on")).look()


# ── the customers' own error share ────────────────────────────────────────────────────────────────


class Customers:
    """So many requests of the last minute, of which so many failed."""

    def __init__(self, sent: int, failed: int) -> None:
        self.sent, self.failed = sent, failed
        self.since_ns = 0

    def __call__(self, since_ns: int) -> list[Sample]:
        """The requests that were settled since then."""
        self.since_ns = since_ns
        outcomes = ["reset"] * self.failed + ["ok"] * (self.sent - self.failed)
        return [Sample("balance", 1, 2, 3, outcome, 200) for outcome in outcomes]


def test_customers_over_their_limit_twice_in_a_row_abort(
    prometheus: FakePrometheus, seen: Seen
) -> None:
    customers = Customers(100, 6)
    watching = Sampler(at(prometheus.url, max_error_share=0.05), (), customers)
    assert watching.look() == ""
    assert watching.look().startswith("6.0% of 100 requests of customers failed within 60 s")
    assert 59 < (now_ns() - customers.since_ns) / SECOND < 61
    customers.failed = 5
    assert watching.look() == "", "at its limit is not over it"
    customers.failed = 6
    assert watching.look() == "", "not in a row"


def test_customers_without_a_limit_are_not_asked(prometheus: FakePrometheus, seen: Seen) -> None:
    watching = Sampler(at(prometheus.url), (), Customers(100, 100))
    assert [watching.look(), watching.look()] == ["", ""]


def test_customers_of_whom_nobody_hears(prometheus: FakePrometheus, seen: Seen) -> None:
    watching = Sampler(at(prometheus.url, max_error_share=0.05), (), nobody)
    assert watching.look() == "", "they may not have begun"
    watching._since_ns -= 61 * SECOND
    assert watching.look() == "no request of customers was settled for 60 s"


def test_a_guard_that_fails_itself_aborts(prometheus: FakePrometheus, seen: Seen) -> None:
    def defect(_since_ns: int) -> list[Sample]:
        raise ZeroDivisionError("a defect")

    watching = Sampler(at(prometheus.url, max_error_share=0.05), (), defect)
    assert "a guard could not look: ZeroDivisionError('a defect')" in watching.look()


# ── a Prometheus that does not answer well ────────────────────────────────────────────────────────


@pytest.mark.row(25)
def test_a_prometheus_that_is_down_aborts_at_the_second_look() -> None:
    """Looks come every 5 s, so within 15 s; one call that is lost is no breach."""
    watching = sampler(at(absent(HOST)))
    assert watching.look() == ""
    assert "could not be reached" in watching.look()


@pytest.mark.row(26)
def test_a_prometheus_that_is_slow_aborts_at_the_second_look() -> None:
    with Broken("silent", HOST) as server:
        watching = sampler(at(server.url))
        watching._prometheus = Prometheus(server.url, 0.2)
        assert watching.look() == ""
        words = watching.look()
    assert "did not answer within 0.2 s" in words
    assert "(2 looks in a row)" in words


@pytest.mark.row(26)
def test_a_look_takes_no_longer_than_one_call() -> None:
    with Broken("silent", HOST) as server:
        began = now_ns()
        assert sampler(at(server.url, "production", budget=BUDGET)).look() == ""
        assert now_ns() - began < 7 * SECOND


def test_a_prometheus_that_comes_back_is_not_counted_on(
    prometheus: FakePrometheus, seen: Seen
) -> None:
    watching = sampler(at(prometheus.url))
    good, lost = watching._prometheus, Prometheus(absent(HOST))
    for client in (lost, good, lost):
        watching._prometheus = client
        assert watching.look() == ""


@pytest.mark.row(27)
@pytest.mark.parametrize("kind", ["500", "html", "other", "empty", "redirect", "busy"])
def test_nonsense_aborts(kind: str) -> None:
    with Broken(kind, HOST) as server:
        watching = sampler(at(server.url))
        assert watching.look() or watching.look()


@pytest.mark.row(27)
def test_warnings_abort_at_once(prometheus: FakePrometheus, seen: Seen) -> None:
    prometheus.warnings = ["a store did not answer"]
    assert "it warns" in sampler(at(prometheus.url)).look()


@pytest.mark.row(27)
def test_a_query_error_aborts_at_once(prometheus: FakePrometheus) -> None:
    prometheus.failure = 422, {"status": "error", "errorType": "execution", "error": "too many"}
    assert "too many" in sampler(at(prometheus.url)).look()


@pytest.mark.row(27)
def test_another_kind_of_answer_aborts_at_once(prometheus: FakePrometheus) -> None:
    """A matrix where one number was asked for."""
    assert "it does not answer with numbers" in sampler(at(prometheus.url)).look()
