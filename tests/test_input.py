"""Files and texts from elsewhere: hostile ones end with an error, soon, small, and inert.

Rows 40 and 41 of the fault matrix; `test_fetch` has row 42, the reports' own tests the rest of 41.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks import fuzz
from holdfast.clock import SECOND, now_ns
from holdfast.cluster import Cluster
from holdfast.context import packaged
from holdfast.documents import Environment, checked, read_environment
from holdfast.documents.strict_yaml import read_yaml
from holdfast.errors import HoldfastError, InvalidInput, Unreachable
from holdfast.inert import inert
from holdfast.model import Sample
from holdfast.store import SAMPLES, Run
from holdfast.store.folders import slug
from tests.fakes import Broken
from tests.test_documents import ENVIRONMENT, changed
from tests.test_store import EVENTS

HOSTILE = "<script>alert(1)</script>\x1b[31m\x1b]0;own\x07../../etc\u202e\u200b\r\n\x00"

# ── row 40: what people name as a file ────────────────────────────────────────────────────────────


def sparse(path: Path) -> None:
    """A file of a gigabyte."""
    with path.open("wb") as file:
        file.truncate(1 << 30)


ODD: dict[str, Callable[[Path], object]] = {
    "a gigabyte": sparse,
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link without end": lambda path: path.symlink_to(path),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/ptmx"),
    "a bomb": lambda path: path.write_text(
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
    ),
    "a deep one": lambda path: path.write_text("[" * 500_000),
    "many values": lambda path: path.write_text("- a\n" * 250_000),
    "many blanks": lambda path: path.write_text("a: " + "x " * 500_000),
    "no UTF-8": lambda path: path.write_bytes(b"a: \xff\xfe\n"),
    "nothing but zeros": lambda path: path.write_bytes(bytes(1 << 20)),
}


@pytest.mark.row(40)
@pytest.mark.parametrize("kind", ODD)
def test_a_file_that_is_no_yaml_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    ODD[kind](path)
    began = now_ns()
    if kind == "many blanks":
        assert read_yaml(path)["a"].startswith("x x")
    else:
        with pytest.raises(InvalidInput, match=r"environment\.yaml"):
            read_yaml(path)
    assert now_ns() - began < SECOND


@pytest.mark.row(40)
@pytest.mark.parametrize("kind", ["a gigabyte", "a pipe", "a folder", "an endless device"])
def test_a_kubeconfig_that_is_none_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    ODD[kind](path)
    began = now_ns()
    with pytest.raises(InvalidInput, match="kubeconfig"):
        Cluster(str(path)).version()
    assert now_ns() - began < 3 * SECOND


# ── a run's folder that somebody else packed ──────────────────────────────────────────────────────


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with a plan."""
    made = Run.create(tmp_path / "runs", "one")
    made.write_json("plan.json", {})
    return made


@pytest.mark.parametrize("name", [EVENTS, "samples/customers.csv", "series/up.json", "series/x"])
@pytest.mark.parametrize("kind", ["a link", "a pipe"])
def test_a_run_folder_holds_plain_files_only(run: Run, name: str, kind: str) -> None:
    if kind == "a link":
        run.path(name).symlink_to("/etc/passwd")
    else:
        os.mkfifo(run.path(name))
    with pytest.raises(InvalidInput, match=r"it is a link, a pipe or a device"):
        Run.open(run.folder)


def test_a_folder_of_a_run_is_no_link(run: Run, tmp_path: Path) -> None:
    run.path("series").rmdir()
    run.path("series").symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="series: it is a link"):
        Run.open(run.folder)


def test_json_that_is_nested_too_deeply(run: Run) -> None:
    run.path("findings.json").write_text("[" * 100_000)
    with pytest.raises(InvalidInput, match=r"findings\.json: not JSON"):
        run.read_json("findings.json")
    run.path(EVENTS).write_text("[" * 100_000 + "\n")
    with pytest.raises(InvalidInput, match="it is not a JSON object"):
        run.records(EVENTS)


@pytest.mark.row(41)
@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "", "/", "a" * 300, HOSTILE, "Überfall!", "-rf", "."]
)
def test_no_name_leads_out_of_the_folder_of_runs(name: str, tmp_path: Path) -> None:
    import re

    assert re.fullmatch(r"[a-z0-9-]{1,63}", slug(name))
    made = Run.create(tmp_path / "runs", name)
    assert made.folder.resolve().parent.parent == (tmp_path / "runs").resolve()
    assert re.fullmatch(r"[a-z0-9-]{1,63}", made.id)


# ── row 41: names and texts of others are inert ───────────────────────────────────────────────────


@pytest.mark.parametrize("char", HOSTILE[25:])
def test_nothing_in_an_error_acts(char: str) -> None:
    said = str(Unreachable("http://x", f"it answered {char}", "Look"))
    assert char not in said or char.isprintable()
    assert inert("plain text, ä €") == "plain text, ä €"


@pytest.mark.integration
@pytest.mark.row(41)
def test_an_error_of_a_hostile_server_is_one_printable_line() -> None:
    class Hostile(Broken):
        BODY = HOSTILE.encode()
        ANSWERS: ClassVar = {
            "": b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
        }

    from holdfast.prometheus import Prometheus

    with Hostile("", "127.10.0.13") as server, pytest.raises(Unreachable) as caught:
        Prometheus(server.url).version()
    assert str(caught.value).isprintable()
    assert "\\x1b[31m" in str(caught.value)


@pytest.mark.integration
@pytest.mark.row(41)
def test_the_command_line_prints_nothing_that_acts(tmp_path: Path) -> None:
    """A file's name is quoted in its error."""
    path = tmp_path / "evil\x1b[31m\u202e.yaml"
    path.write_text("a: *b\n")
    holdfast = Path(sys.executable).with_name("holdfast")
    done = subprocess.run(
        [holdfast, "plan", path, "-e", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "evil\\x1b[31m\\u202e.yaml" in done.stderr
    assert done.stderr.rstrip("\n").isprintable()


@pytest.mark.row(41)
def test_hostile_values_in_a_file_are_quoted_inertly() -> None:
    with pytest.raises(HoldfastError) as caught:
        checked(Environment, changed(ENVIRONMENT, f"policy.{HOSTILE[25:31]}x", 1), "environment")
    assert str(caught.value).isprintable()


def test_the_environment_that_ships_is_read_in_a_blink(tmp_path: Path) -> None:
    """Strictness costs nothing that anybody notices."""
    began = now_ns()
    for name in ("objectives.yaml", "journeys.yaml", "slow-gateway.yaml"):
        read_yaml(packaged(name))
    assert now_ns() - began < SECOND
    with pytest.raises(InvalidInput):
        read_environment(tmp_path)


def test_samples_that_are_no_csv(run: Run) -> None:
    run.path(SAMPLES).write_bytes((",".join(Sample.__dataclass_fields__) + "\na,1\r2\n").encode())
    with pytest.raises(InvalidInput, match="not CSV"):
        run.samples()


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """A few of the inputs of `benchmarks/fuzz.py`: whatever comes out is an error of ours."""
    chosen, defects = fuzz.fuzz(400, 7, tmp_path)
    assert defects == []
    assert sum(one.tally.total() for one in chosen) == 400
