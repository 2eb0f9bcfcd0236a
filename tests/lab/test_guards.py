"""Guards that ask other systems, asked of the lab's real ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from benchmarks.rights import Person, admin
from holdfast.clock import until
from holdfast.documents import Environment, checked
from holdfast.guard import Sampler
from holdfast.prometheus import Prometheus
from holdfast.signals import Named, age, covered_shares, failed_shares
from lab.addresses import Lab
from tests.lab.conftest import ROOT, holdfast

BUDGETS = "/apis/policy/v1/namespaces/wallet/poddisruptionbudgets"
KILL, DROP = (ROOT / "experiments" / f"{one}.yaml" for one in ("kill-wallet-pods", "drop-zone"))
RULE = "NoTransfers"  # of lab/rules.yaml: it fires when nobody pays
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def boss(lab: dict[str, Any]) -> Person:
    """The administrator."""
    return admin(Lab.of(int(lab["name"].removeprefix("lab-"))))


def changed(lab: dict[str, Any], **policy: Any) -> dict[str, Any]:
    """The lab's environment file with another policy."""
    return {**lab, "policy": {**lab["policy"], **policy}}


def plan(path: Path, folder: Path, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What `holdfast plan` says there, and its exit code."""
    (folder / "environment.yaml").write_text(yaml.safe_dump(document))
    done = holdfast("plan", str(path), "--json", folder=folder)
    return done.returncode, json.loads(done.stdout)


def said(record: dict[str, Any], guard: str) -> str:
    """What one guard said."""
    return str(next(one["says"] for one in record["guards"] if one["guard"] == guard))


# ── disruption budgets ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def budget(boss: Person) -> Iterator[None]:
    """No replica of the wallet may go."""
    selector = {"matchLabels": {"app": "wallet-api"}}
    body = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "all-of-them"},
        "spec": {"minAvailable": "100%", "selector": selector},
    }
    assert boss.call("POST", BUDGETS, body)[0] == 201

    def known() -> bool:
        _, answer = boss.call("GET", f"{BUDGETS}/all-of-them")
        return bool(answer.get("status", {}).get("currentHealthy") == 3)

    assert until(known, seconds=20)
    yield
    boss.call("DELETE", f"{BUDGETS}/all-of-them")


def test_a_real_disruption_budget_forbids_a_kill(
    lab: dict[str, Any], budget: None, tmp_path: Path
) -> None:
    code, record = plan(KILL, tmp_path, lab)
    assert code == 6
    assert "wallet/all-of-them: 1 of its pods would go, 0 may" in said(record, "disruption")
    code, record = plan(DROP, tmp_path, lab)
    assert code == 0, "a zone that is lost does not ask"
    assert said(record, "disruption of a zone") == "wallet/all-of-them: 1 go, 0 may"
    assert record["prediction"]["budgets"] == ["wallet/all-of-them: 1 of its pods go, 0 may"]


def test_a_kill_without_a_budget_may_start(lab: dict[str, Any], tmp_path: Path) -> None:
    code, record = plan(KILL, tmp_path, lab)
    assert code == 0
    assert said(record, "disruption") == "no budget covers them"


# ── alerts ────────────────────────────────────────────────────────────────────────────────────────


def environment(document: dict[str, Any]) -> Environment:
    """The environment of that document."""
    return checked(Environment, document, "environment.yaml")


@pytest.mark.row(29)
def test_an_alert_that_really_fires_forbids_a_start_and_ends_a_run(
    lab: dict[str, Any], tmp_path: Path
) -> None:
    """Nobody pays in this lab now; a policy that takes `info` for critical has to see it."""
    strict = changed(lab, alerts={"severities": ["info"]})
    client = Prometheus(lab["prometheus"]["url"])
    assert RULE in client.alerting_rules()

    def fires() -> bool:
        return any(one.name == RULE and one.firing for one in client.alerts())

    assert until(fires, seconds=60, every=1)
    code, record = plan(KILL, tmp_path, strict)
    assert code == 6
    assert f"alert {RULE}: it is firing" in said(record, "alerts")
    there = environment(strict)
    assert f"alert {RULE} fires" in Sampler(there, (), lambda _: []).look()
    assert Sampler(there, [RULE], lambda _: []).look() == ""
    assert Sampler(environment(lab), (), lambda _: []).look() == ""


# ── the queries ───────────────────────────────────────────────────────────────────────────────────


def test_the_queries_mean_what_they_say(lab: dict[str, Any]) -> None:
    """On the real Prometheus: half a minute is covered and nobody failed; ten hours are not.

    The last hour is as it was: what ran on this lab before may have failed customers.
    """
    client, entrance = Prometheus(lab["prometheus"]["url"]), environment(lab).named("entrance")

    def covered() -> bool:
        return client.shares(covered_shares(entrance, [30])).get(30, 0.0) >= 0.9

    balance = f"{lab['customers']['url']}/accounts/acc-0001/balance"

    def served() -> bool:
        requests.get(balance, timeout=5)
        failed = client.shares(failed_shares(entrance, [30, 3600]))
        return failed.get(30) == 0.0 and 0.0 <= failed.get(3600, -1.0) < 1.0

    assert until(served, seconds=30, every=0.5)
    assert until(covered, seconds=60, every=1)
    newest = client.number(age(entrance))
    assert newest is not None
    assert 0 <= newest < 5
    assert client.shares(covered_shares(entrance, [36_000])).get(36_000, 0.0) < 0.9
    nobody = Named("no_such_metric")
    assert client.number(age(nobody)) is None
    assert client.shares(failed_shares(nobody, [30])) == {}
    assert client.shares(covered_shares(nobody, [30])) == {}


def test_a_burn_rate_that_is_required_and_not_known_ends_a_run(lab: dict[str, Any]) -> None:
    """The lab's Prometheus has no six hours behind it."""
    required = changed(lab, budget={"objective": 0.999}, burn="required")
    words = Sampler(environment(required), (), lambda _: []).look()
    assert "21600 s" in words
    assert "is not known" in words
