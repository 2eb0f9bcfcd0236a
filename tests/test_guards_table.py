"""The list of guards is whole: each is there, can be removed, and its tests exist."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks.mutation import REMOVED, entries, place, without

ROOT = Path(__file__).parent.parent
ENTRIES = entries()
TOLD = {"disruption_of_a_zone"}  # asked like a guard, and refuses nothing


def test_no_guard_stands_twice() -> None:
    names = [one["guard"] for one in ENTRIES]
    assert sorted(names) == sorted(set(names))


def test_every_check_of_the_guards_is_listed() -> None:
    """A guard that is added has to be added there, with the test that misses it."""
    listed = {one["function"] for one in ENTRIES}
    for path in (ROOT / "src" / "holdfast" / "guard").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
                assert node.name in listed, f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", ["actions/pods.py", "actions/zones.py", "actions/gateway.py"])
def test_every_place_where_an_action_asks_a_guard_is_listed(path: str) -> None:
    changes = [one["change"]["was"] for one in ENTRIES if one["file"] == path]
    asked = re.findall(r"answers\.ask\(.*\)$", (ROOT / path).read_text(), re.MULTILINE)
    assert asked
    guards = {one for one in changes if one.startswith("answers.ask(")}
    assert {one for one in asked if not any(it in one for it in TOLD)} == guards


@pytest.mark.parametrize("entry", ENTRIES, ids=[one["guard"] for one in ENTRIES])
def test_it_can_be_removed_and_its_tests_exist(entry: dict[str, object]) -> None:
    source = (ROOT / str(entry["file"])).read_text()
    after = without(source, entry)
    assert after != source
    ast.parse(after)
    place(after, str(entry["function"]))
    tests = entry["tests"]
    assert isinstance(tests, list)
    for test in tests:
        file, _, name = str(test).partition("::")
        place((ROOT / file).read_text(), name.partition("[")[0])


def test_what_is_left_of_a_guard_that_was_removed() -> None:
    """The known truth of the tool: the function stays, and lets everything pass."""
    source = 'def check_it(x: int) -> str:\n    """Is it?"""\n    raise ValueError(x)\n\n\nY = 1\n'
    entry = {"function": "check_it"}
    assert (
        without(source, entry) == f"def check_it(x: int) -> str:\n    return {REMOVED}\n\n\nY = 1\n"
    )
    part = {"function": "check_it", "change": {"was": "raise ValueError(x)", "is": "pass"}}
    assert "    pass\n" in without(source, part)
    with pytest.raises(LookupError, match="stands 0 times"):
        without(source, {**part, "change": {"was": "nothing", "is": ""}})
    with pytest.raises(LookupError, match="no check_that"):
        without(source, {"function": "check_that"})
