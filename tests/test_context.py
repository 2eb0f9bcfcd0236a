"""How an activity finds its run: by Chaos Toolkit's configuration, or by itself."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from holdfast import context
from holdfast.context import KEY, Context
from holdfast.errors import InvalidInput, Refused
from holdfast.signals import DEFAULTS, Named
from holdfast.store import Run
from tests.conftest import configured
from tests.test_documents import ENVIRONMENT


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Path]:
    """A folder with an environment file, as plain `chaos run` is started in one."""
    (tmp_path / "environment.yaml").write_text(yaml.safe_dump(ENVIRONMENT))
    with contextlib.chdir(tmp_path):
        yield tmp_path
    os.environ.pop(f"HOLDFAST_RUN_OF_{os.getpid()}", None)


def test_the_configuration_names_the_run(make_here: Callable[..., Context]) -> None:
    here = make_here()
    found = context.of(configured(here))
    assert found.run.folder == here.run.folder
    assert found.environment == here.environment


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("[]", "environment: the whole: Input should be a valid dictionary"),
        ("{}", "environment: the whole: Input should be a valid dictionary"),
        ('{"environment": {"name": 5}}', "environment: name: Input should be a valid string"),
        ("{", "not JSON"),
    ],
)
def test_a_plan_that_is_damaged(make_here: Callable[..., Context], plan: str, words: str) -> None:
    here = make_here()
    here.run.path("plan.json").write_text(plan)
    with pytest.raises(InvalidInput) as caught:
        context.of(configured(here))
    assert words in str(caught.value)
    assert str(here.run.path("plan.json")) in str(caught.value)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"it has no plan\.json, so it is not a run folder"):
        context.of({KEY: str(tmp_path)})


def test_plain_chaos_toolkit_makes_a_run_of_its_own(plain: Path) -> None:
    """Its first activity makes the folder, and the others of that process find it again."""
    first = context.of(None)
    assert first.run.folder.parent.resolve() == plain / "runs" / "chaos-run"
    assert context.of({}).run.folder == first.run.folder.resolve()
    assert first.plan()["verdict"] is False
    assert set(first.journeys()) == {"pix-transfer", "balance"}
    assert [one["event"] for one in first.run.records("events.jsonl")] == ["anchor"]


@pytest.mark.parametrize("kind", ["staging", "production"])
def test_plain_chaos_toolkit_is_for_laboratories(plain: Path, kind: str) -> None:
    """It asks neither for an approval nor for the hour."""
    (plain / "environment.yaml").write_text(yaml.safe_dump(ENVIRONMENT | {"kind": kind}))
    with pytest.raises(Refused, match=f"it is {kind}, and plain `chaos run` asks no guard"):
        context.of(None)
    assert not (plain / "runs").exists()


def test_plain_chaos_toolkit_needs_an_environment(tmp_path: Path) -> None:
    with (
        contextlib.chdir(tmp_path),
        pytest.raises(InvalidInput, match=r"environment\.yaml: cannot be read"),
    ):
        context.of(None)
    assert list(tmp_path.iterdir()) == []


def test_another_process_does_not_inherit_the_run(plain: Path) -> None:
    """A child would write into its parent's record."""
    name = f"HOLDFAST_RUN_OF_{os.getpid() + 1}"
    os.environ[name] = str(plain / "nowhere")
    try:
        assert context.of(None).run.folder.parent.name == "chaos-run"
    finally:
        del os.environ[name]


def test_signals_are_called_as_the_environment_says(make_here: Callable[..., Context]) -> None:
    here = make_here()
    assert here.named("up") == DEFAULTS["up"] == Named("up")
    plan = here.run.read_json("plan.json")
    named = {"metric": "http_seconds", "labels": {"route": "path"}, "where": {"job": "ingress"}}
    plan["environment"]["signals"] = {"entrance": named}
    here.run.write_json("plan.json", plan)
    other = context.of(configured(here)).named("entrance")
    assert other.metric == "http_seconds"
    assert other.label("route") == "path"
    assert other.label("code") == "code"


def test_faults_are_those_that_took_effect(make_here: Callable[..., Context]) -> None:
    here = make_here()
    assert here.faults() == []
    here.run.append("events.jsonl", {"event": "phase", "name": "fault"})
    here.run.append("events.jsonl", {"event": "fault", "kind": "pods.kill"})
    assert [one["kind"] for one in here.faults()] == ["pods.kill"]


def test_journeys_are_those_of_the_plan(plain: Path) -> None:
    here = context.of(None)
    judged = here.judged_journeys()["pix-transfer"]
    assert (judged.within, judged.target, judged.limit, judged.money) == (5.0, 2.0, 10.0, True)
    assert json.dumps(here.plan())
    assert isinstance(here.run, Run)
