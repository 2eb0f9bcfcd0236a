"""What the code never does: no shell, no evaluated text, no listener, TLS always verified."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_layout import ROOT, product_files

BANNED = (
    "shell=True",
    "os.system(",
    "os.popen(",
    "verify=False",
    "CERT_NONE",
    "check_hostname = False",
    "allow_redirects=True",
    "redirect=True",
    "trust_env = True",
    "0.0.0.0",
    "yaml.full_load",
    "yaml.unsafe_load",
    "pickle",
    "marshal",
    "| safe",
    "aiohttp.web",
)
CALLS = {"eval", "exec", "compile", "__import__"}
LISTENS = {"listen", "create_server", "start_server", "create_unix_server", "serve_forever"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Each call of a file, by the last part of what is called."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute):
                yield called.attr, node
            elif isinstance(called, ast.Name):
                yield called.id, node


def imported(path: Path) -> set[str]:
    """The top-level names of everything that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", product_files(), ids=str)
def test_nothing_that_is_banned_stands_in_the_code(path: Path) -> None:
    text = path.read_text()
    assert [word for word in BANNED if word in text] == []


@pytest.mark.parametrize("path", product_files(), ids=str)
def test_no_text_is_run_and_nothing_listens(path: Path) -> None:
    """G11: zero listeners, zero shell use."""
    names = {name for name, call in calls(path) if isinstance(call.func, ast.Name)}
    assert names & CALLS == set()
    if path.name != "calibration.py":  # its own stand-in for an entrance, on loopback; no fault
        assert {name for name, _ in calls(path)} & LISTENS == set()
    assert imported(path) & {"http", "socketserver", "wsgiref", "xmlrpc"} == set()


def test_yaml_is_loaded_in_one_place_and_by_a_safe_loader() -> None:
    found = [path.name for path in product_files() if "yaml.load" in path.read_text()]
    assert found == ["strict_yaml.py"]


def test_requests_go_out_in_known_places_only() -> None:
    """`fetch` is bounded; the package of Kubernetes is, in `cluster`; the customers are a load."""
    places = {
        str(path.relative_to(ROOT))
        for path in product_files()
        if imported(path) & {"requests", "urllib3", "socket", "ssl", "httpx"}
    }
    known = {
        "src/holdfast/fetch.py",
        "src/holdfast/database.py",  # the addresses of its host, checked before it is asked
        "src/holdfast/marks.py",  # the host's own name
        "src/holdfast/cluster/client.py",
        "src/holdfast/customers/checks.py",  # is this file a certificate?
    }
    assert {one for one in places if "/load/" not in one} == known


def test_every_subprocess_is_a_list_of_arguments() -> None:
    for path in product_files():
        for name, call in calls(path):
            if name in ("Popen", "run", "check_output", "check_call") and call.args:
                first = call.args[0]
                assert not isinstance(first, ast.Constant | ast.JoinedStr), f"{path}: {name}"


def test_templates_escape() -> None:
    environments = [
        call
        for path in product_files()
        for name, call in calls(path)
        if name == "Environment" and any(one.arg == "autoescape" for one in call.keywords)
    ]
    assert environments
    for call in environments:
        (given,) = [one.value for one in call.keywords if one.arg == "autoescape"]
        assert isinstance(given, ast.Constant)
        assert given.value is True
    for path in (ROOT / "reports").glob("*.html"):
        assert "|safe" not in path.read_text().replace(" ", "")


def test_the_report_forbids_scripts_and_everything_that_is_fetched() -> None:
    page = (ROOT / "reports" / "report.html").read_text()
    policy = page.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]
    parts = dict(one.strip().split(" ", 1) for one in policy.split(";"))
    assert parts["default-src"] == "'none'"
    assert parts["base-uri"] == parts["form-action"] == "'none'"
    assert "script-src" not in parts
    assert "<script" not in page
