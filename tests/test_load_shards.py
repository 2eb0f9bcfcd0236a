"""One load in several processes: together they send what one would, and their files merge."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from holdfast import customers
from holdfast.clock import SECOND, Anchor, utc_now, wall_ns
from holdfast.context import packaged
from holdfast.errors import InvalidInput
from holdfast.load.merge import Clock, expected, merge
from holdfast.load.schedule import schedule
from holdfast.load.shards import Shard
from holdfast.store import LOAD_PLAN, LOAD_REPORT, SAMPLES, Run
from tests.load_case import WAIT_S, environment, journey, transfer
from tests.slow_server import SlowServer, serving
from tests.test_arrivals import LOADS, POISSON

OF = 3
HEAD_START_S = 8.0  # for three interpreters to start


@given(st.lists(LOADS, min_size=1, max_size=3), st.integers(1, 7))
def test_shards_send_what_one_process_would(loads: list[Any], of: int) -> None:
    """Each request of the schedule is in exactly one part."""
    shapes = {f"j{n}": one for n, one in enumerate(loads)}
    plan = {"loads": shapes, "max_seconds": 3.0}
    parts = [list(expected(plan, Shard(n, of, named=True))) for n in range(of)]
    whole = list(takewhile(lambda one: one[0] < 3 * SECOND, schedule(shapes, 0)))
    assert sum((Counter(one) for one in parts), Counter()) == Counter(whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["4/4", "0", "-1/4", "0/0", "a/b", "1/"])
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="it is not such as 0/4"):
        Shard.read(text)


def send(run: Run, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "holdfast.load", str(run.folder), *arguments]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def prepare(folder: Path, url: str, start_wall_ns: int) -> Run:
    run = Run.create(folder, "many")
    journeys = {"pix": transfer(), "balance": journey()}
    loads = {"pix": POISSON, "balance": 100.0}
    where = environment(url)
    bounds: Any = {"seed": 7, "max_seconds": 2.0, "start_wall_ns": start_wall_ns}
    customers.prepare(run, where, journeys, loads, **bounds)
    return run


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, SlowServer]]:
    """A run whose three shards have ended, not merged yet."""
    folder = tmp_path_factory.mktemp("shards")
    with serving(SlowServer(host="127.11.0.10")) as server:
        run = prepare(folder, server.url, wall_ns() + round(HEAD_START_S * SECOND))
        processes = [send(run, "--shard", f"{n}/{OF}") for n in range(OF)]
        said = [process.communicate(timeout=WAIT_S)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * OF, said
        yield run, server


@pytest.fixture
def again(sent: tuple[Run, SlowServer], tmp_path: Path) -> Run:
    """A copy of that run, to be damaged."""
    copy = Run.create(tmp_path, "many")
    for path in (LOAD_PLAN, *(f"samples/shard-{n}.{end}" for n in range(OF) for end in END)):
        copy.path(path).write_bytes(sent[0].path(path).read_bytes())
    return copy


END = ("csv", "json")


@pytest.mark.integration
def test_three_processes_send_one_load(again: Run, sent: tuple[Run, SlowServer]) -> None:
    with send(again, "--merge") as process:
        assert process.stdout
        said = process.stdout.read()
    samples = list(again.samples())
    assert said == f"{len(samples)} requests, each of them once\n"
    plan, account = again.read_json(LOAD_PLAN), again.read_json(LOAD_REPORT)
    whole = takewhile(lambda one: one[0] < 2 * SECOND, schedule(plan["loads"], 0))
    offsets = Counter(name for _, name in whole)
    assert Counter(one.journey for one in samples) == offsets
    assert offsets["balance"] == 200
    assert {one.outcome for one in samples} == {"ok"}
    rows = again.path(SAMPLES).read_text().splitlines()[1:]
    done = [int(row.split(",")[3]) for row in rows]
    assert done == sorted(done)
    assert account["journeys"]["balance"] == dict.fromkeys(("scheduled", "sent", "answered"), 200)
    assert account["requests"] == len(sent[1].seen) == len(samples)
    assert account["ended"] == "stop"
    assert account["clocks"] == 1
    ids = [one.id for one in samples if one.id]
    assert len(set(ids)) == len(ids) == offsets["pix"]
    assert {one.headers["x-holdfast-run"] for one in sent[1].seen} == {plan["run"]}
    marks = [round(one.scheduled_ns - account["start_ns"], -6) for one in samples]
    assert max(marks) < 2.001 * SECOND  # they began at one instant
    with pytest.raises(InvalidInput, match="it is there already"):
        merge(again)


def rows_of(run: Run, change: Callable[[list[str]], list[str]]) -> None:
    path = run.path("samples/shard-1.csv")
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *change(rows)]) + "\n")


def test_a_request_that_is_missing_is_named(again: Run) -> None:
    rows_of(again, lambda rows: rows[1:])
    with pytest.raises(InvalidInput, match=r"shard 1 of 3: a request of \w+ at 0\.\d+ s is miss"):
        merge(again)
    assert not again.path(SAMPLES).exists()


def test_a_request_that_is_there_twice_is_named(again: Run) -> None:
    rows_of(again, lambda rows: [*rows, rows[5]])
    with pytest.raises(InvalidInput, match=r"shard 1 of 3: a request .* is there too often \(1 in"):
        merge(again)


def test_a_request_of_no_schedule_is_named(again: Run) -> None:
    def later(rows: list[str]) -> list[str]:
        return [*rows, re.sub(r",(\d+),", lambda m: f",{int(m[1]) + 7},", rows[5], count=1)]

    rows_of(again, later)
    with pytest.raises(InvalidInput, match="is there too often"):
        merge(again)


@pytest.mark.parametrize("change", [{"ended": "signal"}, {"open": 1}, {"shard": [2, 3]}])
def test_a_shard_that_did_not_end_well_is_refused(again: Run, change: dict[str, Any]) -> None:
    path = again.path("samples/shard-1.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInput, match="shard 1 of 3: it did not end well"):
        merge(again)


def test_a_shard_that_is_not_there_is_refused(again: Run) -> None:
    again.path("samples/shard-2.json").unlink()
    with pytest.raises(InvalidInput, match="shard 2 of 3 is missing"):
        merge(again)


def test_instants_of_another_machine_are_moved_by_its_wall_clock() -> None:
    here = Clock("boot-1", Anchor(mono_ns=100, wall_ns=1_000))
    theirs = {"clock": "boot-2", "anchor": {"mono_ns": 5_000, "wall_ns": 1_050}}
    assert here.shift_ns(theirs) == -4_850  # their 5,000 is our 150
    assert here.shift_ns(theirs | {"clock": "boot-1"}) == 0


@pytest.mark.parametrize(
    ("boots", "clocks"),
    [
        (["boot-1", "boot-1"], 1),
        (["boot-2", "boot-2"], 2),  # its instants are moved to this machine's clock
        (["boot-1", "boot-2"], 2),
        (["boot-2", "boot-3"], 3),
        (["unknown", "boot-1"], 2),
        (["unknown", "unknown"], 3),
    ],
)
def test_this_machine_and_each_that_cannot_be_told_apart_has_a_clock(
    boots: list[str], clocks: int
) -> None:
    here = Clock("boot-1", Anchor(mono_ns=100, wall_ns=1_000))
    assert here.many([{"clock": boot} for boot in boots]) == clocks


def test_a_machine_that_does_not_know_its_boot_has_a_clock_of_its_own() -> None:
    here = Clock("unknown", Anchor(mono_ns=100, wall_ns=1_000))
    assert here.many([{"clock": "unknown"}]) == 2


def test_shards_of_one_other_machine_merge_with_two_clocks(again: Run) -> None:
    for number in range(OF):
        path = again.path(f"samples/shard-{number}.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"clock": "another"}))
    merge(again)
    assert again.read_json(LOAD_REPORT)["clocks"] == 2


@pytest.mark.integration
def test_a_shard_that_comes_too_late_sends_nothing(tmp_path: Path) -> None:
    run = prepare(tmp_path, "http://127.11.0.3:9", wall_ns())
    process = send(run, "--shard", "0/2")
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert "shard 0 of 2: its start passed" in said
    assert "Prepare the load again, with a later start" in said


@pytest.mark.integration
def test_a_load_is_prepared_from_an_experiment(tmp_path: Path) -> None:
    here = environment("http://127.11.0.3:9").model_dump(mode="json", exclude_unset=True)
    (tmp_path / "environment.yaml").write_text(json.dumps(here))
    start = utc_now().isoformat(timespec="seconds")
    folder = tmp_path / "run"
    what = [str(packaged("slow-gateway.yaml")), str(folder)]
    command = [sys.executable, "-m", "holdfast.load.prepare", *what]
    more = ["-e", str(tmp_path / "environment.yaml"), "--start", start, "--for", "10m"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    plan = json.loads((folder / LOAD_PLAN).read_text())
    assert plan["loads"] == {"pix-transfer": 60.0, "balance": 40.0}
    assert plan["max_seconds"] == 600.0
    assert abs(plan["start_wall_ns"] - wall_ns()) < 60 * SECOND
    for wrong in (["--start", "2026-11-25T20:00:00"], ["--for", "10"]):
        said = subprocess.run(
            [*command, *more, *wrong], capture_output=True, text=True, check=False
        )
        assert said.returncode == 1
        assert wrong[0] in said.stderr


def test_the_job_starts_every_shard_once() -> None:
    """An example that nobody could apply would be found out in the night of the game day."""
    path = Path(__file__).parent.parent / "deploy" / "load" / "load-job.yaml"
    job = yaml.safe_load(path.read_text())
    spec = job["spec"]
    assert (spec["suspend"], spec["completionMode"], spec["backoffLimit"]) == (True, "Indexed", 0)
    assert spec["completions"] == spec["parallelism"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "holdfast.load"]
    folder, option, shard = container["args"]
    numbers = [
        Shard.read(shard.replace("$(JOB_COMPLETION_INDEX)", str(index)))
        for index in range(spec["completions"])
    ]
    assert [one.number for one in numbers] == list(range(numbers[0].of))
    assert (folder, option) == ("/var/lib/holdfast/big", "--shard")
