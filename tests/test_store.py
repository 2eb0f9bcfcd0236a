"""The run folder: what is appended is kept, what was changed is noticed, nothing is half there."""

import errno
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.errors import InvalidInput
from holdfast.model import Sample
from holdfast.store import RESERVE, SAMPLES, Run, parse_sample, write_whole
from holdfast.store.chain import Disk
from holdfast.store.folders import new_folder, slug

EVENTS = "events.jsonl"
HEADER = "journey,scheduled_ns,sent_ns,done_ns,outcome,code,id,account,amount_cents\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An empty run."""
    return Run.create(tmp_path / "runs", "slow gateway")


def seqs(run: Run) -> list[int]:
    return [one["seq"] for one in run.records(EVENTS)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ── folders and files ─────────────────────────────────────────────────────────────────────────────


def test_a_run_has_a_folder_of_its_own(run: Run, tmp_path: Path) -> None:
    assert run.folder.parent == tmp_path / "runs" / "slow-gateway"
    assert {one.name for one in run.folder.iterdir()} == {"samples", "series"}
    again = Run.create(tmp_path / "runs", "slow gateway")
    assert again.folder != run.folder
    assert again.id != run.id
    assert len(run.id) == 12


def test_two_runs_that_begin_at_the_same_instant_have_a_folder_each(tmp_path: Path) -> None:
    first = new_folder(tmp_path, iter(["20261125T120000.000001Z"]))
    second = new_folder(tmp_path, iter(["20261125T120000.000001Z", "20261125T120000.000002Z"]))
    assert (first.name, second.name) == ("20261125T120000.000001Z", "20261125T120000.000002Z")


def test_files_are_for_their_owner_only(run: Run) -> None:
    """They hold accounts, and where everything is."""
    before = os.umask(0)
    try:
        run.append(EVENTS, {"event": "anchor"})
        run.write_json("plan.json", {})
        run.write_manifest()
    finally:
        os.umask(before)
    assert {mode(run.path(one)) for one in (EVENTS, "plan.json", "manifest.json")} == {0o600}
    assert {mode(one) for one in (run.folder, run.path("samples"), run.path("series"))} == {0o700}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(InvalidInput, match=r"runs.*can be made.*Name another folder"):
        Run.create(tmp_path / "runs", "x")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidInput, match=r"it has no plan\.json, so it is not a run folder"):
            Run.open(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slow-gateway", "slow-gateway"),
        ("../../etc/passwd", "etc-passwd"),
        ("Größe 10 %", "gr-e-10"),
        ("", "run"),
        ("…", "run"),
        ("a" * 100, "a" * 63),
    ],
)
def test_names_of_folders_are_harmless(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_what_a_system_answered_is_kept_as_it_is(run: Run) -> None:
    """Also numbers that JSON has no word for, half a character, and what is nested deeply."""
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    for answer in ({"é": "✓", "n": 1 << 70, "f": [0.1, float("inf")]}, {"half": "\ud800"}, deep):
        run.write_answer("series/up.json", answer)
        assert run.read_json("series/up.json") == answer


# ── chained records ───────────────────────────────────────────────────────────────────────────────


def test_records_are_numbered_stamped_and_chained(run: Run) -> None:
    first = run.append(EVENTS, {"event": "anchor"})
    second = run.append(EVENTS, {"event": "phase", "name": "before"})
    assert run.records(EVENTS) == [first, second]
    assert (first["seq"], second["seq"]) == (1, 2)
    assert first["previous"] == "0" * 64
    line = run.path(EVENTS).read_bytes().splitlines(keepends=True)[0]
    assert second["previous"] == hashlib.sha256(line).hexdigest()
    assert second["mono_ns"] > first["mono_ns"]


def test_what_was_never_written_is_empty(run: Run) -> None:
    assert run.records(EVENTS) == []
    assert list(run.samples()) == []


@pytest.mark.row(35)
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('"name": "before"', '"name": "after"', "line 2"),
        ('"event": "anchor"', '"event": "abort"', "line 1"),
        ('"event": "x"', '"event": "y"', "line 3"),
    ],
)
def test_a_record_that_was_changed_is_noticed(run: Run, old: str, new: str, place: str) -> None:
    for record in ({"event": "anchor"}, {"event": "phase", "name": "before"}, {"event": "x"}):
        run.append(EVENTS, record)
    path = run.path(EVENTS)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InvalidInput, match=rf"events\.jsonl {place}: its checksum is wrong"):
        run.records(EVENTS)
    assert len(run.sound(EVENTS)[0]) == int(place[-1]) - 1, "what came before it is still good"


class FullDisk(Disk):
    """Has room for so many more lines; giving up the reserve makes room for all of them."""

    def __init__(self, folder: Path, room: int, code: int = errno.ENOSPC) -> None:
        self.folder, self.room, self.code = folder, room, code

    def write(self, file: io.FileIO, line: bytes) -> None:
        if self.room <= 0 and (self.folder / RESERVE).exists():
            file.write(line[:7])  # a part of it, as a disk does
            raise OSError(self.code, os.strerror(self.code))
        self.room -= 1
        super().write(file, line)


@pytest.mark.row(34)
def test_on_a_full_disk_the_undo_is_still_written_down(run: Run) -> None:
    """The reserve is there for it; what is only of interest later does not get it."""
    run.reserve()
    assert run.path(RESERVE).stat().st_blocks * 512 >= 1 << 20
    full = Run(run.folder, FullDisk(run.folder, room=1))
    full.append("heals.jsonl", {"state": "intent"})
    with pytest.raises(OSError, match="No space left"):
        full.append("samples/pods.jsonl", {"pods": []})
    assert run.path(RESERVE).exists()
    full.append("heals.jsonl", {"state": "undone"})
    assert not run.path(RESERVE).exists()
    assert [one["state"] for one in run.records("heals.jsonl")] == ["intent", "undone"]


@pytest.mark.row(33)
def test_a_disk_that_fails_leaves_no_part_of_a_line(run: Run) -> None:
    run.reserve()
    failing = Run(run.folder, FullDisk(run.folder, room=1, code=errno.EIO))
    failing.append("heals.jsonl", {"state": "intent"})
    with pytest.raises(OSError, match="Input/output"):
        failing.append("heals.jsonl", {"state": "undone"})
    assert [one["state"] for one in run.records("heals.jsonl")] == ["intent"]
    assert run.path("heals.jsonl").read_bytes().endswith(b"}\n")


@pytest.mark.row(45)
def test_a_log_of_the_first_format_is_read(run: Run) -> None:
    """Its lines had no checksum of their own."""
    line = b'{"seq": 1, "event": "anchor", "previous": "' + b"0" * 64 + b'"}\n'
    run.path(EVENTS).write_bytes(line)
    assert run.records(EVENTS)[0]["event"] == "anchor"


def test_a_record_that_was_taken_out_is_noticed(run: Run) -> None:
    for number in range(3):
        run.append(EVENTS, {"event": str(number)})
    path = run.path(EVENTS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2])
    with pytest.raises(InvalidInput, match="line 2: the chain of hashes is broken"):
        run.records(EVENTS)


@pytest.mark.parametrize("damage", ["not JSON", "[1, 2]", "\xff\xfe", "null"])
def test_a_line_that_is_no_record_is_named(run: Run, damage: str) -> None:
    run.append(EVENTS, {"event": "anchor"})
    with run.path(EVENTS).open("ab") as file:
        file.write(damage.encode("latin-1") + b"\n")
    with pytest.raises(InvalidInput, match=r"events\.jsonl line 2: "):
        run.records(EVENTS)


@pytest.mark.row(35)
def test_a_torn_last_line_is_left_out_and_healed_by_the_next(run: Run) -> None:
    """The process died while it wrote: what was never acknowledged never happened."""
    run.append(EVENTS, {"event": "anchor"})
    run.append(EVENTS, {"event": "torn"})
    path = run.path(EVENTS)
    path.write_bytes(path.read_bytes()[:-7])
    assert seqs(run) == [1]
    run.append(EVENTS, {"event": "next"})
    assert [one["event"] for one in run.records(EVENTS)] == ["anchor", "next"]
    assert seqs(run) == [1, 2]


def test_a_file_that_holds_only_a_torn_line(run: Run) -> None:
    run.path(EVENTS).write_bytes(b'{"seq": 1, "mono')
    assert run.records(EVENTS) == []
    run.append(EVENTS, {"event": "anchor"})
    assert seqs(run) == [1]


APPEND = """
import sys
from pathlib import Path
from holdfast.store import Run
run = Run(Path(sys.argv[1]))
for number in range(50):
    run.append("events.jsonl", {"event": sys.argv[2], "number": number})
"""


@pytest.mark.integration
def test_processes_that_append_at_once_lose_nothing(run: Run) -> None:
    """The runner, its watch and an undo from another terminal write the same file."""
    names = ["runner", "undo"]
    processes = [
        subprocess.Popen([sys.executable, "-c", APPEND, str(run.folder), name]) for name in names
    ]
    assert [one.wait(30) for one in processes] == [0, 0]
    records = run.records(EVENTS)
    assert seqs(run) == list(range(1, 101))
    for name in names:
        mine = [one["number"] for one in records if one["event"] == name]
        assert mine == list(range(50))


# ── whole files ───────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_whole(path, "old")
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the run has no such file. Run the step before it first"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_json_that_cannot_be_read(run: Run, content: bytes | None, why: str) -> None:
    if content is not None:
        run.path("plan.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"plan\.json: {why}"):
        run.read_json("plan.json")


def test_the_manifest_names_every_file_but_itself(run: Run) -> None:
    run.write_json("plan.json", {"name": "x"})
    run.append(EVENTS, {"event": "anchor"})
    run.path("series/up.json").write_text("{}")
    run.write_manifest()
    run.write_manifest()  # a second time, over the first
    hashes = run.read_json("manifest.json")["sha256"]
    assert set(hashes) == {"plan.json", EVENTS, "series/up.json"}
    assert hashes["series/up.json"] == hashlib.sha256(b"{}").hexdigest()


# ── samples, and the record as a whole ────────────────────────────────────────────────────────────


def test_samples_are_read_as_they_were_written(run: Run) -> None:
    rows = '"a,b",1,2,3,ok,201,id-1,acc-0001,5\nbalance,4,5,6,timeout,0,,,0\n'
    run.path(SAMPLES).write_text(HEADER + rows)
    assert list(run.samples()) == [
        Sample("a,b", 1, 2, 3, "ok", 201, "id-1", "acc-0001", 5),
        Sample("balance", 4, 5, 6, "timeout", 0),
    ]


def test_a_row_that_was_cut_off_is_no_sample(run: Run) -> None:
    whole = "pix,1,2,3,ok,201,id-1,acc-0001,5\n"
    for cut in range(1, len(whole)):
        run.path(SAMPLES).write_text(HEADER + whole + whole[:-cut])
        assert [one.amount_cents for one in run.samples()] == [5]
    assert parse_sample(["pix", "1", "2"]) is None
    assert parse_sample(["pix", "1", "2", "x", "ok", "201", "", "", "0"]) is None


def test_a_torn_amount_is_not_a_smaller_amount(run: Run) -> None:
    """5000 cents, of which the disk holds `5`: the ledger would seem to be wrong."""
    run.path(SAMPLES).write_text(HEADER + "pix,1,2,3,ok,201,id-1,acc-0001,5")
    assert list(run.samples()) == []


def test_a_file_with_other_columns_holds_no_samples(run: Run) -> None:
    run.path(SAMPLES).write_text("journey,latency\npix,1\n")
    assert list(run.samples()) == []


def test_what_is_not_there_is_absent_and_not_empty(run: Run) -> None:
    """No data is not zero."""
    run.write_json("plan.json", {"name": "x"})
    record = run.record()
    assert record.transfers is None
    assert record.settlements is None
    assert (record.events, list(record.samples), record.load) == ((), [], {})
    assert record.series == {}


def test_the_record_holds_what_the_folder_holds(run: Run) -> None:
    run.write_json("plan.json", {"name": "x"})
    run.write_json("samples/load.json", {"ended": "stop"})
    run.write_json("series/up.json", {"status": "success"})
    run.path("series/transfers.jsonl").write_text('{"id": "1"}\n{"id": "2"}\n')
    run.path("series/settlements.jsonl").write_text("")
    run.append("samples/pods.jsonl", {"pods": []})
    record = run.record()
    assert record.load == {"ended": "stop"}
    assert record.series == {"up": {"status": "success"}}
    assert list(record.transfers or ()) == [{"id": "1"}, {"id": "2"}]
    assert record.settlements is not None
    assert list(record.settlements) == []
    assert [one["pods"] for one in record.pods] == [[]]


@pytest.mark.parametrize("content", ["not JSON\n", '{"id": 1}\n{"id"', "[1]\n", "7\n"])
def test_rows_that_are_no_rows_are_named(run: Run, content: str) -> None:
    run.write_json("plan.json", {"name": "x"})
    run.path("series/transfers.jsonl").write_text(content)
    with pytest.raises(InvalidInput, match=r"transfers\.jsonl line [12]: "):
        run.record()


@pytest.mark.parametrize(
    "text",
    ["1752345678.123456", "-0", "1e400", "NaN", "12345678901234567890", r'"\ud800"', '1, "a": 2'],
)
def test_a_row_means_what_it_means_elsewhere(run: Run, text: str) -> None:
    line = f'{{"a": {text}}}'
    run.write_json("plan.json", {"name": "x"})
    run.path("series/transfers.jsonl").write_text(line + "\n")
    assert repr(list(run.record().transfers or ())) == repr([json.loads(line)])


def test_what_was_written_can_be_read_by_anyone(run: Run) -> None:
    """Plain JSON lines."""
    run.append(EVENTS, {"event": "anchor", "deep": {"a": [1, None, True]}})
    (line,) = run.path(EVENTS).read_text().splitlines()
    assert json.loads(line)["deep"] == {"a": [1, None, True]}
