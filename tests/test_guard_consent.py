"""Who means to break something, and where: environment, typed name, a second person's approval."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast import guard
from holdfast.documents import Environment, recorded
from holdfast.errors import InvalidInput, Refused
from holdfast.guard import Consent
from holdfast.guard.approval import _spki
from tests.test_documents import ENVIRONMENT, changed
from tests.test_guard import refused

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def environment(kind: str, name: str = "wallet-prod", **policy: Any) -> Environment:
    document = changed(ENVIRONMENT, "kind", kind) | {"name": name, "breakers": {}, "periods": {}}
    document["policy"] = {"namespaces": ["wallet"], **policy}
    return recorded(Environment, document, "environment")


# ── the environment ───────────────────────────────────────────────────────────────────────────────


def test_an_environment_that_does_not_say_its_kind_is_production() -> None:
    document = changed(ENVIRONMENT, "kind", ...) | {"breakers": {}, "periods": {}}
    assert recorded(Environment, document, "environment").kind == "production"


def test_production_has_to_be_named_by_the_experiment() -> None:
    words = refused(lambda: guard.check_environment(environment("production"), []))
    assert "it is production, and the experiment does not say where it may run" in words
    guard.check_environment(environment("production"), ["wallet-prod"])
    guard.check_environment(environment("staging"), [])


@pytest.mark.parametrize("kind", ["laboratory", "staging", "production"])
def test_an_experiment_that_names_other_environments(kind: str) -> None:
    words = refused(lambda: guard.check_environment(environment(kind), ["wallet-lab", "other"]))
    assert "the experiment may run in wallet-lab, other" in words


def test_production_has_to_be_typed() -> None:
    production, lab = environment("production"), environment("laboratory")
    guard.check_confirmed(production, Consent(confirm="wallet-prod"))
    words = refused(lambda: guard.check_confirmed(production, Consent()))
    assert "nobody typed its name. Type `--confirm wallet-prod`" in words
    guard.check_confirmed(lab, Consent())


@pytest.mark.parametrize("kind", ["laboratory", "staging", "production"])
def test_another_name_that_was_typed_is_refused_everywhere(kind: str) -> None:
    """Whoever types a name means to be there."""
    words = refused(lambda: guard.check_confirmed(environment(kind), Consent("wallet-lab")))
    assert "`--confirm` says 'wallet-lab'" in words


# ── an approval ───────────────────────────────────────────────────────────────────────────────────


class Case:
    """An experiment, an approver's key, production, and an approval of the one by the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.what: dict[str, Any] = {
            "experiment": {"title": "it"},
            "journeys": {"balance": {"within": 2.0}},
            "objectives": {"recovery": {"limit": 60.0}},
        }
        self.key = folder / "ana.pem"
        private = Ed25519PrivateKey.generate()
        self.key.write_bytes(
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.production = environment("production", approvers={"ana": _spki(private.public_key())})
        self.given = self.approve()

    def approve(self, now: datetime = NOW, hours: float = 8) -> dict[str, str]:
        """Ana's approval."""
        lasts = timedelta(hours=hours)
        return guard.approve(self.what, self.production, self.key, now, lasts)

    def check(
        self, given: object = None, operator: str = "bob", now: datetime = NOW, **more: Any
    ) -> str:
        """What the guard says of an approval that somebody else uses."""
        path = self.folder / "approval.json"
        path.write_text(json.dumps(given or self.given))
        consent = Consent("wallet-prod", operator, path)
        return guard.check_approval(
            more.get("environment", self.production), self.what, consent, now
        )


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_what_a_second_person_approved_may_run(case: Case) -> None:
    assert case.check() == "ana approved it until 2026-03-02T20:00:00+00:00, bob runs it"
    assert case.check(now=NOW + timedelta(hours=7, minutes=59)).startswith("ana")


def test_only_production_needs_an_approval(case: Case) -> None:
    lab = environment("laboratory")
    words = guard.check_approval(lab, case.what, Consent(), NOW)
    assert words == "not needed in laboratory"


@pytest.mark.parametrize("consent", [Consent(), Consent(operator="bob"), Consent("x", "", Path())])
def test_production_without_approval_or_operator(case: Case, consent: Consent) -> None:
    words = refused(lambda: guard.check_approval(case.production, case.what, consent, NOW))
    assert "which needs an approval and the name of who runs it" in words


@pytest.mark.parametrize("operator", ["ana", " Ana "])
def test_nobody_runs_what_he_approved(case: Case, operator: str) -> None:
    assert "that takes two" in refused(lambda: case.check(operator=operator))


@pytest.mark.parametrize(
    ("part", "now"),
    [
        ("experiment", {"title": "it "}),
        ("journeys", {"balance": {"within": 3.0}}),
        ("objectives", {"recovery": {"limit": 61.0}}),
    ],
)
def test_what_was_changed_after_the_approval(case: Case, part: str, now: object) -> None:
    """A promise that is loosened afterwards is not what was approved."""
    case.what[part] = now
    assert "are not those that were approved" in refused(case.check)


def test_an_approval_for_another_environment(case: Case) -> None:
    other = case.production.model_copy(update={"name": "wallet-eu"})
    assert "it is for wallet-prod" in refused(lambda: case.check(environment=other))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("experiment", "0" * 64),
        ("environment", "wallet-eu"),
        ("expires", "2026-03-03T11:00:00+00:00"),
        ("approved", "2026-03-02T13:00:00+00:00"),
        ("approver", "bob"),
        ("signature", "AAAA"),
        ("signature", "not base64!"),
    ],
)
def test_an_approval_that_somebody_changed(case: Case, field: str, value: str) -> None:
    words = refused(lambda: case.check({**case.given, field: value}, operator="carl"))
    assert "it is not signed by" in words


def test_a_key_that_the_environment_does_not_know_any_more(case: Case) -> None:
    gone = environment("production", approvers={})
    assert "not signed by ana" in refused(lambda: case.check(environment=gone))


@pytest.mark.parametrize(
    ("approved", "hours", "now", "words"),
    [
        (NOW, 8, NOW + timedelta(hours=8), "it held until 2026-03-02T20:00:00"),
        (NOW + timedelta(hours=1), 8, NOW, "it was given in the future"),
    ],
)
def test_an_approval_out_of_its_time(
    case: Case, approved: datetime, hours: float, now: datetime, words: str
) -> None:
    assert words in refused(lambda: case.check(case.approve(approved, hours), now=now))


def test_an_approval_that_would_hold_for_longer_than_a_day(case: Case, tmp_path: Path) -> None:
    """Our own command makes none; somebody may sign one otherwise."""
    from holdfast.guard import approval

    said = {**case.given, "expires": "2026-03-03T12:00:01+00:00"}
    private = approval._private(case.key)
    signature = private.sign(approval._message(said))
    import base64

    said["signature"] = base64.b64encode(signature).decode()
    assert "more than 24 h" in refused(lambda: case.check(said))


@pytest.mark.parametrize("hours", [0, -1, 24.1])
def test_one_day_is_the_most_that_can_be_approved(case: Case, hours: float) -> None:
    with pytest.raises(InvalidInput, match="24 h at most"):
        case.approve(hours=hours)
    case.approve(hours=24)


def test_a_key_of_nobody(case: Case) -> None:
    case.production = environment("production", approvers={})
    with pytest.raises(Refused, match=r"Let somebody add `NAME: MCowBQYDK2VwAyEA"):
        case.approve()


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----", "ssh-ed25519 AAAA"])
def test_a_key_that_is_none(case: Case, content: str) -> None:
    case.key.write_text(content)
    with pytest.raises(InvalidInput, match="no Ed25519 private key"):
        case.approve()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"approver": 1}', "[" * 100_000],
    ids=["empty", "list", "no fields", "wrong", "deep"],
)
def test_a_file_that_is_no_approval(case: Case, tmp_path: Path, content: str) -> None:
    path = tmp_path / "approval.json"
    path.write_text(content)
    consent = Consent("wallet-prod", "bob", path)
    words = refused(lambda: guard.check_approval(case.production, case.what, consent, NOW))
    assert "it is not one" in words


def test_an_approval_that_is_not_there(case: Case, tmp_path: Path) -> None:
    consent = Consent("wallet-prod", "bob", tmp_path / "nowhere.json")
    assert "it is not one" in refused(
        lambda: guard.check_approval(case.production, case.what, consent, NOW)
    )
