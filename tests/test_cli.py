"""The command itself: what people read on stderr, what scripts read as the exit code."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from holdfast import context
from holdfast.cli import main
from holdfast.clock import SECOND, now_ns
from holdfast.model import Record
from holdfast.store import Run
from tests import judge_stories as they
from tests.conftest import written
from tests.fakes import Broken, FakeKubernetes, FakePrometheus, absent
from tests.judge_stories import PAID, Story, also, event, laid, told
from tests.plan_case import HOST, Here, everything
from tests.stories import errors, settlement
from tests.test_documents import ENVIRONMENT, changed

HOLDFAST = Path(sys.executable).with_name("holdfast")
COMMANDS = [
    "budget",
    "calibrate",
    "collect",
    "compare",
    "controls",
    "doctor",
    "judge",
    "mark",
    "observe",
    "plan",
    "report",
    "run",
    "undo",
]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str


def holdfast(*arguments: object) -> Ended:
    """Run the command, in this process."""
    before, sys.argv = sys.argv, ["holdfast", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return Ended(code, out.getvalue(), err.getvalue())


def refused(code: int, *arguments: object) -> str:
    """The one line on stderr; nothing on stdout."""
    ended = holdfast(*arguments)
    assert ended.code == code, ended
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    """Everything answers well."""
    with everything(kubernetes, prometheus, tmp_path) as found:
        yield found


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def test_help_names_every_command() -> None:
    ended = holdfast("--help")
    assert ended.code == 0
    assert all(f"\n  {name} " in ended.stdout for name in COMMANDS)
    assert "Exit codes: 0 held, 1 broken, 2 invalid input, 3 unknown" in ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(command: str) -> None:
    ended = holdfast(command, "--help")
    assert ended.code == 0
    assert f"Usage: holdfast {command}" in ended.stdout
    assert f"Example:\n    holdfast {command} " in ended.stdout


def test_version() -> None:
    assert holdfast("--version") == Ended(0, "holdfast, version 0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pln"], "No such command 'pln'"),
        (["plan"], "Missing argument 'EXPERIMENT'"),
        (["plan", "a", "b"], "unexpected extra argument"),
        (["judge"], "Missing argument 'RUN'"),
        (["doctor", "--what"], "No such option"),
        (["--what"], "No such option"),
    ],
)
def test_usage(arguments: list[str], words: str) -> None:
    ended = holdfast(*arguments)
    assert ended.code == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["plan", "run"])
def test_an_experiment_that_is_not_there(here: Here, command: str) -> None:
    words = refused(2, command, here.folder / "missing.yaml", "-e", here.environment)
    assert "missing.yaml: cannot be read: No such file or directory. Check the path" in words


@pytest.mark.parametrize("command", ["plan", "run", "doctor"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "the whole: Input should be a valid dictionary"),
        ("[]", "the whole: Input should be a valid dictionary"),
        ("a: [", "environment.yaml line 2: "),
        ("a: &x 1\nb: *x\n", "environment.yaml line 2: aliases are refused"),
        (
            yaml.safe_dump(changed(ENVIRONMENT, "polcy", {})),
            "polcy: Extra inputs are not permitted",
        ),
        (yaml.safe_dump(changed(ENVIRONMENT, "policy.max_share", 0.6)), "policy.max_share: Input"),
    ],
    ids=["missing", "empty", "a list", "not YAML", "alias", "unknown key", "wrong value"],
)
def test_an_environment_that_is_wrong(
    tmp_path: Path, command: str, content: str | None, words: str
) -> None:
    path = tmp_path / "environment.yaml"
    if content is not None:
        path.write_text(content)
    arguments = [] if command == "doctor" else ["experiments/slow-gateway.yaml"]
    error = refused(2, command, *arguments, "-e", path)
    assert words in error
    assert str(path) in error


def test_a_directory_instead_of_a_file(here: Here) -> None:
    words = refused(2, "plan", here.folder, "-e", here.environment)
    assert "cannot be read: Is a directory" in words


def test_an_experiment_that_is_wrong(here: Here) -> None:
    here.change("method.0.provider.arguments.latency_ms", "8s")
    words = refused(2, "plan", here.path("slow"), "-e", here.environment)
    assert "slow.yaml: method: slow-the-gateway: latency_ms: Input should be a valid int" in words


@pytest.mark.parametrize("command", ["judge", "report", "collect", "undo"])
def test_a_run_that_is_not_there(tmp_path: Path, command: str) -> None:
    for folder in (tmp_path, tmp_path / "missing", Path(__file__)):
        words = refused(2, command, folder)
        assert f"{folder}: it has no plan.json, so it is not a run folder" in words


# ── plan and run ──────────────────────────────────────────────────────────────────────────────────


def test_plan_shows_what_would_be_broken(here: Here) -> None:
    ended = holdfast("plan", here.path("drop-zone"), "-e", here.environment)
    assert (ended.code, ended.stderr) == (0, "")
    for words in (
        "node node-b",
        "pod wallet-b",
        "sa-east-1b",
        "kubernetes v1.36.3",
    ):
        assert words in ended.stdout
    assert "held for 65 to 90 s; the whole run takes 3 min or more" in ended.stdout
    assert "customers: pix-transfer 60/s, balance 40/s" in ended.stdout
    assert "Nothing was touched" in ended.stdout


def test_plan_as_json(here: Here) -> None:
    ended = holdfast("plan", here.path("slow-gateway"), "-e", here.environment, "--json")
    record = json.loads(ended.stdout)
    assert ended.code == 0
    assert record["targets"][0]["proxy"] == "pix-primary"
    assert record["systems"]["prometheus"] == "3.5.0"


def test_names_are_printed_as_they_are(here: Here) -> None:
    """No name of a user is markup."""
    here.document = changed(here.document, "name", "[/red] :boom: [link")
    ended = holdfast("plan", here.path("slow-gateway"), "-e", here.environment)
    assert ended.code == 0
    assert "on [/red] :boom: [link: " in ended.stdout


@pytest.mark.parametrize("command", ["plan", "run"])
def test_another_cluster_is_refused(here: Here, command: str) -> None:
    here.kubernetes.uid = "cluster-2"
    words = refused(6, command, here.path("slow-gateway"), "-e", here.environment)
    assert words == (
        "error: cluster cluster-2: the environment file names cluster-1. Point the kubeconfig at"
        " the right cluster, or correct `kubernetes.cluster_uid`\n"
    )


def test_run_makes_no_folder_when_it_is_refused(here: Here) -> None:
    """Nothing was touched, and nothing has to be tidied up."""
    url = absent(HOST)
    here.document = changed(here.document, "prometheus.url", url)
    runs = here.folder / "runs"
    words = refused(6, "run", here.path("slow-gateway"), "-e", here.environment, "--runs", runs)
    assert url in words
    assert not runs.exists()


def test_the_command_itself_ends_in_time_with_its_code(here: Here) -> None:
    """A process of its own, against a Toxiproxy that accepts and never answers."""
    with Broken("silent", HOST) as server:
        here.document = changed(here.document, "toxiproxy.0.url", server.url)
        experiment, environment = str(here.path("slow-gateway")), str(here.environment)
        command = [str(HOLDFAST), "plan", experiment, "-e", environment]
        began = now_ns()
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert now_ns() - began < 10 * SECOND
    assert done.returncode == 6
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {server.url}/version: ")
    assert done.stderr.count("\n") == 1


# ── doctor ────────────────────────────────────────────────────────────────────────────────────────


def test_doctor_says_that_all_is_well(here: Here) -> None:
    ended = holdfast("doctor", "-e", here.environment)
    assert ended.code == 0
    lines = ended.stdout.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert "ok    prometheus: 3.5.0" in lines
    assert lines[-2] == "ok    admission policy: present"
    assert lines[-1].startswith("note  reaper: absent: nobody undoes a fault if this host is lost")


def test_doctor_says_when_only_our_own_code_keeps_to_the_policy(here: Here) -> None:
    here.kubernetes.policies = {}
    ended = holdfast("doctor", "-e", here.environment)
    assert ended.code == 0
    absent = (
        "absent for these credentials (holdfast-nodes, holdfast-fencing): docs/deploy.md says why"
    )
    assert f"note  admission policy: {absent}" in ended.stdout.splitlines()


def test_doctor_says_all_that_is_wrong(here: Here) -> None:
    url = absent(HOST)
    here.document = changed(here.document, "prometheus.url", url)
    here.kubernetes.forbidden = {"patch nodes"}
    ended = holdfast("doctor", "-e", here.environment)
    assert ended.code == 6
    wrong = [line for line in ended.stdout.splitlines() if line.startswith("WRONG")]
    assert [line.split()[1] for line in wrong] == ["prometheus:", "rights:"]
    assert url in wrong[0]
    assert "may not patch nodes" in wrong[1]


def test_doctor_as_json(here: Here) -> None:
    ended = holdfast("doctor", "-e", here.environment, "--json")
    assert json.loads(ended.stdout)["kubernetes"] == "v1.36.3"


# ── judge and report ──────────────────────────────────────────────────────────────────────────────

BROKEN = replace(told(PAID), settlements=tuple(told(PAID).settlements or ())[1:])
UNKNOWN = they.unanswered(told(), "breaker_state")
ABORTED = also(told(), event(29.9, "abort", why="SIGTERM was received"))
REMAINS = they.without(told(), "undo_verified")


@pytest.mark.parametrize(
    ("record", "code", "word"),
    [
        (told(), 0, "held"),
        (BROKEN, 1, "broken"),
        (UNKNOWN, 3, "unknown"),
        (ABORTED, 4, "unknown"),
        (REMAINS, 5, "unknown"),
    ],
    ids=["held", "broken", "unknown", "aborted", "remains"],
)
def test_judge_exits_with_what_it_found(
    tmp_path: Path, record: Record, code: int, word: str
) -> None:
    run = laid(record, tmp_path)
    ended = holdfast("judge", run.folder)
    assert ended.code == code, ended
    assert ended.stderr == ""
    assert word in ended.stdout.lower()
    assert str(run.path("report.html")) in ended.stdout.replace("\n", "")
    printed = json.loads(holdfast("judge", run.folder, "--json").stdout)
    assert (printed["exit_code"], printed["verdict"]) == (code, word)
    assert printed["findings"] == run.read_json("findings.json")


def test_a_run_is_judged_the_same_each_time(tmp_path: Path) -> None:
    """Byte for byte, whatever was left there by the time before."""
    story = Story(hold=70.0, service=errors(5, 20), objectives=PAID.objectives)
    run = laid(told(story), tmp_path)
    names = ["findings.json", "observations.json", "summary.md", "junit.xml", "report.html"]
    seen = []
    for command in ("judge", "judge", "report"):
        assert holdfast(command, run.folder).code == 0
        seen.append({name: run.path(name).read_bytes() for name in names})
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.integration
def test_a_run_is_judged_the_same_in_every_locale(tmp_path: Path) -> None:
    """One without check marks and accents, as an old server or a CI container has it."""
    run = laid(told(), tmp_path)
    run.write_json("plan.json", {**run.read_json("plan.json"), "title": "Cartão é recusado ✓"})
    names = ["summary.md", "junit.xml", "report.html"]
    assert holdfast("judge", run.folder).code == 0
    here = [run.path(name).read_bytes() for name in names]
    ascii_only = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    code = "import locale, holdfast.cli; print(locale.getpreferredencoding()); holdfast.cli.main()"
    command = [sys.executable, "-c", code, "judge", str(run.folder)]
    environment = {**os.environ, **ascii_only}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ended.stdout.startswith(b"ANSI_X3.4-1968\n"), "it is one"
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert [run.path(name).read_bytes() for name in names] == here
    assert "Cartão é recusado ✓".encode() in here[-1]


def test_a_run_can_be_judged_anywhere(tmp_path: Path) -> None:
    """Offline, in another place: the findings are those of the first time."""
    run = laid(told(), tmp_path / "here")
    assert holdfast("judge", run.folder).code == 0
    elsewhere = tmp_path / "there"
    run.folder.rename(elsewhere)
    before = (elsewhere / "findings.json").read_bytes()
    assert holdfast("judge", elsewhere).code == 0
    assert (elsewhere / "findings.json").read_bytes() == before


def test_what_judging_leaves(tmp_path: Path) -> None:
    run = laid(BROKEN, tmp_path)
    holdfast("judge", run.folder)
    hashes = run.read_json("manifest.json")["sha256"]
    files = {str(one.relative_to(run.folder)) for one in run.folder.rglob("*") if one.is_file()}
    assert set(hashes) == files - {"manifest.json"}
    assert all(
        hashlib.sha256(run.path(name).read_bytes()).hexdigest() == one
        for name, one in hashes.items()
    )
    cases = ET.parse(run.path("junit.xml")).getroot().iter("testcase")
    failed = [one.get("name") for one in cases if one.find("failure") is not None]
    assert len(failed) == 1
    assert "money" in str(failed)
    assert "1 of 2160 transfers differ" in run.path("summary.md").read_text()


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("events.jsonl", lambda one: one.replace(b"gateway.slow", b"gateway.cut "), "line 4: its"),
        ("events.jsonl", lambda one: b"garbage\n" + one, "events.jsonl line 1: it is not a JSON"),
        ("events.jsonl", lambda one: b"", "events.jsonl: it holds no anchor"),
        ("plan.json", lambda one: b"{", "plan.json: not JSON"),
        ("plan.json", lambda one: b"[]", "plan.json: environment: the whole"),
        ("series/transfers.jsonl", lambda one: one[:-9], "transfers.jsonl line 2160: it is not"),
        ("series/up.json", lambda one: b"<html>", "up.json: not JSON"),
        ("samples/pods.jsonl", lambda one: one[200:], "pods.jsonl line 1: "),
    ],
    ids=["changed", "garbage", "emptied", "cut plan", "other plan", "cut rows", "HTML", "cut pods"],
)
def test_a_run_that_was_damaged_is_not_judged(
    tmp_path: Path, name: str, damage: object, words: str
) -> None:
    run = laid(replace(told(), series={**told().series, "up": {}}), tmp_path)
    assert callable(damage)
    path = run.path(name)
    path.write_bytes(damage(path.read_bytes()))
    assert words in refused(2, "judge", run.folder)
    assert not run.path("findings.json").exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("samples/customers.csv", lambda one: one.replace(b",wrong,503,", b",ok,200,")),
        ("samples/customers.csv", None),
        ("series/entrance_count.json", lambda one: one + b" "),
        ("series/more.json", lambda one: b"{}"),
        ("plan.json", lambda one: one + b" "),
        ("events.jsonl", lambda one: b"".join(one.splitlines(keepends=True)[:-1])),
        ("manifest.json", lambda one: b"[]"),
    ],
    ids=["edited", "gone", "series", "added", "plan", "shorter log", "manifest"],
)
def test_evidence_that_was_changed_after_it_was_judged_is_not_judged_again(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes] | None
) -> None:
    """A broken promise is not made good by an editor, and nothing signs it anew."""
    story = Story(service=errors(5, 90), objectives=("recovery",))
    run = laid(told(story), tmp_path)
    assert holdfast("judge", run.folder).code == 1
    path, environment = run.path(name), its_environment(run, tmp_path)
    if change:
        path.write_bytes(change(path.read_bytes() if path.exists() else b""))
    else:
        path.unlink()
    before = run.path("manifest.json").read_bytes()
    for command in (["judge"], ["report"], ["collect", "-e", environment]):
        words = refused(2, *command, run.folder)
        assert name in words
        assert "changed since the run was judged" in words
    assert run.path("manifest.json").read_bytes() == before


def test_what_is_added_to_a_log_later_is_no_change(tmp_path: Path) -> None:
    """An undo may come after the judgement, and so may the words of a program."""
    run = laid(told(), tmp_path)
    assert holdfast("judge", run.folder).code == 0
    run.append("events.jsonl", {"event": "undo_began", "by": "person", "mono_ns": 1})
    run.path("watchdog.log").write_text("it ended\n")
    assert holdfast("report", run.folder).code in (0, 3)


def test_a_promise_that_was_taken_out_of_the_plan(tmp_path: Path) -> None:
    record = told(PAID)
    plan = {**record.plan, "objectives": {**record.plan["objectives"]}}
    del plan["objectives"]["money"]
    run = laid(replace(record, plan=plan), tmp_path)
    words = refused(2, "judge", run.folder)
    assert "money and judges" in words


def test_a_plain_run_of_chaos_toolkit_has_no_verdict(tmp_path: Path) -> None:
    run = laid(told(), tmp_path)
    plan = run.read_json("plan.json")
    run.write_json("plan.json", {"environment": plan["environment"], "verdict": False})
    words = refused(2, "judge", run.folder)
    assert "a plain `chaos run` gives no verdict. Use `holdfast run`" in words


def test_a_defect_of_ours_is_not_a_broken_promise(tmp_path: Path) -> None:
    """Exit code 1 would say that something was measured."""
    extension = {**told().plan["extension"], "objectives": ["new"]}
    objectives = {"new": {"kind": "unheard of"}}
    run = laid(they.planned(told(), objectives=objectives, extension=extension), tmp_path)
    ended = holdfast("judge", run.folder)
    assert ended.code == 3
    assert "this is a defect in holdfast; nothing is known" in ended.stderr


@pytest.mark.integration
@pytest.mark.parametrize(
    ("record", "code", "options"),
    [(told(), 0, []), (BROKEN, 1, ["--json"])],
    ids=["held, as a table", "broken, as JSON"],
)
def test_a_reader_that_has_gone_does_not_change_the_verdict(
    tmp_path: Path, record: Record, code: int, options: list[str]
) -> None:
    run = laid(record, tmp_path)
    theirs, ours = os.pipe()
    os.close(theirs)
    command = [str(HOLDFAST), "judge", str(run.folder), *options]
    done = subprocess.run(
        command, stdout=ours, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(ours)
    assert (done.returncode, done.stderr) == (code, "")


# ── collect and undo ──────────────────────────────────────────────────────────────────────────────


def its_environment(run: Run, folder: Path) -> Path:
    """The environment file that the run was made with."""
    return written(context.of({context.KEY: str(run.folder)}), folder)


@pytest.mark.integration
def test_collect_keeps_what_it_had_when_nobody_answers(tmp_path: Path) -> None:
    record = told()
    environment = {**record.plan["environment"], "prometheus": {"url": absent(HOST)}}
    run = laid(they.planned(record, environment=environment), tmp_path)
    ended = holdfast("collect", run.folder, "-e", its_environment(run, tmp_path))
    assert ended.code == 0, ended
    failed = [one for one in run.records("events.jsonl") if one["event"] == "not_collected"]
    assert len(failed) == 4


def pending(here: Here, toxiproxy: str) -> Run:
    """A run that wrote down how to undo its toxic, and went no further."""
    run = laid(they.until(told(), 20.0), here.folder)
    plan = run.read_json("plan.json")
    plan["environment"]["toxiproxy"] = [{"url": toxiproxy}]
    plan["environment"]["kubernetes"]["kubeconfig"] = str(here.folder / "kubeconfig")
    run.write_json("plan.json", plan)
    heal = {"url": toxiproxy, "proxy": "pix-primary", "toxic": f"holdfast-{run.id}-slow"}
    intent = {"heal": "1", "state": "intent", "operation": "remove_toxic", "arguments": heal}
    run.append("heals.jsonl", intent)
    return run


def test_undo_of_a_run_that_left_something(here: Here) -> None:
    url = here.document["toxiproxy"][0]["url"]
    run = pending(here, url)
    assert holdfast("judge", run.folder).code == 5
    ended = holdfast("undo", run.folder, "-e", its_environment(run, here.folder))
    assert (ended.code, ended.stderr) == (0, "")
    assert "undoing: remove_toxic" in ended.stdout
    assert "1 undone, nothing is left" in ended.stdout
    assert holdfast("judge", run.folder).code == 4
    again = holdfast("undo", run.folder)
    assert (again.code, again.stdout) == (0, "nothing was left to undo\n")


def test_settlements_that_are_known_are_in_the_story() -> None:
    """The record that broken runs are made of."""
    assert next(iter(told().settlements or ())) == settlement(0)
