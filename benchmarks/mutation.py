"""Remove each guard in a copy of the tree, and see whether the tests that are named for it fail.

The list is `tests/guards.yaml`. A guard whose removal no test notices is printed as SURVIVED, and
makes the exit code 1.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.clock import SECOND, now_ns

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "guards.yaml"
LIMIT_S = 300  # for the tests of one guard
REMOVED = "'removed'"  # what a guard answers with that was taken out: a sentence

type Entry = Mapping[str, Any]


def entries() -> list[Entry]:
    """Each guard: its file, its function, and its tests."""
    found: list[Entry] = yaml.safe_load(LIST.read_text())
    return found


def place(source: str, function: str) -> ast.stmt:
    """The function or class of that name, `Class.method` for one of a class.

    Raises:
        LookupError: there is none.
    """
    node: Any = ast.parse(source)
    for name in function.split("."):
        node = next((one for one in node.body if getattr(one, "name", "") == name), None)
        if node is None:
            raise LookupError(f"no {function}")
    found: ast.stmt = node
    return found


def without(source: str, entry: Entry) -> str:
    """The source without that guard.

    Raises:
        LookupError: the function, or what is to be changed in it, is not there exactly once.
    """
    node: Any = place(source, entry["function"])
    lines = source.splitlines(keepends=True)
    if change := entry.get("change"):
        first, end = node.lineno - 1, node.end_lineno
        part = "".join(lines[first:end])
        if part.count(change["was"]) != 1:
            raise LookupError(f"{change['was']!r} stands {part.count(change['was'])} times")
        return "".join([*lines[:first], part.replace(change["was"], change["is"]), *lines[end:]])
    body = node.body[0]
    indent = " " * body.col_offset
    answer = f"{indent}return {entry.get('returns', REMOVED)}\n"
    return "".join([*lines[: body.lineno - 1], answer, *lines[node.end_lineno :]])


def copied(folder: Path) -> Path:
    """The tree as git knows it, in another folder; its links are kept."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, to, follow_symlinks=False)
    return folder


def failed(tree: Path, tests: Sequence[str]) -> set[str]:
    """Which of these tests fail there.

    Raises:
        RuntimeError: they could not be run.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout[-500:] + done.stderr[-500:])
    names = re.findall(r"^FAILED (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return {test for test in tests if any(name.startswith(test) for name in names)}


def tried(tree: Path, entry: Entry) -> str:
    """How many of the guard's tests notice that it is gone."""
    path = tree / entry["file"]
    source = path.read_text()
    path.write_text(without(source, entry))
    try:
        noticed = failed(tree, entry["tests"])
    finally:
        path.write_text(source)
    return f"{len(noticed)} of {len(entry['tests'])}" if noticed else "SURVIVED"


def main() -> None:
    """Remove each, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/mutation.py --only alert",
    )
    parser.add_argument("--only", default="", help="guards whose name holds this")
    only = parser.parse_args().only
    chosen = [one for one in entries() if only in one["guard"]]
    began, rows = now_ns(), []
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        tests = sorted({test for one in chosen for test in one["tests"]})
        if broken := failed(tree, tests):
            raise SystemExit(f"these fail with every guard in place: {', '.join(sorted(broken))}")
        for number, one in enumerate(chosen, 1):
            rows.append([one["guard"], one["function"], tried(tree, one)])
            print(f"\r{number} of {len(chosen)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(machine.table(["guard that was removed", "function", "tests that fail"], rows))
    survived = [row[0] for row in rows if row[2] == "SURVIVED"]
    print(
        f"\n{len(rows)} guards, {len(rows) - len(survived)} noticed, {len(survived)} survived;"
        f" {(now_ns() - began) / SECOND:.0f} s"
    )
    print(machine.line())
    sys.exit(bool(survived))


if __name__ == "__main__":
    main()
