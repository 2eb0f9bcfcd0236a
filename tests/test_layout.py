"""The shape of the code, as DESIGN section 3 draws it: each rule is one test."""

import ast
import os
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "holdfast"
FOLDERS = ("actions", "experiments", "probes", "reports")
ROWS = {
    0: {
        "model",
        "samples",
        "verdict",
        "errors",
        "clock",
        "marks",
        "signals",
        "redact",
        "files",
        "arrivals",
        "addresses",
        "inert",
    },
    1: {
        "prometheus",
        "toxiproxy",
        "cluster",
        "store",
        "documents",
        "credentials",
        "fetch",
        "database",
    },
    2: {
        "measure",
        "heal",
        "guard",
        "lock",
        "supervision",
        "customers",
        "context",
        "experiment",
        "rights",
        "sabotage",
        "residue",
    },
    3: {"actions", "probes", "load", "calibration"},
    4: {"plan", "run", "watchdog", "reaper", "budget", "collect", "judge", "reports"},
    5: {"pipeline", "suite", "compare", "observe"},
    6: {"cli"},
}
ROW_OF = {name: row for row, names in ROWS.items() for name in names}
NOT_COUNTED = {"self", "cls", "configuration"}  # the last is Chaos Toolkit's own
MAY_USE_NEIGHBOUR = {
    ("model", "verdict"),
    ("samples", "model"),
    ("errors", "verdict"),
    ("errors", "redact"),
    ("errors", "inert"),
    ("run", "plan"),
    ("supervision", "lock"),
    ("suite", "pipeline"),
    ("observe", "pipeline"),
}
BUILT_OF_ROW_1 = {
    ("cluster", "store"),
    ("store", "documents"),
    ("prometheus", "fetch"),
    ("toxiproxy", "fetch"),
    ("cluster", "fetch"),
}


def product_files() -> list[Path]:
    inside = [*SOURCE.rglob("*.py")]
    mapped = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted({*(path for path in inside if not path.is_symlink()), *mapped})


def code_files() -> list[Path]:
    others = [path for folder in ("lab", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    return [*product_files(), *others]


def part(path: Path) -> str:
    """The module or package of holdfast that a file belongs to."""
    folder = SOURCE if path.is_relative_to(SOURCE) else ROOT
    return path.relative_to(folder).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_used(path: Path) -> set[str]:
    """The parts of holdfast that a file imports."""
    names = [name.split(".") for name in imports(path) if name.startswith("holdfast.")]
    return {name[1] for name in names if name[1] in ROW_OF}


def functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """Each function's name, lines and parameters (self and such apart)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len([name for name in names if name not in NOT_COUNTED])
            yield node.name, (node.end_lineno or 0) - node.lineno + 1, count


def test_the_map_the_links_and_the_folders_are_the_same() -> None:
    """Builds use the map, editors the links; a folder in one and not in the other gets lost."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    mapped = {
        name.removeprefix("holdfast."): folder
        for name, folder in settings["package-dir"].items()
        if name != "holdfast"
    }
    assert mapped == {name: name for name in FOLDERS}
    links = {path.name: str(path.readlink()) for path in SOURCE.iterdir() if path.is_symlink()}
    assert links == {name: f"../../{name}" for name in FOLDERS}
    packages = {path.parent for path in product_files() if path.name == "__init__.py"}
    names = {".".join(["holdfast", *_inside(folder)]) for folder in packages}
    assert names == set(settings["packages"])


def _inside(folder: Path) -> tuple[str, ...]:
    return folder.relative_to(SOURCE if folder.is_relative_to(SOURCE) else ROOT).parts


@pytest.mark.parametrize("path", product_files(), ids=str)
def test_a_module_imports_only_from_lower_rows(path: Path) -> None:
    """Otherwise judging could touch the world, or a probe could change it."""
    mine = part(path)
    if mine == "__init__":
        return
    wrong = {
        used
        for used in parts_used(path) - {mine}
        if ROW_OF[used] >= ROW_OF[mine] and (mine, used) not in MAY_USE_NEIGHBOUR | BUILT_OF_ROW_1
    }
    assert not wrong, f"{mine} (row {ROW_OF[mine]}) imports {wrong}"


def test_every_part_has_its_row() -> None:
    """A module that no row names would be checked by nobody."""
    assert {part(path) for path in product_files()} - {"__init__", "experiments"} == set(ROW_OF)


def test_the_judge_and_the_reports_can_be_run_on_a_train() -> None:
    """They import row 0, measure and their renderers: no client of an outside system."""
    allowed = ROWS[0] | {"measure", "judge", "reports"}
    for path in product_files():
        if part(path) in ("judge", "reports"):
            assert parts_used(path) <= allowed, path


def test_row_0_and_measure_use_the_standard_library_only() -> None:
    """What judges has to run anywhere, for years."""
    import sys

    for path in product_files():
        if part(path) in ROWS[0] | {"measure", "judge"}:
            roots = {name.split(".")[0] for name in imports(path)}
            assert roots <= set(sys.stdlib_module_names) | {"holdfast"}, path


def test_chaoslib_is_imported_in_plan_and_run_only() -> None:
    """The rest must not depend on how Chaos Toolkit works inside."""
    users = {
        part(path)
        for path in product_files()
        if any(name.split(".")[0] == "chaoslib" for name in imports(path))
    }
    assert users <= {"plan", "run"}


def test_only_the_clock_reads_the_time_or_waits() -> None:
    """A wait that nobody bounds, or a second clock, would be found only in an incident."""
    for path in product_files():
        if path.name == "clock.py":
            continue
        used = {name for name in imports(path) if name == "time" or name.startswith("time.")}
        assert not used, path
        assert "datetime.now(" not in path.read_text(), path


def test_promql_lives_in_signals_only() -> None:
    """A range selector anywhere else would be a query that nobody reviews."""
    for path in product_files():
        if path.name != "signals.py":
            assert not re.search(
                r"\b(rate|increase|histogram_quantile)\([a-z_]*\{", path.read_text()
            )


def test_activities_can_be_discovered() -> None:
    """Chaos Toolkit discovers nothing in a module without `__all__`."""
    for folder in ("actions", "probes"):
        for path in (ROOT / folder).glob("*.py"):
            if path.name != "__init__.py":
                assert "__all__ = [" in path.read_text(), path


def test_the_lab_and_holdfast_know_each_other_only_through_the_network() -> None:
    """holdfast is judged on other clusters too."""
    for path in product_files():
        assert not any(name.split(".")[0] == "lab" for name in imports(path)), path
    for path in (ROOT / "lab").rglob("*.py"):
        assert not any(name.split(".")[0] == "holdfast" for name in imports(path)), path


@pytest.mark.parametrize("path", code_files(), ids=str)
def test_files_functions_and_parameters_are_within_their_limits(path: Path) -> None:
    """300 lines a file, 70 a function, five parameters; six where an experiment names each."""
    assert len(path.read_text().splitlines()) <= 300
    for name, lines, parameters in functions(path):
        assert lines <= 70, name
        assert parameters <= (6 if part_of_experiments(path) else 5), name


def part_of_experiments(path: Path) -> bool:
    """Does the file hold actions, whose arguments an experiment names one by one?"""
    return path.parent == ROOT / "actions"


def test_half_of_all_functions_are_at_most_ten_lines_long() -> None:
    """The median of the code bases that are a joy to read lies between 6 and 13."""
    lengths = [lines for path in code_files() for _, lines, _ in functions(path)]
    assert statistics.median(lengths) <= 10


@pytest.mark.parametrize("path", product_files(), ids=str)
def test_what_a_text_file_holds_does_not_depend_on_the_locale(path: Path) -> None:
    """In one of ISO-8859-1 a report's check mark could not be written, and a name not be read."""
    text = {"read_text", "write_text", "open", "fdopen", "NamedTemporaryFile", "TextIOWrapper"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name, words = ast.unparse(node.func).rpartition(".")[2], ast.unparse(node)
        if name in text and not re.search(r"""['"][rwax]+b\+?['"]|\b(os|Run)\.open""", words):
            assert re.search(r"""encoding=|'utf-8'""", words), words
        assert "text=True" not in words, words


def test_a_unit_test_opens_no_socket_and_starts_no_process() -> None:
    with socket() as one, pytest.raises(AssertionError, match="mark it `integration`"):
        one.connect(("127.0.0.1", 9))
    with pytest.raises(AssertionError, match="mark it `integration`"):
        os.fork()


def test_nothing_is_patched() -> None:
    """A patched test tells what a mock returned."""
    banned = ("mock.patch", "Magic" + "Mock", "monkeypatch.setattr", "unittest.mock")
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        assert path.name == "test_layout.py" or not any(word in text for word in banned), path


def test_a_broad_except_has_its_reason_on_the_same_line() -> None:
    """It hides a defect unless somebody said why it must not."""
    for path in code_files():
        for line in path.read_text().splitlines():
            stripped = line.strip()
            if stripped.startswith(("except Exception", "except BaseException", "except:")):
                assert "#" in stripped or "BaseException" in stripped, f"{path}: {stripped}"
