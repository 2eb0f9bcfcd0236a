"""`holdfast undo` and `holdfast stop`, as a person meets them."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast import context, heal, lock, marks
from holdfast.actions import gateway
from holdfast.context import Context
from holdfast.errors import Refused
from holdfast.store import Run
from holdfast.toxiproxy import Toxic, Toxiproxy
from tests.conftest import RealToxiproxy, configured, written
from tests.fakes import Answer, FakeKubernetes, absent, kubeconfig, serving
from tests.meddler import Meddler
from tests.test_cli import holdfast, refused
from tests.test_reaper import clean, faults


@dataclass
class Stranger:
    """A run folder whose plan names a server and a program of his."""

    folder: Path
    url: str
    asked: list[str]

    def made(self) -> Path:
        """The folder, as it was downloaded."""
        self.folder.mkdir(exist_ok=True)
        config = kubeconfig(self.url)
        command = {"command": "touch", "args": [str(self.folder / "started")]}
        version = "client.authentication.k8s.io/v1"
        config["users"][0]["user"] = {
            "exec": {"apiVersion": version, "interactiveMode": "Never", **command}
        }
        (self.folder / "kubeconfig").write_text(json.dumps(config))
        theirs = {"kubeconfig": str(self.folder / "kubeconfig"), "cluster_uid": "u"}
        run = Run(self.folder)
        environment = {
            "name": "theirs",
            "kubernetes": theirs,
            "prometheus": {"url": self.url},
            "toxiproxy": [{"url": self.url, "token_env": "PATH"}],
            "customers": {"url": self.url, "values": {}},
            "workload": {"namespace": "wallet", "selector": "a=b"},
            "policy": {"namespaces": ["wallet"], "proxies": []},
        }
        run.write_json("plan.json", {"environment": environment})
        toxic = {"url": self.url, "proxy": "p", "toxic": "t"}
        heal.intend(run, "remove_toxic", toxic)
        heal.intend(run, "uncordon", {"node": "n", "uid": "u", "run": run.id})
        return self.folder

    def started(self) -> bool:
        """Did his program run?"""
        return (self.folder / "started").exists()


def test_by_hand_prints_lines_that_need_no_holdfast(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    name = gateway.slow("pix-primary", 100, configuration=configured(here))["targets"][0]["toxic"]
    ended = holdfast("undo", here.run.folder, "--by-hand")
    url = f"{toxiproxy.url}/proxies/pix-primary/toxics/{name}"
    assert (ended.code, ended.stdout) == (0, f"curl -X DELETE {url}\n")
    assert len(toxiproxy.toxics("pix-primary")) == 1, "nothing was done"


def test_all_mine_undoes_runs_and_marks(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    """Also of a run whose folder is lost; a run that is alive is left alone."""
    here = wallet(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    environment, runs = written(here, tmp_path), here.run.folder.parent.parent
    here.run.append("events.jsonl", {"event": "anchor"})
    faults(here, toxiproxy, kubernetes)
    alive = holdfast("undo", "--all-mine", "--runs", runs, "-e", environment)
    assert alive.code == 0
    assert alive.stdout.count("left alone") == 4
    assert not clean(toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert (ended.code, ended.stdout.count("undoing: ")) == (0, 4)
    assert clean(toxiproxy, kubernetes)


def test_all_mine_names_what_remains(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    kubernetes.forbidden.add("patch nodes")
    environment = written(here, tmp_path)
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert ended.code == 5
    assert ended.stderr.count("no right to patch nodes") == 2
    assert not toxiproxy.toxics("pix-primary")


def test_who_holds_the_lock_is_printed_inert(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    """Whoever may write the Lease must not clear the screen of who stops all work."""
    environment = written(make_here(), tmp_path)
    kubernetes.leases["holdfast"]["spec"]["holderIdentity"] = "\x1b[2Jnothing was running"
    ended = holdfast("stop", "-e", environment, "--reason", "incident 4711")
    assert ended.stdout.startswith("stopped: \\x1b[2Jnothing was running; ")


def test_all_mine_names_what_could_not_be_asked(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    """It undoes what it found elsewhere; that nothing is left, it does not say."""
    gone = absent("127.10.0.11")
    here = wallet(toxiproxies=[gone, toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    environment = written(here, tmp_path)
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert ended.code == 5
    assert f"error: {gone}" in ended.stderr
    assert clean(toxiproxy, kubernetes)


@pytest.mark.parametrize("arguments", [["undo"], ["undo", "runs", "--all-mine"]])
def test_undo_needs_one_thing_to_undo(arguments: list[str]) -> None:
    assert "a run's folder, or --all-mine" in refused(2, *arguments)


def test_the_lever_from_the_command_line(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    here = make_here()
    environment = written(here, tmp_path)
    ended = holdfast("stop", "-e", environment, "--reason", "incident 4711")
    assert ended.code == 0
    assert f"stopped: {here.run.id} " in ended.stdout
    assert kubernetes.leases["holdfast"]["metadata"]["annotations"] == {marks.STOP: "incident 4711"}
    words = refused(2, "stop", "-e", environment, "--reason", "")
    assert "Write who needs it, and why" in words
    assert kubernetes.leases["holdfast"]["metadata"]["annotations"] == {marks.STOP: "incident 4711"}
    lifted = holdfast("stop", "-e", environment, "--lift", "--reason", "over")
    assert (lifted.code, lifted.stdout) == (0, "work may begin again\n")
    assert kubernetes.leases["holdfast"]["metadata"]["annotations"] == {}


# ── whose systems ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    """A folder that somebody sent: its plan leads to systems of his."""
    asked: list[str] = []

    def answer(_method: str, target: str, _body: Any) -> Answer:
        asked.append(target)
        return 200, {}

    with serving("127.10.0.16", answer) as url:
        yield Stranger(tmp_path / "downloaded", url, asked)


def test_a_foreign_folder_calls_and_starts_nothing(
    make_here: Callable[..., Context], stranger: Stranger, tmp_path: Path
) -> None:
    """Its kubeconfig would run a program, and its Toxiproxy would be sent any variable's value."""
    mine = written(make_here(), tmp_path)
    for command in (["undo"], ["collect"]):
        words = refused(6, *command, stranger.made(), "-e", mine)
        assert "its plan.json names" in words
        assert "Name the run's own environment file: -e FILE" in words
        words = refused(6, *command, stranger.made(), "-e", tmp_path / "none.yaml")
        assert "only its plan.json says whom to call" in words
    assert (stranger.asked, stranger.started()) == ([], False)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("toxiproxy", [{"url": "http://127.10.0.11:2"}]),
        ("kubernetes", {"cluster_uid": "cluster-2"}),
    ],
)
def test_whatever_a_run_would_call_has_to_be_named_the_same_here(
    make_here: Callable[..., Context], tmp_path: Path, part: str, named: Any
) -> None:
    here = make_here(toxiproxies=["http://127.10.0.11:1"])
    mine = written(here, tmp_path)
    assert context.confirmed(here.run.folder, mine, context.UNDOES).environment == here.environment
    plan = here.run.read_json("plan.json")
    before = plan["environment"][part]
    plan["environment"][part] = named if isinstance(named, list) else before | named
    here.run.write_json("plan.json", plan)
    with pytest.raises(Refused, match=f"its plan.json names {part} "):
        context.confirmed(here.run.folder, mine, context.UNDOES)


def test_a_run_is_undone_from_where_it_was_started(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], tmp_path: Path
) -> None:
    """At three in the morning nobody names a file: `environment.yaml` lies there."""
    here = make_here(toxiproxies=[toxiproxy.url])
    written(here, tmp_path)
    gateway.slow("pix-primary", 100, configuration=configured(here))
    with contextlib.chdir(tmp_path):
        ended = holdfast("undo", here.run.folder.relative_to(tmp_path))
    assert (ended.code, ended.stderr) == (0, "")
    assert "1 undone, nothing is left" in ended.stdout
    assert toxiproxy.toxics("pix-primary") == []


# ── --all-mine and --by-hand ──────────────────────────────────────────────────────────────────────


def test_all_mine_goes_on_after_a_folder_that_is_bad(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    """A plan of last year, a log that is no log: each is named, and the rest is undone."""
    here = wallet(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    environment, runs = written(here, tmp_path), here.run.folder.parent.parent
    faults(here, toxiproxy, kubernetes)
    there = toxiproxy.toxics("pix-primary")[0]["name"]
    arguments = {"url": toxiproxy.url, "proxy": "pix-primary", "toxic": there}
    heal.intend(here.run, "remove_toxic", arguments)
    lock.release(here.run, here.environment)
    plan = here.run.read_json("plan.json")
    bad = [Run.create(runs, name) for name in ("a-plan", "b-log")]
    heal.intend(bad[0], "remove_toxic", arguments)
    bad[0].write_json("plan.json", {"environment": {**plan["environment"], "last_year": 1}})
    bad[1].append("heals.jsonl", {"state": "intent"})
    bad[1].write_json("plan.json", plan)
    ended = holdfast("undo", "--all-mine", "--runs", runs, "-e", environment)
    assert ended.code == 5
    assert all(f"error: {one.folder}: " in ended.stderr for one in bad)
    assert clean(toxiproxy, kubernetes)
    assert heal.pending(here.run) == []


def test_by_hand_needs_the_log_and_no_more(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], tmp_path: Path
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    gateway.slow("pix-primary", 100, configuration=configured(here))
    here.run.path("plan.json").write_text("{}")
    nowhere = tmp_path / "none.yaml"
    ended = holdfast("undo", here.run.folder, "--by-hand", "-e", nowhere)
    assert (ended.code, ended.stdout.count("curl -X DELETE ")) == (0, 1)
    assert f"no {nowhere} tells which Toxiproxy wants a token" in ended.stderr
    log = here.run.path("heals.jsonl")
    log.write_bytes(log.read_bytes()[:-9] + b"\n")
    ended = holdfast("undo", here.run.folder, "--by-hand", "-e", nowhere)
    assert (ended.code, ended.stdout.count("curl -X DELETE ")) == (5, 1)
    assert "is not whole; the marks on the systems tell the rest" in ended.stderr


def test_a_line_to_paste_is_quoted_inert_and_names_the_token(
    make_here: Callable[..., Context], tmp_path: Path
) -> None:
    """Whoever may name a proxy must not run what he likes in the shell of who undoes it."""
    url = "http://127.10.0.11:1"
    here = make_here(toxiproxies=[url])
    plain = written(here, tmp_path)
    evil = "a$(touch owned)\x1b[2J b"
    toxic = marks.toxic(here.run.id, "slow", heal.expires())
    heal.intend(here.run, "remove_toxic", {"url": url, "proxy": evil, "toxic": toxic})
    heal.intend(here.run, "untaint", {"node": evil, "key": "k;reboot", "run": here.run.id})
    path = "/proxies/a%24%28touch%20owned%29%1B%5B2J%20b/toxics/"
    ended = holdfast("undo", here.run.folder, "--by-hand", "-e", plain)
    assert ended.stdout.splitlines() == [
        f"curl -X DELETE {url}{path}{toxic}",
        "kubectl taint nodes 'a$(touch owned)\\x1b[2J b' 'k;reboot'-",
    ]
    document = yaml.safe_load(plain.read_text())
    document["toxiproxy"][0]["token_env"] = "TOXIPROXY_TOKEN"
    plain.write_text(yaml.safe_dump(document))
    ended = holdfast("undo", here.run.folder, "--by-hand", "-e", plain)
    assert ended.stdout.startswith('curl -H "Authorization: Bearer $TOXIPROXY_TOKEN" -X DELETE ')


@pytest.mark.parametrize("clock", ["set back", "behind"])
def test_all_mine_believes_no_clock(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
    clock: str,
) -> None:
    """One that was set back makes no dead run alive; one that is behind, no live run dead."""
    here = wallet(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    environment = written(here, tmp_path)
    faults(here, toxiproxy, kubernetes)
    lease = kubernetes.leases["holdfast"]
    lease["spec"]["renewTime"] = "2999-01-02T03:04:05.000000Z"

    def renewed(_method: str, _path: str) -> None:
        lease["spec"]["renewTime"] = "2001-01-02T03:04:05.000000Z"
        lease["metadata"]["resourceVersion"] += "1"

    if clock == "behind":
        kubernetes.before = renewed
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert ended.code == 0
    assert clean(toxiproxy, kubernetes) is (clock == "set back")


def test_all_mine_while_nobody_can_tell_which_run_is_alive(
    toxiproxy: RealToxiproxy,
    make_here: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    """What is out of date belongs to nobody; of the rest, the lines that undo it by hand."""
    here = make_here(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    environment = written(here, tmp_path)
    fresh = heal.toxic_name(here.run, "slow")
    old = f"holdfast-{here.run.id}-slow-until-20260102T030405Z"
    client = Toxiproxy(toxiproxy.url)
    client.add_toxic("pix-primary", Toxic(fresh, "latency", {"latency": 9, "jitter": 0}))
    client.add_toxic("ted", Toxic(old, "latency", {"latency": 9, "jitter": 0}))
    kubernetes.forbidden.add("get leases")
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert ended.code == 5
    assert f"curl -X DELETE {toxiproxy.url}/proxies/pix-primary/toxics/{fresh}\n" in ended.stdout
    assert "error: whether a run is alive: " in ended.stderr
    assert [one["name"] for one in toxiproxy.toxics("pix-primary")] == [fresh]
    assert toxiproxy.toxics("ted") == []


def test_all_mine_goes_on_after_a_surprise(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    with Meddler(kubernetes.url) as meddler:
        here = wallet(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
        faults(here, toxiproxy, kubernetes)
        lock.release(here.run, here.environment)
        path = tmp_path / "kubeconfig"
        path.write_text(path.read_text().replace(kubernetes.url, meddler.url))
        meddler.answer("GET .*/nodes/node-b$", 200, "{}")
        environment = written(here, tmp_path)
        ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert ended.code == 5
    assert ended.stderr.count("error: node-b-") == 2
    assert toxiproxy.toxics("pix-primary") == []
    assert toxiproxy.enabled("ted")


def test_a_line_to_paste_has_no_option_of_others(
    make_here: Callable[..., Context], tmp_path: Path
) -> None:
    """A kubeconfig can run a program, and curl reads its options from any file."""
    here = make_here(toxiproxies=["http://127.10.0.11:1"])
    for operation, arguments in (
        ("uncordon", {"node": "--kubeconfig=/tmp/evil", "uid": "u"}),
        ("untaint", {"node": "n", "key": "--kubeconfig=/tmp/evil"}),
    ):
        heal.intend(here.run, operation, {**arguments, "run": here.run.id})
    heal.intend(here.run, "remove_toxic", {"url": "-K/tmp/evil", "proxy": "p", "toxic": "t"})
    ended = holdfast("undo", here.run.folder, "--by-hand", "-e", written(here, tmp_path))
    assert (ended.code, ended.stdout) == (5, "")
    assert ended.stderr.count("would be an option of the command") == 3


def test_a_run_is_undone_the_way_that_leads_there_now(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context], tmp_path: Path
) -> None:
    """Another kubeconfig, another variable for the token: what its plan names is never used."""
    here = make_here(toxiproxies=[toxiproxy.url])
    mine = written(here, tmp_path)
    gateway.slow("pix-primary", 100, configuration=configured(here))
    plan = here.run.read_json("plan.json")
    plan["environment"]["kubernetes"]["kubeconfig"] = "/elsewhere"
    plan["environment"]["toxiproxy"][0]["token_env"] = "AWS_SECRET_ACCESS_KEY"
    here.run.write_json("plan.json", plan)
    assert context.confirmed(here.run.folder, mine, context.UNDOES).environment == here.environment
    assert holdfast("undo", here.run.folder, "-e", mine).code == 0
    assert toxiproxy.toxics("pix-primary") == []


def test_a_secret_with_the_end_of_its_line_is_not_printed(
    make_here: Callable[..., Context], tmp_path: Path
) -> None:
    """A token from a file: the client quotes it, escaped, when it refuses to send it."""
    environment = written(make_here(), tmp_path)
    path = tmp_path / "kubeconfig"
    document = json.loads(path.read_text())
    document["users"][0]["user"]["token"] = "the-token-of-a-file\n"
    path.write_text(json.dumps(document))
    for command in (
        ["-c", "from holdfast.cli import main; main()", "undo", "--all-mine", "-e"],
        ["-m", "holdfast.reaper", "--once", "--environment"],
    ):
        ended = subprocess.run(
            [sys.executable, *command, str(environment)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert "it cannot be called with these credentials" in ended.stdout + ended.stderr
        assert "the-token-of" not in ended.stdout + ended.stderr
