"""Experiment files: what ships is accepted, and every way to write one wrongly has its words."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast import experiment
from holdfast.context import packaged
from holdfast.documents import Environment, checked
from holdfast.errors import InvalidInput
from holdfast.experiment import Experiment
from holdfast.experiment.activities import OURS
from tests.test_documents import ANYTHING, ENVIRONMENT, Json, changed

SHIPPED = ["kill-wallet-pods", "drop-zone", "slow-gateway", "dead-gateway"]
ACCEPTED: Environment = checked(Environment, ENVIRONMENT, "environment")
SLOW: Json = yaml.safe_load(packaged("slow-gateway.yaml").read_text())
HYPOTHESIS = "steady-state-hypothesis.probes.0"


class Whole(yaml.SafeDumper):
    """Writes what stands twice twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Write an experiment."""

    def written(document: Any) -> Path:
        path = tmp_path / "slow.yaml"
        path.write_text(
            document if isinstance(document, str) else yaml.dump(document, Dumper=Whole)
        )
        return path

    return written


def refusal(path: Path, environment: Environment = ACCEPTED) -> str:
    """The error: the file, the place, the reason and the next step, in one line."""
    with pytest.raises(InvalidInput) as caught:
        experiment.read(path, environment)
    words = str(caught.value)
    assert words.startswith(str(path))
    assert "\n" not in words
    assert caught.value.next_step
    return words


def inserted(document: Json, number: int, activity: Json) -> Json:
    after = copy.deepcopy(document)
    after["method"].insert(number, activity)
    return after


# ── what ships ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_accepted(name: str) -> None:
    read = experiment.read(packaged(f"{name}.yaml"), ACCEPTED)
    assert read.name == name
    assert len(list(read.faults())) == 1
    assert read.wait().provider.arguments["at_most"] == "90s"


@pytest.mark.integration
def test_chaos_toolkit_accepts_what_ships(tmp_path: Path) -> None:
    """They are Chaos Toolkit's own experiments, and need no system to be looked at."""
    chaos = Path(sys.executable).with_name("chaos")
    running = [
        subprocess.Popen(
            [chaos, "--no-version-check", "validate", packaged(f"{name}.yaml")],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in SHIPPED
    ]
    for one in running:
        said, _ = one.communicate(timeout=60)
        assert one.returncode == 0, said
        assert "experiment syntax and semantic look valid" in said


def test_what_an_experiment_says(write: Callable[[Any], Path]) -> None:
    read = experiment.read(write(SLOW), ACCEPTED)
    assert read.title == "The primary PIX gateway turns slow and the backup carries the transfers"
    assert read.extension.load == {"pix-transfer": 60.0, "balance": 40.0}
    assert read.extension.stable == 10.0
    (fault,) = read.faults()
    assert fault.calls == ("holdfast.actions.gateway", "slow")


# ── unknown keys, at every level ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "place",
    [
        "misspelt",
        "configuration",
        "secrets",
        "runtime",
        "controls",
        "version",
        "steady-state-hypothesis.misspelt",
        f"{HYPOTHESIS}.misspelt",
        f"{HYPOTHESIS}.provider.misspelt",
        "method.0.misspelt",
        "method.0.controls",
        "method.0.pauses",
        "method.0.background",
        "method.0.configuration",
        "method.0.secrets",
        "method.0.provider.timeout",
        "method.0.provider.secrets",
        "rollbacks.0.misspelt",
    ],
)
def test_a_key_that_is_not_accepted(write: Callable[[Any], Path], place: str) -> None:
    words = refusal(write(changed(SLOW, place, {"a": 1})))
    assert f"{place}: Extra inputs are not permitted. Correct these keys" in words


def test_a_key_of_ours_that_is_misspelt(write: Callable[[Any], Path]) -> None:
    words = refusal(write(changed(SLOW, "extensions.0.stabel", "10s")))
    assert "extensions: holdfast: stabel: Extra inputs are not permitted" in words


@pytest.mark.parametrize("place", ["title", "extensions", "method", "rollbacks", "method.0.name"])
def test_a_key_that_is_missing(write: Callable[[Any], Path], place: str) -> None:
    assert f"{place}: Field required" in refusal(write(changed(SLOW, place, ...)))


@pytest.mark.parametrize("key", ["load", "before", "stable", "after", "objectives"])
def test_a_key_of_ours_that_is_missing(write: Callable[[Any], Path], key: str) -> None:
    words = refusal(write(changed(SLOW, f"extensions.0.{key}", ...)))
    assert f"extensions: holdfast: {key}: Field required" in words


# ── what an experiment must not contain ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["process", "http"])
@pytest.mark.parametrize("place", ["method.0", "method.1", "rollbacks.0"])
def test_other_kinds_of_provider(write: Callable[[Any], Path], place: str, kind: str) -> None:
    document = changed(SLOW, f"{place}.provider", {"type": kind, "path": "rm", "url": "http://x"})
    section, number = place.split(".")
    words = refusal(write(document))
    assert f"{section} {int(number) + 1}: providers of type {kind} are refused" in words
    assert "Use a Python activity of holdfast" in words


def test_other_kinds_of_provider_in_the_hypothesis(write: Callable[[Any], Path]) -> None:
    document = changed(SLOW, f"{HYPOTHESIS}.provider", {"type": "process", "path": "true"})
    assert "provider.type: Input should be 'python'" in refusal(write(document))


@pytest.mark.parametrize(
    ("place", "module", "words"),
    [
        ("method.0", "os", "the module os is not allowed in an activity of type action"),
        ("method.0", "holdfast", "the module holdfast is not allowed"),
        ("method.0", "holdfast.pipeline", "the module holdfast.pipeline is not allowed"),
        ("method.0", "holdfast.load.__main__", "the module holdfast.load.__main__ is not allowed"),
        ("method.0", "holdfastish.actions.x", "is not allowed"),
        ("method.0", "holdfast.probes.sla", "not allowed in an activity of type action"),
        ("method.1", "holdfast.actions.pods", "not allowed in an activity of type probe"),
        (HYPOTHESIS, "holdfast.actions.zones", "not allowed in an activity of type probe"),
        ("method.0", "holdfast.actions.nothing", "module holdfast.actions.nothing is not allowed"),
        ("method.0", "holdfast.actions.", "the module holdfast.actions. is not allowed"),
        ("method.0", "", "is not allowed"),
        ("method.0", "..relative", "is not allowed"),
    ],
)
def test_modules_that_are_not_called(
    write: Callable[[Any], Path], place: str, module: str, words: str
) -> None:
    """An action that calls itself a probe would break something a second time."""
    assert words in refusal(write(changed(SLOW, f"{place}.provider.module", module)))


@pytest.mark.parametrize("listed", ["holdfast.heal", "holdfast.experiment.foreign", "holdfast"])
def test_no_environment_opens_the_inside_of_holdfast(
    write: Callable[[Any], Path], listed: str
) -> None:
    allows = checked(Environment, ENVIRONMENT | {"modules": [listed]}, "e")
    words = refusal(write(changed(SLOW, "method.0.provider.module", listed)), allows)
    assert f"the module {listed} is not allowed" in words


# ── modules that the environment allows: read, never imported ─────────────────────────────────────

THEIRS = """
open({mark!r}, "w").write("imported")
__all__ = ["look", "kill"]
def look(window: str, share: float = 0.5, *, many: "int" = 1, configuration=None) -> bool: ...
def kill(pod: str, grace: int | None = None, /) -> None: ...
def hidden() -> None: ...
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Callable[..., tuple[Experiment | None, str]]]:
    """Read an experiment with a probe of a package whose import leaves a mark."""
    package = tmp_path / "their_package"
    package.mkdir()
    mark = str(tmp_path / "mark")
    (package / "__init__.py").write_text(f"open({mark!r}, 'w').write('imported')\n")
    sys.path.insert(0, str(tmp_path))

    def read(
        func: str = "look",
        arguments: Json | None = None,
        source: str = THEIRS,
        module: str = "their_package.probes",
    ) -> tuple[Experiment | None, str]:
        (package / "probes.py").write_text(source.replace("{mark!r}", repr(mark)))
        provider = {"type": "python", "module": module, "func": func}
        given = {"window": "10s"} if arguments is None else arguments
        extra = {"type": "probe", "name": "x", "provider": {**provider, "arguments": given}}
        path = tmp_path / "slow.yaml"
        path.write_text(yaml.dump(inserted(SLOW, 1, extra), Dumper=Whole))
        allows = checked(Environment, ENVIRONMENT | {"modules": [module]}, "e")
        try:
            return experiment.read(path, allows), ""
        except InvalidInput as error:
            return None, str(error)
        finally:
            assert not Path(mark).exists(), "to validate must not import"

    yield read
    sys.path.remove(str(tmp_path))
    assert not [one for one in sys.modules if one.startswith("their_package")]


type Read = Callable[..., tuple[Experiment | None, str]]


def test_a_foreign_module_is_checked_and_not_imported(theirs: Read) -> None:
    read, wrong = theirs()
    assert wrong == ""
    assert read is not None
    assert experiment.module(read.method[1]) is None


@pytest.mark.integration
def test_the_mark_would_have_been_left(theirs: Read, tmp_path: Path) -> None:
    """The test above sees an import."""
    theirs()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import their_package.probes"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert (tmp_path / "mark").read_text() == "imported"


@pytest.mark.parametrize(
    ("func", "arguments", "words"),
    [
        ("hidden", {}, "their_package.probes has no activity hidden. It has: look, kill"),
        ("look", {}, "missing a required argument: 'window'. look takes: window, share, many"),
        ("look", {"window": "1", "w": 1}, "got an unexpected keyword argument 'w'"),
        ("look", {"window": 5}, "window: Input should be a valid string"),
        ("look", {"window": "1", "share": "x"}, "share: Input should be a valid number"),
        ("kill", {"pod": "x"}, "positional-only arguments passed as keyword arguments: 'pod'"),
        ("look", {"window": "1", "configuration": {}}, "Chaos Toolkit itself gives"),
    ],
)
def test_a_foreign_signature_is_kept(theirs: Read, func: str, arguments: Json, words: str) -> None:
    assert words in theirs(func, arguments)[1]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0\n", "their_package.probes has no activity look. It has: none"),
        ("__all__ = [x for x in 'ab']", "its `__all__` is not a plain list of names"),
        ("__all__ = ['look']\nfrom os import system as look", "no activity look. It has: none"),
        ("def look(:\n", "is no Python that can be read"),
        ("x = " + "(" * 5000, "is no Python that can be read"),
        ("#" * (1 << 20) + "\n", "cannot be read: it is larger than 1 MiB"),
    ],
)
def test_a_foreign_module_that_cannot_be_understood(theirs: Read, source: str, words: str) -> None:
    assert words in theirs(source=source)[1]


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("no.such", "the module no.such: there is no no"),
        ("their_package.nothing", "there is no their_package.nothing"),
        ("their_package.probes.deeper", "their_package.probes is no package"),
        ("subprocess", "it belongs to Python itself, and could run anything"),
        ("os.path", "it belongs to Python itself"),
        ("yaml._yaml", "it has no source that could be checked"),
    ],
)
def test_a_foreign_module_that_is_not_called(theirs: Read, module: str, words: str) -> None:
    assert words in theirs(module=module)[1]


def test_the_closed_list_is_everything_that_there_is() -> None:
    """A module that is not listed could not be called; one that is gone would fail late."""
    root = Path(__file__).parent.parent
    for kind, folder in (("action", "actions"), ("probe", "probes")):
        there = sorted(f"holdfast.{folder}.{one.stem}" for one in (root / folder).glob("[!_]*.py"))
        assert sorted(OURS[kind]) == there


@pytest.mark.parametrize("func", ["slowly", "_poison", "targets", "guard", "__doc__"])
def test_a_function_that_is_no_activity(write: Callable[[Any], Path], func: str) -> None:
    words = refusal(write(changed(SLOW, "method.0.provider.func", func)))
    assert f"method: slow-the-gateway: holdfast.actions.gateway has no activity {func}" in words
    assert "It has: cut, reset, slow, throttle" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"proxy": "pix-primary"}, "missing a required argument: 'latency_ms'"),
        (
            {"proxy": "pix-primary", "latency_ms": 1, "latency": 1},
            "got an unexpected keyword argument 'latency'",
        ),
        (
            {"proxy": "pix-primary", "latency_ms": 1, "configuration": {"holdfast_run": "x"}},
            "Chaos Toolkit itself gives the configuration",
        ),
        ({"proxy": "pix-primary", "latency_ms": "8s"}, "latency_ms: Input should be a valid int"),
        ({"proxy": "pix-primary", "latency_ms": 8.5}, "latency_ms: Input should be a valid int"),
        ({"proxy": "pix-primary", "latency_ms": True}, "latency_ms: Input should be a valid int"),
        ({"proxy": ["pix-primary"], "latency_ms": 1}, "proxy: Input should be a valid string"),
        ({"proxy": None, "latency_ms": 1}, "proxy: Input should be a valid string"),
        ({1: 2}, "arguments.1"),
        ([1, 2], "arguments: Input should be a valid dictionary"),
    ],
)
def test_wrong_arguments(write: Callable[[Any], Path], arguments: object, words: str) -> None:
    path = write(changed(SLOW, "method.0.provider.arguments", arguments))
    error = refusal(path)
    assert words in error
    if "argument" in words and "arguments" not in words:
        assert "slow takes: proxy, latency_ms, jitter_ms" in error


@pytest.mark.parametrize("window", ["10", "10 s", "1d", ""])
def test_an_argument_without_its_unit(write: Callable[[Any], Path], window: str) -> None:
    words = refusal(write(changed(SLOW, f"{HYPOTHESIS}.provider.arguments.window", window)))
    assert f"window: Value error, '{window}' is not a duration such as 500ms, 60s or 5m" in words
    words = refusal(write(changed(SLOW, "method.1.provider.arguments.at_most", window)))
    assert f"at_most: Value error, '{window}' is not a duration" in words


def test_an_argument_that_is_no_text(write: Callable[[Any], Path]) -> None:
    words = refusal(write(changed(SLOW, "method.1.provider.arguments.at_least", 60)))
    assert "customers-recover: at_least: Input should be a valid string" in words


# ── its shape ─────────────────────────────────────────────────────────────────────────────────────

WAIT, STILL = SLOW["method"][1], SLOW["method"][2]


@pytest.mark.parametrize("tolerance", [..., False, None, 1, "true", [True], {"type": "range"}])
def test_a_hypothesis_that_tolerates_anything_else(
    write: Callable[[Any], Path], tolerance: object
) -> None:
    words = refusal(write(changed(SLOW, f"{HYPOTHESIS}.tolerance", tolerance)))
    assert "tolerance" in words


def test_a_probe_of_the_method_that_tolerates_failure(write: Callable[[Any], Path]) -> None:
    words = refusal(write(changed(SLOW, "method.2.tolerance", False)))
    assert "method: fault-still-there: its tolerance is not true. Write `tolerance: true`" in words


def test_a_hypothesis_that_acts(write: Callable[[Any], Path]) -> None:
    acting = {**SLOW["method"][0], "tolerance": True}
    document = changed(SLOW, HYPOTHESIS, acting)
    assert "an action stands in the hypothesis. Use a probe" in refusal(write(document))


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ([SLOW["method"][0], SLOW["method"][0], WAIT, STILL], "begin with its one fault"),
        ([WAIT, SLOW["method"][0], STILL], "begin with its one fault"),
        ([WAIT, STILL], "begin with its one fault"),
        ([SLOW["rollbacks"][0], WAIT, STILL], "begin with its one fault"),
        ([SLOW["method"][0]], "does not end with recovery.wait and landed.still_there"),
        ([SLOW["method"][0], WAIT], "does not end with recovery.wait and landed.still_there"),
        ([SLOW["method"][0], STILL, WAIT], "does not end with recovery.wait"),
        ([SLOW["method"][0], WAIT, STILL, WAIT], "does not end with recovery.wait"),
        ([], "method: List should have at least 1 item"),
        ("slow", "method: Input should be a valid list"),
        ({"type": "action"}, "method: Input should be a valid list"),
        ([None], "method.0: Input should be a valid dictionary"),
        (["x"], "method.0: Input should be a valid dictionary"),
        ([{"provider": 5}], "method.0.provider: Input should be a valid dictionary"),
        ([{"type": "probe", "ref": "x"}], "method.0.ref: Extra inputs are not permitted"),
    ],
)
def test_a_method_of_another_shape(
    write: Callable[[Any], Path], method: object, words: str
) -> None:
    assert words in refusal(write(changed(SLOW, "method", method)))


@pytest.mark.parametrize(
    "rollbacks",
    [
        [SLOW["rollbacks"][0], SLOW["rollbacks"][0]],
        [SLOW["method"][0]],
        [STILL, SLOW["rollbacks"][0]],
    ],
)
def test_other_rollbacks(write: Callable[[Any], Path], rollbacks: list[Json]) -> None:
    words = refusal(write(changed(SLOW, "rollbacks", rollbacks)))
    assert "rollbacks: they are not exactly undo.everything" in words


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ([], "extensions: List should have at least 1 item"),
        ([{"name": "theirs"}], "0 entries are named holdfast, one is needed"),
        (SLOW["extensions"] * 2, "2 entries are named holdfast, one is needed"),
        ([5], "extensions.0: Input should be a valid dictionary"),
        ({"name": "holdfast"}, "extensions: Input should be a valid list"),
    ],
)
def test_extensions_of_another_shape(
    write: Callable[[Any], Path], extensions: object, words: str
) -> None:
    assert words in refusal(write(changed(SLOW, "extensions", extensions)))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("before", 60, "before: Value error, 60 is not a duration"),
        ("before", 60.0, "before: Value error, 60.0 is not a duration"),
        ("stable", "10", "stable: Value error, '10' is not a duration"),
        ("load", {"balance": 40}, "load.balance.rate: Value error, 40 is not a rate such as 60/s"),
        (
            "load",
            {"balance": "40"},
            "load.balance.rate: Value error, '40' is not a rate such as 60/s",
        ),
        ("load", {"balance": "40/m"}, "load.balance.rate: Value error, '40/m' is not a rate"),
        ("load", {}, "load: Dictionary should have at least 1 item"),
        ("load", "40/s", "load: Input should be a valid dictionary"),
        ("objectives", [], "objectives: List should have at least 1 item"),
        ("objectives", "recovery", "objectives: Input should be a valid list"),
        ("lost_requests", -1, "lost_requests: Input should be greater than or equal to 0"),
        ("lost_requests", 0.5, "lost_requests: Input should be a valid integer"),
    ],
)
def test_values_of_ours_that_are_wrong(
    write: Callable[[Any], Path], key: str, value: object, words: str
) -> None:
    assert words in refusal(write(changed(SLOW, f"extensions.0.{key}", value)))


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "hello", "5", "null", "{1: 2}", "- title: x\n", "title: [x]\n"]
)
def test_a_file_of_another_shape(write: Callable[[Any], Path], content: str) -> None:
    assert "Correct these keys" in refusal(write(content))


# ── anything at all ───────────────────────────────────────────────────────────────────────────────

PLACES = [
    *SLOW,
    "steady-state-hypothesis.probes",
    HYPOTHESIS,
    "method.0",
    "method.0.provider",
    "method.0.provider.module",
    "method.0.provider.func",
    "method.0.provider.arguments",
    "method.1.provider.arguments.at_most",
    "extensions.0",
    "extensions.0.load",
    "extensions.0.objectives",
]


@given(place=st.sampled_from(PLACES), data=ANYTHING)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_in_an_experiment_is_read_or_refused(
    write: Callable[[Any], Path], place: str, data: object
) -> None:
    path = write(changed(SLOW, place, data))
    try:
        experiment.read(path, ACCEPTED)
    except InvalidInput as error:
        said = str(error)
    else:
        said = str(path)
    assert str(path) in said
