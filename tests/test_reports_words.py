"""Every string that a reader sees stands in the catalogue, and the catalogue holds nothing else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import holdfast.reports
from holdfast.reports.words import WORDS, listed, say

FOLDER = Path(holdfast.reports.__path__[0])
TEMPLATE = (FOLDER / "report.html").read_text()
MODULES = sorted(path for path in FOLDER.glob("*.py") if path.name != "words.py")
PROSE = re.compile(r"[A-Za-z]{2,}[,.:;]? [A-Za-z]{2,}")
# Message ids of which a part is computed, as patterns.
COMPUTED = re.compile(
    r"(verdict|sign|exit|facts|witness|breakers|shares|latency|observations|column|zones|gateways)\."
)
# Strings with a space that a machine reads and a person does not.
FOR_MACHINES = re.compile(
    r"tick (mid|end)|mark (start|end)|not bold|bold (red|yellow)|<\?xml .*\s|holdfast undo "
)


def strings(path: Path) -> Iterator[str]:
    """The strings of a module, without its docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def test_no_module_says_anything_in_its_own_words() -> None:
    found = [
        (path.name, text)
        for path in MODULES
        for text in strings(path)
        if PROSE.search(text) and not FOR_MACHINES.fullmatch(text)
    ]
    assert found == []


def test_the_template_holds_no_words_outside_its_markup() -> None:
    bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", TEMPLATE, flags=re.DOTALL)
    bare = re.sub(r"<[^>]*>", "", bare)
    assert re.findall(r"[A-Za-z]+", bare) == []
    spoken = re.findall(r' (?:aria-label|title|alt|placeholder)="(..)', TEMPLATE)
    assert spoken == ["{{"] * 3


def test_every_message_that_is_said_exists() -> None:
    literal = re.compile(r"""say\(\s*["']([a-z.0-9_]+)["']\s*[,)]""")
    said = {
        name
        for text in [TEMPLATE, *(path.read_text() for path in MODULES)]
        for name in literal.findall(text)
    }
    assert len(said) > 60
    assert said - WORDS.keys() == set()


def test_every_message_of_the_catalogue_is_used() -> None:
    everything = TEMPLATE + "".join(path.read_text() for path in (*MODULES, FOLDER / "words.py"))
    unused = [
        name
        for name in WORDS
        if len(re.findall(rf"""["']{re.escape(name)}["'][^:]""", everything)) == 0
        and not COMPUTED.match(name)
    ]
    assert unused == []


def test_messages_take_named_values_only() -> None:
    for message in WORDS.values():
        for _, field, spec, conversion in Formatter().parse(message):
            assert field is None or field.isidentifier()
            assert not spec
            assert not conversion


def test_a_value_is_put_in_as_it_is() -> None:
    assert say("summary.folder", folder="{0.__class__}") == (
        "Everything recorded lies in {0.__class__}."
    )


def test_names_are_listed_as_people_do() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"]) == "a, b and c"
