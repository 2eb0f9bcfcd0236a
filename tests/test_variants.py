"""Control runs: what is changed in an experiment, and that no such run is ever a pass."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.actions import null
from holdfast.context import Context, packaged
from holdfast.documents import Environment, Variant, read_controls, recorded, seconds
from holdfast.documents.variants import vary
from holdfast.errors import InvalidInput, Refused, Unreachable
from holdfast.judge import judge
from holdfast.model import Record
from holdfast.pipeline.story import tell
from holdfast.plan import read
from holdfast.probes import landed
from holdfast.reports import junit, page, summary
from holdfast.sabotage import planted
from tests.conftest import configured
from tests.fakes import FakeKubernetes, FakePrometheus
from tests.judge_stories import Story, laid, told
from tests.plan_case import Here, everything
from tests.stories import errors
from tests.test_cli import holdfast, refused
from tests.test_documents import ENVIRONMENT

NULL, SHORT = Variant(null=True), Variant(null=True, short=True)


def experiment(name: str) -> Any:
    return yaml.safe_load(packaged(f"{name}.yaml").read_text())


def ours(document: Any) -> Any:
    return document["extensions"][0]


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    with everything(kubernetes, prometheus, tmp_path) as found:
        yield found


# ── what is changed ───────────────────────────────────────────────────────────────────────────────


def test_as_written_nothing_is_changed() -> None:
    document = experiment("slow-gateway")
    assert vary(document, Variant()) == document
    assert vary(document, Variant(sabotage="bypass")) == document


def test_without_a_fault_only_the_fault_is_another() -> None:
    document = experiment("slow-gateway")
    varied = vary(document, NULL)
    assert varied["method"][0]["provider"]["module"] == "holdfast.actions.null"
    assert varied["method"][1:] == document["method"][1:]
    assert ours(varied) == ours(document)


def test_a_short_run_has_short_phases_and_holds_a_fault_as_long_as_ever() -> None:
    short = vary(experiment("slow-gateway"), Variant(sabotage="bypass", short=True))
    assert (ours(short)["before"], ours(short)["after"]) == ("10s", "10s")
    assert short["method"][1]["provider"]["arguments"]["at_least"] == "65s"


def test_a_short_run_waits_less_where_nothing_is_held() -> None:
    for short in (
        vary(experiment("kill-wallet-pods"), SHORT),
        vary(experiment("slow-gateway"), SHORT),
    ):
        assert short["method"][1]["provider"]["arguments"]["at_least"] == "20s"


def test_a_short_run_against_a_defect_watches_as_long_as_the_promise() -> None:
    """Within 20 s no replica can be later than a promise of a minute."""
    document = experiment("kill-wallet-pods")
    least = document["method"][1]["provider"]["arguments"]["at_least"]
    assert seconds(least) > 60
    changed = vary(document, Variant(sabotage="slow-start", short=True))
    assert changed["method"][1]["provider"]["arguments"]["at_least"] == least
    assert ours(changed)["before"] == "10s"


def test_a_small_load_needs_longer_phases() -> None:
    """300 requests at 10/s."""
    document = experiment("slow-gateway")
    ours(document)["load"] = {"pix-transfer": "60/s", "balance": "10/s"}
    assert ours(vary(document, SHORT))["before"] == "30s"


@pytest.mark.parametrize("document", [None, [], {}, {"method": []}, {"method": [{}]}, "text"])
def test_what_is_no_experiment_is_left_for_its_own_check(document: Any) -> None:
    assert vary(document, SHORT) == document


def test_a_plan_says_which_control_run_it_is(here: Here) -> None:
    path, environment = here.path("slow-gateway"), here.environment
    plan = read(path, environment, SHORT)
    assert plan.record()["control"] == "null"
    assert "failover" not in plan.objectives  # without a fault nothing fails over
    assert "success" not in plan.objectives  # ten seconds decide nothing below 0.1 %
    assert {"recovery", "availability", "money"} <= set(plan.objectives)
    sabotaged = read(path, environment, Variant(sabotage="bypass"))
    assert sabotaged.record()["control"] == "sabotage bypass"
    assert {"failover", "success"} <= set(sabotaged.objectives)
    assert read(path, environment).record()["control"] == ""


def test_a_null_run_breaks_nothing(here: Here) -> None:
    from holdfast.plan import make

    plan = make(here.path("slow-gateway"), here.environment, variant=NULL)
    assert plan.targets == []


def test_an_experiment_that_breaks_nothing_is_no_experiment(here: Here) -> None:
    """Written by hand it would hold every promise."""
    path = here.folder / "nothing.yaml"
    path.write_text(yaml.safe_dump(vary(experiment("slow-gateway"), NULL)))
    with pytest.raises(InvalidInput, match="it breaks nothing"):
        read(path, here.environment)


# ── it runs and is judged ─────────────────────────────────────────────────────────────────────────


def test_no_fault_leaves_its_instant_and_is_still_there(
    make_here: Callable[..., Context],
) -> None:
    here = make_here()
    null.no_fault(configuration=configured(here))
    (fault,) = here.faults()
    assert (fault["kind"], fault["targets"], fault["reversible"]) == ("null", [], False)
    assert landed.still_there(configured(here))


def without_fault(record: Record, control: str = "null") -> Record:
    """The same run, had nothing been broken."""
    changes = {"kind": "null", "targets": [], "reversible": False, "asked": {}}
    events = tuple(
        {**one, **changes} if one["event"] == "fault" else one
        for one in record.events
        if not one["event"].startswith("undo")
    )
    return replace(record, events=events, plan={**record.plan, "control": control}, readbacks=())


QUIET = Story(objectives=("recovery", "availability", "pix-latency"), hold=40.0)


def test_a_null_run_is_judged_without_a_witness_and_is_no_pass() -> None:
    judgement = judge(without_fault(told(QUIET)))
    assert judgement.proofs == ()
    assert [str(one.verdict) for one in judgement.findings] == ["held"] * 3
    assert judgement.exit_code == 3


def test_a_run_without_a_fault_is_no_pass_whatever_its_plan_says() -> None:
    assert judge(without_fault(told(QUIET), control="")).exit_code == 3


def test_a_promise_that_breaks_without_a_fault_is_a_false_alarm() -> None:
    story = replace(QUIET, hold=90.0, service=errors(2, 64))
    judgement = judge(without_fault(told(story)))
    assert "broken" in [str(one.verdict) for one in judgement.findings]
    assert judgement.exit_code == 1


def test_a_sabotaged_run_in_which_nothing_broke_is_no_pass() -> None:
    record = told()
    assert judge(record).exit_code == 0
    sabotaged = replace(record, plan={**record.plan, "control": "sabotage bypass"})
    assert judge(sabotaged).exit_code == 3


def test_every_report_says_that_it_is_a_control_run() -> None:
    record = without_fault(told(QUIET))
    report = tell(record, judge(record), Path("runs/story/1"))
    assert report.title == "[null] A story"
    for text in (summary.render(report), page.render(report), junit.render(report)):
        assert "null" in text
        assert "nothing broke, and a control run is never a pass" in text
    assert "not to be filed" in summary.render(report)
    assert "<error" in junit.render(report)  # a CI system must not show it green


def test_json_says_that_it_is_a_control_run(tmp_path: Path) -> None:
    run = laid(without_fault(told(QUIET)), tmp_path)
    ended = holdfast("judge", run.folder, "--json")
    assert (ended.code, json.loads(ended.stdout)["control"]) == (3, "null")
    printed = " ".join(holdfast("judge", run.folder).stdout.split())
    assert "[null] A story" in printed


# ── planted defects ───────────────────────────────────────────────────────────────────────────────

SWITCH = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n'); sys.exit(%s)"


def laboratory(log: Path, code: str = "0", **changes: Any) -> Environment:
    command = [sys.executable, "-c", SWITCH % code, str(log)]
    document = {**ENVIRONMENT, "kind": "laboratory", "controls": {"command": command}, **changes}
    document["periods"] = {}
    document["breakers"] = {}
    return recorded(Environment, document, "environment")


@pytest.mark.integration
def test_a_defect_is_planted_and_taken_out_again(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def interrupted() -> None:
        with planted(laboratory(log), "pays-twice"):
            assert log.read_text() == "pays-twice\n"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert log.read_text() == "pays-twice\nnone\n"


@pytest.mark.parametrize("kind", ["production", "staging"])
def test_nothing_is_planted_outside_a_laboratory(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "log"
    with pytest.raises(Refused, match=f"it is {kind}, and defects are planted in a laboratory"):
        planted(laboratory(log, kind=kind), "pays-twice").__enter__()
    assert not log.exists()


def test_a_laboratory_has_to_say_how(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="it has no `controls:`"):
        planted(laboratory(tmp_path / "log", controls=None), "pays-twice").__enter__()


@pytest.mark.parametrize("name", ["", "--help", "none", "a b", "A"])
def test_what_is_no_name_of_a_defect_is_no_argument(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name of a defect"):
        planted(laboratory(tmp_path / "log"), name).__enter__()


@pytest.mark.integration
def test_a_switch_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="it ended with 3: it said nothing"):
        planted(laboratory(tmp_path / "log", code="3"), "bypass").__enter__()
    gone = laboratory(tmp_path / "log", controls={"command": ["/nowhere/switch"]})
    with pytest.raises(Unreachable, match="FileNotFoundError"):
        planted(gone, "bypass").__enter__()


# ── the command ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--null", "--sabotage", "bypass"], "choose one"),
        (["--short"], "--short is for control runs"),
        (["--repeat", "0"], "0 is not in the range"),
    ],
)
def test_options_that_do_not_go_together(here: Here, arguments: list[str], words: str) -> None:
    ended = holdfast("run", here.path("slow-gateway"), "-e", here.environment, *arguments)
    assert ended.code == 2
    assert words in ended.stderr


def test_sabotage_and_controls_are_refused_in_production(here: Here) -> None:
    here.document = {**here.document, "kind": "production"}
    path, environment = here.path("slow-gateway"), here.environment
    words = refused(6, "run", path, "-e", environment, "--sabotage", "bypass")
    assert "it is production, and defects are planted in a laboratory only" in words
    ended = holdfast("controls", "-e", environment, "--runs", here.folder / "runs")
    assert ended.code == 6
    assert "in a laboratory only" in ended.stderr


def test_the_matrix_names_experiments_and_objectives_that_exist() -> None:
    matrix = read_controls(packaged("controls.yaml"))
    for name, defects in matrix.items():
        known = ours(experiment(name))["objectives"]
        assert all(set(one.broken) <= set(known) for one in defects.values()), name


def test_the_matrix_is_what_the_lab_tests_expect() -> None:
    """Each planted defect stands in both, with the same red."""
    root = Path(__file__).parent
    expected = yaml.safe_load((root / "lab" / "defects.yaml").read_text())
    matrix = read_controls(packaged("controls.yaml"))
    stated = {defect: (name, one) for name, many in matrix.items() for defect, one in many.items()}
    assert set(expected) == set(stated)
    for defect, wanted in expected.items():
        name, control = stated[defect]
        red = [one for one, verdict in wanted["verdicts"].items() if verdict == "broken"]
        assert (name, control.exit_code) == (wanted["experiment"], wanted["exit_code"]), defect
        assert control.broken == red, defect


@pytest.mark.parametrize("wrong", [{}, {"broken": []}, {"broken": ["money"], "exit_code": 3}])
def test_a_control_that_expects_nothing_is_refused(tmp_path: Path, wrong: Any) -> None:
    path = tmp_path / "controls.yaml"
    path.write_text(yaml.safe_dump({"slow-gateway": {"bypass": wrong}}))
    with pytest.raises(InvalidInput, match="`broken` names objectives"):
        read_controls(path)
