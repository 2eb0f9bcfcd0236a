"""The guards as `holdfast plan` asks them: production in order passes, one thing amiss is refused.

Each deviation is refused by the guard that is named, so that a guard that nobody asks is found out.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast import guard, plan
from holdfast.clock import utc_now
from holdfast.documents import read_environment
from holdfast.errors import Refused
from holdfast.guard import Consent
from holdfast.guard.approval import _spki
from tests.fakes import FakeKubernetes, FakePrometheus
from tests.plan_case import Here, everything
from tests.test_cli import holdfast
from tests.test_documents import changed
from tests.test_guard_health import Seen

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
# whole days in two zones: a test that runs at midnight in one is at another hour in the other
ALWAYS = [{"days": [*DAYS], "hours": "00:00-24:00", "zone": zone} for zone in ("UTC", "Asia/Tokyo")]
CALENDAR = {"zone": "UTC", "valid_until": "9999-12-31", "frozen": []}


class Production:
    """Production with everything in order; each test puts one thing out of it."""

    def __init__(self, here: Here, prometheus: FakePrometheus) -> None:
        self.here, self.prometheus = here, prometheus
        prometheus.vectors = self.seen = Seen()
        prometheus.rules = ["WalletSlow"]
        private = Ed25519PrivateKey.generate()
        self.key = here.folder / "ana.pem"
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.key.write_bytes(pem)
        self.freeze(CALENDAR)
        here.document |= {"kind": "production", "name": "wallet-prod"}
        here.document["policy"] |= {
            "windows": ALWAYS,
            "freeze": "freeze.yaml",
            "budget": {"objective": 0.999},
            "approvers": {"ana": _spki(private.public_key())},
            "protected": ["tier=ledger"],
            "reaper": "off",
        }
        self.said: dict[str, Any] = {"confirm": "wallet-prod", "operator": "bob"}
        self.name = "kill-wallet-pods"
        here.change("extensions.0.environments", ["wallet-prod"], name=self.name)

    def freeze(self, calendar: object) -> None:
        """Write the change-freeze calendar."""
        (self.here.folder / "freeze.yaml").write_text(yaml.safe_dump(calendar))

    def policy(self, key: str, value: Any) -> Self:
        """Change the policy."""
        self.here.document = changed(self.here.document, f"policy.{key}", value)
        return self

    def change(self, place: str, value: Any) -> Self:
        """Change the experiment."""
        self.here.change(place, value)
        return self

    def consent(self) -> Consent:
        """What the person says, with Ana's approval of the experiment as it is now."""
        path = self.here.path(self.name)
        there = read_environment(self.here.environment)
        what = plan.read(path, self.here.environment).substance()
        given = guard.approve(what, there, self.key, utc_now(), timedelta(hours=1))
        approval = self.here.folder / "approval.json"
        approval.write_text(json.dumps(given))
        return Consent(**{"approval": approval, **self.said})

    def survey(self) -> plan.Plan:
        """The plan, with what every guard says."""
        consent = self.consent()
        return plan.survey(self.here.path(self.name), self.here.environment, consent)


@pytest.fixture
def production(
    kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path
) -> Iterator[Production]:
    """Everything answers well, and everything is in order."""
    with everything(kubernetes, prometheus, tmp_path) as here:
        yield Production(here, prometheus)


def test_production_in_order_may_be_broken(production: Production) -> None:
    made = production.survey()
    assert [str(one) for one in made.refusals()] == []
    asked = [one.guard for one in made.guards]
    for name in ("approval", "confirmed", "environment", "windows", "freeze", "hold", "burn"):
        assert name in asked
    for name in ("alerts", "error budget", "rights", "cluster", "namespaces", "disruption"):
        assert name in asked


type Amiss = Callable[[Production], object]
AMISS: dict[str, tuple[str, Amiss]] = {
    "no name in the experiment": (
        "environment",
        lambda it: it.change("extensions.0.environments", []),
    ),
    "another name": (
        "environment",
        lambda it: it.change("extensions.0.environments", ["wallet-lab"]),
    ),
    "no name typed": ("confirmed", lambda it: it.said.update(confirm="")),
    "no operator": ("approval", lambda it: it.said.update(operator="")),
    "approved by himself": ("approval", lambda it: it.said.update(operator="ana")),
    "no approval": ("approval", lambda it: it.said.update(approval=None)),
    "no windows": ("windows", lambda it: it.policy("windows", [])),
    "no calendar": ("freeze", lambda it: it.policy("freeze", None)),
    "frozen": (
        "freeze",
        lambda it: it.freeze(
            {**CALENDAR, "frozen": [{"first": "2000-01-01", "last": "9999-01-01", "why": "x"}]}
        ),
    ),
    "outdated calendar": (
        "freeze",
        lambda it: it.freeze({**CALENDAR, "valid_until": "2000-01-01"}),
    ),
    "too long a hold": ("hold", lambda it: it.policy("max_hold", "60s")),
    "burn rate not watched": ("burn", lambda it: it.policy("burn", "on")),
    "an alert": ("alerts", lambda it: it.prometheus.fire("WalletSlow")),
    "no alerting rules": ("alerts", lambda it: setattr(it.prometheus, "rules", [])),
    "no error budget left": ("error budget", lambda it: it.seen.failed.update({2592000: 0.01})),
    "a right is missing": (
        "rights",
        lambda it: it.here.kubernetes.forbidden.add("list poddisruptionbudgets"),
    ),
    "a namespace": ("namespaces", lambda it: it.policy("namespaces", ["other"])),
    "monitoring": (
        "namespaces",
        lambda it: (
            it.policy("namespaces", ["monitoring"]),
            it.change("method.0.provider.arguments.namespace", "monitoring"),
        ),
    ),
    "an empty selector": (
        "selector",
        lambda it: it.change("method.0.provider.arguments.selector", " "),
    ),
    "a protected pod": (
        "protected",
        lambda it: it.here.kubernetes.pods["wallet", "wallet-a"]["metadata"]["labels"].update(
            tier="ledger"
        ),
    ),
    "a protected workload": (
        "protected",
        lambda it: it.here.kubernetes.add_workload("deployments", "wallet-api", tier="ledger"),
    ),
    "two pods": ("pods", lambda it: it.change("method.0.provider.arguments.count", 2)),
    "two of three replicas": (
        "replicas",
        lambda it: (
            it.policy("max_pods", 2),
            it.change("method.0.provider.arguments.count", 2),
        ),
    ),
    "a disruption budget": ("disruption", lambda it: it.here.kubernetes.add_budget(0)),
}


@pytest.mark.parametrize("case", AMISS)
def test_one_thing_amiss_is_refused_by_its_guard(production: Production, case: str) -> None:
    name, amiss = AMISS[case]
    amiss(production)
    made = production.survey()
    refused = [one.guard for one in made.guards if one.refusal]
    assert name in refused
    assert set(refused) <= {name, "targets"}


def test_whoever_may_break_something_meets_the_first_refusal(production: Production) -> None:
    production.prometheus.fire("WalletSlow")
    path, where = production.here.path(production.name), production.here.environment
    with pytest.raises(Refused, match="alert WalletSlow: it is firing"):
        plan.make(path, where, production.consent())


ZONE: dict[str, tuple[str, Amiss]] = {
    "a protected node": (
        "protected",
        lambda it: it.here.kubernetes.nodes["node-b"]["metadata"]["labels"].update(tier="ledger"),
    ),
    "a protected pod there": (
        "protected",
        lambda it: it.here.kubernetes.pods["wallet", "wallet-b"]["metadata"]["labels"].update(
            tier="ledger"
        ),
    ),
    "a second zone": ("zone", lambda it: it.policy("max_zones", 0)),
    "a taint": ("taint", lambda it: it.change("method.0.provider.arguments.taint", True)),
    "every replica": (
        "replicas",
        lambda it: [
            it.here.kubernetes.pods["wallet", f"wallet-{one}"]["spec"].update(nodeName="node-b")
            for one in "ac"
        ],
    ),
    "a namespace": (
        "namespaces",
        lambda it: it.change("method.0.provider.arguments.namespaces", ["other"]),
    ),
    "a taint on the system's pods": (
        "never",
        lambda it: (
            it.policy("allow_taint", True),
            it.change("method.0.provider.arguments.taint", True),
            it.here.kubernetes.add_pod("dns-1", "node-b", "kube-system", "rs-2"),
        ),
    ),
}


@pytest.fixture
def zone(production: Production) -> Production:
    """The same, and the experiment drops a zone."""
    production.name = "drop-zone"
    production.here.experiment = {}
    production.here.change("extensions.0.environments", ["wallet-prod"], name="drop-zone")
    return production


def test_a_legal_zone_drop_is_not_held_back_by_the_share_of_pods(zone: Production) -> None:
    """A third of the replicas goes, where a fifth of them may be killed; and a budget of none."""
    zone.here.kubernetes.add_budget(0)
    made = zone.survey()
    assert [str(one) for one in made.refusals()] == []
    said = {one.guard: one.words for one in made.guards}
    assert said["replicas"] == "1 of 3 ready"
    assert said["disruption of a zone"] == "wallet/wallet-api: 1 go, 0 may"


def test_a_zone_is_dropped_with_a_prediction(zone: Production) -> None:
    prediction = zone.survey().record()["prediction"]
    assert prediction["carries"] == "yes"
    (wallet,) = prediction["workloads"]
    assert wallet["service"] is True
    assert wallet["placed"] == {"sa-east-1a": 1}


def test_pods_that_may_not_be_listed_make_it_unknown(zone: Production) -> None:
    """The right to list every pod of the cluster is one that holdfast need not have."""
    zone.here.kubernetes.forbidden.add("list pods everywhere")
    assert zone.survey().record()["prediction"]["carries"] == "unknown"


@pytest.mark.parametrize("case", ZONE)
def test_a_zone_with_one_thing_amiss(zone: Production, case: str) -> None:
    name, amiss = ZONE[case]
    amiss(zone)
    refused = [one.guard for one in zone.survey().guards if one.refusal]
    assert refused == [name]


# ── what a person sees ────────────────────────────────────────────────────────────────────────────


def said_on_the_command_line(production: Production) -> list[str]:
    consent = production.consent()
    words = ["--confirm", consent.confirm, "--operator", consent.operator]
    return [*words, "--approval", str(consent.approval)]


def test_plan_shows_every_guard_and_its_answer(production: Production) -> None:
    here = production.here
    words = said_on_the_command_line(production)
    ended = holdfast("plan", here.path(production.name), "-e", here.environment, *words)
    assert ended.code == 0
    for guard_name in ("environment", "approval", "windows", "disruption"):
        assert guard_name in ended.stdout
    assert "REFUSED" not in ended.stdout
    assert "Start it with `holdfast run`" in ended.stdout


def test_plan_shows_what_is_refused_and_ends_with_6(production: Production) -> None:
    production.prometheus.fire("WalletSlow")
    here = production.here
    words = said_on_the_command_line(production)
    ended = holdfast("plan", here.path(production.name), "-e", here.environment, *words)
    assert ended.code == 6
    assert "REFUSED" in ended.stdout
    assert "Refused by 1 of its guards" in ended.stdout
    assert ended.stderr.startswith("error: alert WalletSlow: it is firing")
    ended = holdfast("plan", here.path(production.name), "-e", here.environment, *words, "--json")
    assert ended.code == 6
    answers = {one["guard"]: one["passed"] for one in json.loads(ended.stdout)["guards"]}
    assert answers["alerts"] is False
    assert answers["approval"] is True


def test_approve_writes_what_run_accepts(production: Production) -> None:
    here, name = production.here, production.name
    path = here.path(name)
    ended = holdfast("approve", path, "-e", here.environment, "--key", production.key)
    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith(f"ana approves {path} in wallet-prod until ")
    given = here.folder / f"{name}.approval.json"
    words = ["--confirm", "wallet-prod", "--operator", "bob", "--approval", given]
    assert holdfast("plan", path, "-e", here.environment, *words).code == 0
    words[3] = "ana"
    assert holdfast("plan", path, "-e", here.environment, *words).code == 6
