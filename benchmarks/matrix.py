"""The fault matrix: what may go wrong, what holdfast does then, and the tests that show it.

    python benchmarks/matrix.py            # print the table
    python benchmarks/matrix.py --write    # into docs/faults.md

The rows stand in tests/faults.yaml; the tests are found by their marks, `@pytest.mark.row(4)`.
"""

import argparse
import ast
import sys
from collections import defaultdict
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"
ON_THE_LAB = {*range(1, 11), *range(13, 25), *range(30, 33)} - {6}  # a report needs no system
_HEAD = """# The fault matrix

What may go wrong while something is being broken on purpose, and what holdfast does then. The rows
are shown by tests; those marked *lab* run against a real Kubernetes control plane and a real
Toxiproxy, with a proxy in front of them that delays, cuts, holds and answers (`tests/meddler.py`).
`pytest tests/lab` starts the lab by itself. Besides, `tests/test_heal_machine.py` lets faults,
crashes, failing systems and other people follow each other in any order, and checks the invariants
after each step.

Written by `python benchmarks/matrix.py --write`; a test checks that it is up to date.

| # | what goes wrong | what happens then | shown by |
|--:|---|---|---|
"""


def rows() -> list[tuple[int, str, str]]:
    """Number, fault, and what happens then."""
    found = yaml.safe_load((ROOT / "tests" / "faults.yaml").read_text())
    return [(int(number), str(fault), str(then)) for number, fault, then in found]


def shown() -> dict[int, list[str]]:
    """The tests of each row, as `file::test`."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for number in _marks(node):
                    found[number].append(f"{path.relative_to(ROOT / 'tests')}::{node.name}")
    return dict(found)


def _marks(test: ast.FunctionDef) -> set[int]:
    """The rows that a test, or one of its parameters, is marked with."""
    calls = (one for it in test.decorator_list for one in ast.walk(it) if isinstance(one, ast.Call))
    return {
        int(ast.literal_eval(one.args[0]))
        for one in calls
        if isinstance(one.func, ast.Attribute) and one.func.attr == "row"
    }


def page() -> str:
    """The document."""
    tests = shown()
    lines = [
        f"| {number} | {fault} | {then} | {'<br>'.join(map(_named, tests.get(number, [])))} |\n"
        for number, fault, then in rows()
    ]
    return _HEAD + "".join(lines)


def _named(test: str) -> str:
    file, _, name = test.partition("::")
    where = "*lab* " if file.startswith("lab/") else ""
    words = name.removeprefix("test_").replace("_", " ")
    return f"{where}[{words}](../tests/{file})"


def main() -> int:
    """1 when a row has no test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    if parser.parse_args().write:
        PAGE.write_text(page())
    else:
        print(page())
    missing = [number for number, _, _ in rows() if number not in shown()]
    for number in missing:
        print(f"row {number} is shown by no test", file=sys.stderr)
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
