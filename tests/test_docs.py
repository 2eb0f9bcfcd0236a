"""Documentation that nobody checks is wrong after a month: what can be compared is compared."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click import Context, Option

from holdfast.cli import group
from holdfast.documents import schemas

ROOT = Path(__file__).parent.parent
FOLDERS = ("src/holdfast", "actions", "experiments", "probes", "reports")
GENERATED = (".", "runs", "build", "dist")
COMMANDS = sorted(group.list_commands(Context(group)))
SECTIONS = (
    "environment.yaml",
    "journeys.yaml",
    "objectives.yaml",
    "freeze.yaml",
    "controls.yaml",
    "rates.yaml",
    "An experiment's extension",
)


def files(*patterns: str) -> list[Path]:
    """Files of the checkout, without those that tools made."""
    found = {path for pattern in patterns for path in ROOT.rglob(pattern) if path.is_file()}
    inside = {path for path in found if not _generated(path)}
    return sorted(path for path in inside if not path.is_symlink())


def _generated(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    hidden = any(part.startswith(".") and part != ".ci" for part in parts)
    return hidden or parts[0] in GENERATED or "egg-info" in parts[0] or "__pycache__" in parts


def documents() -> list[Path]:
    """Every Markdown file."""
    return files("*.md")


def readme() -> str:
    """The first thing that anybody reads."""
    return (ROOT / "README.md").read_text()


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables in a text, without heads."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_has_an_example(name: str) -> None:
    """A command that nobody finds does not exist."""
    assert f"holdfast {name}" in readme()
    command = group.get_command(Context(group), name)
    assert command
    assert command.help
    assert f"holdfast {name} " in (command.epilog or ""), "no example in its help"
    for option in command.params:
        assert not isinstance(option, Option) or option.help, f"{option.name} has no sentence"


def test_no_place_was_left_to_be_filled_in() -> None:
    """A document that is not finished says so in its text, not with a mark of its writer."""
    mark = re.compile(r"@@\w+@@|\bTODO\b|\bTBD\b|\bXXX\b")
    found = {str(path): mark.findall(path.read_text()) for path in documents()}
    assert {path: marks for path, marks in found.items() if marks} == {}


def test_commands_in_the_readme_exist() -> None:
    """Each line of its shell blocks is a target, a command, or a word of every shell."""
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [
        line.split("#")[0].removeprefix("$ ").split()
        for block in re.findall(r"```sh\n(.*?)```", readme(), re.DOTALL)
        for line in block.splitlines()
        if line.split("#")[0].strip()
    ]
    assert lines, "the README shows no command"
    for words in lines:
        wrong = f"{' '.join(words)}: no such command"
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, wrong
        elif words[0] == "holdfast":
            assert words[1] in COMMANDS or words[1].startswith("-"), wrong
        elif words[0].endswith("python") and words[1] == "-m":
            assert words[2] in ("lab", "holdfast.documents.schemas"), wrong
        else:
            assert words[0] in ("git", "cd", "uv", "chaos", "pip", "kill", "echo"), wrong
        named = [word for word in words[1:] if word.startswith(("experiments/", "benchmarks/"))]
        assert [word for word in named if not (ROOT / word).exists()] == [], wrong


def test_whats_here_names_every_file_once_and_no_other() -> None:
    """It is the map; a module that it does not name is one that nobody reads."""
    text = (ROOT / "docs" / "whats-here.md").read_text()
    named = [match[1] for cells in rows(text) if (match := re.fullmatch(r"`(.+)`", cells[0]))]
    assert len(named) == len(set(named))
    there = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not _generated(path) and not _beyond_a_link(path)
    }
    listed = {name for name in named if name.startswith(tuple(f"{one}/" for one in FOLDERS))}
    assert listed == there
    assert [name for name in named if not (ROOT / name).exists()] == []


def _beyond_a_link(path: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents)


def test_paths_in_the_vocabulary_exist() -> None:
    """A word whose place moved sends its reader astray."""
    places = [cells[-1] for cells in rows_of_vocabulary()]
    code = [one for place in places for one in re.findall(r"`([^`]+)`", place)]
    paths = [one for one in code if re.fullmatch(r"[\w*./-]+(/|\.py|\.yaml)", one)]
    made_by_a_run = {"plan.json", "events.jsonl", "heals.jsonl", "environment.yaml"}
    roots = (ROOT, ROOT / "src" / "holdfast", ROOT / "experiments")
    assert "`lab/`" in places
    for one in set(paths) - made_by_a_run:
        assert any(any(root.glob(one)) for root in roots), one


def test_names_in_the_vocabulary_exist() -> None:
    """`model.Window` has to be a thing of that name."""
    import importlib

    code = [one for cells in rows_of_vocabulary() for one in re.findall(r"`([^`]+)`", cells[-1])]
    names = [one for one in code if re.fullmatch(r"[a-z]+\.[A-Za-z]+", one)]
    for one in names:
        if one.endswith((".yaml", ".json", ".jsonl")):
            continue
        module, _, name = one.partition(".")
        assert hasattr(importlib.import_module(f"holdfast.{module}"), name), one


def rows_of_vocabulary() -> list[list[str]]:
    """Its table: word, meaning, place in the code."""
    text = (ROOT / "docs" / "vocabulary.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """A relative link of a document is a path from the folder that it lies in."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_no_path_of_anybodys_home() -> None:
    """What works on one machine only is of no use to others, and tells whose it was."""
    home = re.compile(r"(?<![\w.$}])/(home|root|Users)/\w")
    kinds = ("*.py", "*.md", "*.yaml", "*.toml", "*.go", "*.sh", "*.json", "Makefile", ".ci/run")
    mine = Path(__file__)
    assert [path for path in files(*kinds) if path != mine and home.search(path.read_text())] == []


def test_the_published_schemas_are_those_that_check() -> None:
    """`python -m holdfast.documents.schemas docs/schemas` writes them anew."""
    folder = ROOT / "docs" / "schemas"
    published = {path.name: path.read_text() for path in folder.iterdir()}
    assert published == {name: schemas.text(one) for name, one in schemas.schemas().items()}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_every_file_is_documented(section: str) -> None:
    """With what holds when it is absent; and no key that is not accepted."""
    text = (ROOT / "docs" / "environment.md").read_text()
    part = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    documented = {cells[0].strip("`"): cells[2].strip("`") for cells in rows(part)}
    assert documented == dict(keys(*_schema(section), ""))


def _schema(section: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a section's file, and the part of it that the section is about."""
    name = "experiment.yaml" if "extension" in section else section
    whole = schemas.schemas()[name.replace(".yaml", ".json")]
    if "extension" in section:
        return whole, whole["properties"]["extensions"]["items"]["then"]
    return whole, whole


def keys(whole: dict[str, Any], node: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Each key that a schema accepts, as a path, with its default as JSON or `needed`."""
    if "$ref" in node:
        node = whole["$defs"][node["$ref"].rpartition("/")[2]]
    for one in node.get("anyOf", []) + node.get("oneOf", []):
        yield from keys(whole, one, prefix)
    if "items" in node:
        yield from keys(whole, node["items"], f"{prefix}[]")
    if isinstance(other := node.get("additionalProperties"), dict):
        yield from keys(whole, other, f"{prefix}.<name>".removeprefix("."))
    for name, value in node.get("properties", {}).items():
        path = f"{prefix}.{name}".removeprefix(".")
        needed = name in node.get("required", [])
        yield path, "needed" if needed else json.dumps(value.get("default"))
        yield from keys(whole, value, path)
