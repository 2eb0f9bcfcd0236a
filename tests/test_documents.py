"""The files that people write: what is accepted, and what is refused with which words."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.context import packaged
from holdfast.documents import (
    Environment,
    Extension,
    checked,
    per_second,
    read_environment,
    read_journeys,
    read_objectives,
    recorded,
    seconds,
)
from holdfast.documents.strict_yaml import read_yaml
from holdfast.errors import InvalidInput

type Json = dict[str, Any]

ENVIRONMENT: Json = {
    "name": "unit",
    "kind": "laboratory",
    "kubernetes": {"kubeconfig": "kubeconfig", "cluster_uid": "cluster-1"},
    "prometheus": {"url": "http://127.9.0.13:9090"},
    "toxiproxy": [{"url": "http://127.9.0.11:8474"}],
    "customers": {
        "url": "http://127.9.0.10:8080",
        "values": {"accounts": ["acc-0001"], "payees": ["ext-0001"]},
    },
    "ledger": {
        "transfers": "http://127.9.0.10:8080/ledger/transfers",
        "settlements": "http://127.9.0.12:8100/settlements",
    },
    "workload": {"namespace": "wallet", "selector": "app=wallet-api"},
    "signals": {"up": {"metric": "up", "labels": {"pod": "instance"}, "where": {"job": "x"}}},
    "breakers": {"pix-primary": {"backup": "pix-backup", "failures": 10, "call_limit": "2s"}},
    "periods": {"scrape": "1s", "gateway_check": "30s"},
    "policy": {"namespaces": ["wallet"], "max_share": 0.5, "proxies": ["pix-primary"]},
    "modules": [],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write a file."""

    def written(content: str | bytes) -> Path:
        path = tmp_path / "environment.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def changed(document: Json, place: str, value: Any) -> Json:
    """The document with another value at a dotted place; `...` takes it away."""
    after = copy.deepcopy(document)
    *way, last = place.split(".")
    inner: Any = after
    for part in way:
        inner = inner[int(part) if part.isdigit() else part]
    if value is ...:
        del inner[last]
    else:
        inner[int(last) if last.isdigit() else last] = value
    return after


def refusal(read: Callable[[Path], object], path: Path) -> str:
    """The error, which names the thing, the reason and the next step, in one line."""
    with pytest.raises(InvalidInput) as caught:
        read(path)
    words = str(caught.value)
    assert str(path) in words
    assert "\n" not in words
    assert caught.value.next_step
    assert caught.value.exit_code == 2
    return words


# ── numbers with units ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("60s", 60.0), ("1.5s", 1.5), ("5m", 300.0), ("2h", 7200.0), ("0s", 0.0)],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [60, 60.0, True, None, "60", "", "60 s", "-1s", "1e3s", "1d", ".5s", "60s\n", "9" * 308 + "h"],
    ids=lambda one: repr(one)[:12],
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 500ms, 60s or 5m"):
        seconds(text)


@pytest.mark.parametrize("text", [60, "60", "60/m", "0/s", "0.0/s", "-1/s", "/s", "9" * 400 + "/s"])
def test_what_is_no_rate(text: object) -> None:
    assert per_second("0.5/s") == 0.5
    with pytest.raises(ValueError, match="is not a rate such as 60/s"):
        per_second(text)


# ── YAML ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    words = refusal(read_yaml, tmp_path / "missing.yaml")
    assert (
        "cannot be read: No such file or directory. Check the path, its rights and its size"
        in words
    )


def test_a_directory_instead_of_a_file(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in refusal(read_yaml, tmp_path)


def test_a_file_that_cannot_be_read() -> None:
    """Its first byte is nobody's memory."""
    assert "cannot be read: Input/output error" in refusal(read_yaml, Path("/proc/self/mem"))


@pytest.mark.row(40)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: &x 1\nb: *x\n", "line 2: aliases are refused. Correct that line"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' stands twice"),
        ("a:\n  b: 1\n  b: 1\n", "line 3: the key 'b' stands twice"),
        ("1: x\n'1': y\n", "line 2: the key '1' stands twice"),
        ("? [a]\n: 1\n", "line 1: a key is not plain text"),
        ("? {a: 1}\n: 1\n", "line 1: a key is not plain text"),
        ("a: !!python/object:os.system x\n", "line 1: tags are refused"),
        ("a: !!binary aGk=\n", "line 1: tags are refused"),
        ("a: !!map [1]\n", "line 1: tags are refused"),
        ("!!set {a, b}\n", "line 1: tags are refused"),
        ("a: !mine 1\n", "line 1: tags are refused"),
        ("a: {<<: {b: 1}, b: 2}\n", "line 1: merges (`<<`) are refused"),
        ("a: .nan\n", "line 1: .nan is not a finite number"),
        ("a: [-.inf]\n", "line 1: -.inf is not a finite number"),
        ("a: 1.0e+999\n", "line 1: 1.0e+999 is not a finite number"),
        ("a: [1, 2\n", "line 2: "),
        ("a: b: c\n", "line 1: mapping values are not allowed in this context"),
        ("\tx: 1\n", "line 1: found character that cannot start any token"),
        ("a: 1\n---\nb: 2\n", "line 2: but found another document"),
        ("a: " + "9" * 5000, "not YAML: "),
        (b"\xff\xfe\x00\x01\x02", "byte 1: is not UTF-8. Save the file as UTF-8"),
        (b"\x00\x01\x02\x03binary", "not YAML: "),
        (b"a: \xc3\x28\n", "byte 4: is not UTF-8"),
        (b'a: "\\ud800"\n', "line 1: found invalid Unicode character escape code"),
        ("[" * 33 + "]" * 33, "nested deeper than 32 levels"),
        ("[" * 100_000, "nested deeper than 32 levels"),
        ("[" + "a," * 10_001 + "]", "line 1: more than 10000 values"),
        (
            "a:\n" + "  - b\n" * 200_000,
            "cannot be read: it is larger than 1 MiB. Check the path, its rights and its size",
        ),
    ],
    ids=lambda one: repr(one)[:20],
)
def test_yaml_that_is_refused(write: Callable[..., Path], content: str, words: str) -> None:
    assert words in refusal(read_yaml, write(content))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", None),
        ("# nothing\n", None),
        ("a: 2020-01-01\n", {"a": "2020-01-01"}),
        ("a: 2020-99-99\n", {"a": "2020-99-99"}),
        ("a: [1, 2.5, true, null, 'x']\n", {"a": [1, 2.5, True, None, "x"]}),
        ("a:\n- 1\nb:\n- 1\n", {"a": [1], "b": [1]}),
        ("[" * 32 + "]" * 32, "deep"),
    ],
)
def test_yaml_that_is_read(write: Callable[..., Path], content: str, expected: object) -> None:
    """Plain values only, which JSON can hold: a date is the text that stands there."""
    found = read_yaml(write(content))
    assert expected == "deep" or found == expected


# ── the environment ───────────────────────────────────────────────────────────────────────────────


def test_an_environment_is_read(write: Callable[..., Path], tmp_path: Path) -> None:
    environment = read_environment(write(yaml.safe_dump(ENVIRONMENT)))
    assert environment.periods == {"scrape": 1.0, "gateway_check": 30.0}
    assert environment.breakers["pix-primary"].call_limit == 2.0
    assert environment.kubernetes.kubeconfig == str(tmp_path / "kubeconfig")
    assert environment.policy.max_pods == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("~/.kube/config", str(Path.home() / ".kube/config")),
        ("/etc/kubeconfig", "/etc/kubeconfig"),
        ("../kubeconfig", "{above}/kubeconfig"),
        ("~nobody-of-that-name/x", "{here}/~nobody-of-that-name/x"),
    ],
)
def test_where_a_kubeconfig_lies(
    write: Callable[..., Path], tmp_path: Path, written: str, expected: str
) -> None:
    document = changed(ENVIRONMENT, "kubernetes.kubeconfig", written)
    found = read_environment(write(yaml.safe_dump(document))).kubernetes.kubeconfig
    assert found == expected.format(above=tmp_path.parent, here=tmp_path)


def test_what_was_written_down_is_read_again(write: Callable[..., Path]) -> None:
    """Durations are bare seconds in our own records, and only there."""
    environment = read_environment(write(yaml.safe_dump(ENVIRONMENT)))
    assert recorded(Environment, environment.model_dump(mode="json"), "plan.json") == environment


@pytest.mark.parametrize(
    "place",
    ["name", "kubernetes", "kubernetes.cluster_uid", "policy.namespaces", "workload.selector"],
)
def test_a_key_that_is_missing(write: Callable[..., Path], place: str) -> None:
    path = write(yaml.safe_dump(changed(ENVIRONMENT, place, ...)))
    assert f"{place}: Field required. Correct these keys" in refusal(read_environment, path)


@pytest.mark.parametrize(
    "place",
    [
        "misspelt",
        "kubernetes.misspelt",
        "prometheus.misspelt",
        "toxiproxy.0.misspelt",
        "customers.misspelt",
        "ledger.misspelt",
        "workload.misspelt",
        "signals.up.misspelt",
        "breakers.pix-primary.misspelt",
        "policy.misspelt",
    ],
)
def test_a_key_that_nobody_knows(write: Callable[..., Path], place: str) -> None:
    path = write(yaml.safe_dump(changed(ENVIRONMENT, place, 1)))
    words = f"{place}: Extra inputs are not permitted"
    assert words in refusal(read_environment, path)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("name", 5, "Input should be a valid string"),
        ("name", ["a"], "Input should be a valid string"),
        ("kubernetes.kubeconfig", "", "String should match pattern"),
        ("kubernetes.kubeconfig", "a\0b", "String should match pattern"),
        ("prometheus.url", "127.0.0.1:9090", "String should match pattern"),
        ("prometheus.url", "ftp://x", "String should match pattern"),
        ("prometheus.url", "http://user:secret@x", "String should match pattern"),
        ("prometheus.url", "http://x y/", "String should match pattern"),
        ("prometheus.url", "http://", "String should match pattern"),
        ("customers.url", None, "Input should be a valid string"),
        ("toxiproxy", {"url": "http://x"}, "Input should be a valid list"),
        ("toxiproxy.0", "http://x", "Input should be a valid dictionary"),
        ("policy.max_share", 0.6, "Input should be less than or equal to 0.5"),
        ("policy.max_share", 0, "Input should be greater than 0"),
        ("policy.max_share", "0.5", "Input should be a valid number"),
        ("policy.max_zones", 2, "Input should be less than or equal to 1"),
        ("policy.max_zones", -1, "Input should be greater than or equal to 0"),
        ("policy.max_zones", True, "Input should be a valid integer"),
        ("policy.allow_taint", "yes", "Input should be a valid boolean"),
        ("policy.allow_taint", 1, "Input should be a valid boolean"),
        ("policy.max_pods", 0, "Input should be greater than or equal to 1"),
        ("policy.max_hold", "31m", "Input should be less than or equal to 1800"),
        ("policy.namespaces", "wallet", "Input should be a valid list"),
        ("policy.namespaces", [1], "Input should be a valid string"),
        ("workload.selector", "", "String should have at least 1 character"),
        ("breakers.pix-primary.failures", 0, "Input should be greater than 0"),
        ("breakers.pix-primary.failures", "10", "Input should be a valid integer"),
        ("breakers.pix-primary.call_limit", 2, "2 is not a duration such as 500ms, 60s or 5m"),
        ("breakers.pix-primary.call_limit", 2.0, "2.0 is not a duration"),
        ("periods.scrape", "1", "'1' is not a duration"),
        ("periods", ["1s"], "Input should be a valid dictionary"),
        ("signals.up.metric", "rate(x[1m])", "String should match pattern"),
        ("ledger.transfers", "nowhere", "String should match pattern"),
        ("prometheus.url", "http://:9090", "a URL needs a host, and a port up to 65535"),
        ("prometheus.url", "http://[::1", "Invalid IPv6 URL"),
        ("toxiproxy.0.url", "http://127.9.0.11:99999", "Port out of range 0-65535"),
        ("toxiproxy.0.url", "http://127.9.0.11:api", "Port could not be cast to integer"),
        ("customers.url", "http://a..b", "label empty"),
    ],
)
def test_a_value_that_is_wrong(
    write: Callable[..., Path], place: str, value: object, words: str
) -> None:
    error = refusal(read_environment, write(yaml.safe_dump(changed(ENVIRONMENT, place, value))))
    assert words in error
    assert place in error


def test_everything_that_is_wrong_is_said_at_once(write: Callable[..., Path]) -> None:
    document = changed(changed(ENVIRONMENT, "name", 5), "prometheus.url", "x")
    words = refusal(read_environment, write(yaml.safe_dump(document)))
    assert "name: Input should be" in words
    assert "prometheus.url: String should match" in words


def test_thousands_of_mistakes_are_not_all_said(write: Callable[..., Path]) -> None:
    document = changed(ENVIRONMENT, "policy.namespaces", [1] * 5000)
    words = refusal(read_environment, write(yaml.safe_dump(document)))
    assert "and 4990 more" in words
    assert len(words) < 2000


@pytest.mark.parametrize("content", ["", "[1, 2]", "hello", "5", "null", "{1: 2}", "{null: 1}"])
def test_an_environment_of_another_shape(write: Callable[..., Path], content: str) -> None:
    words = refusal(read_environment, write(content))
    assert "Correct these keys" in words


# ── journeys and objectives ───────────────────────────────────────────────────────────────────────

JOURNEYS: Json = yaml.safe_load(packaged("journeys.yaml").read_text())
OBJECTIVES: Json = yaml.safe_load(packaged("objectives.yaml").read_text())


def test_what_ships_is_read() -> None:
    journeys = read_journeys(packaged("journeys.yaml"))
    assert set(journeys) == {"pix-transfer", "ted-transfer", "balance"}
    assert journeys["pix-transfer"].judged("pix-transfer").limit == 10.0
    objectives = read_objectives(packaged("objectives.yaml"))
    assert objectives["recovery"].limit == 60.0
    assert objectives["success"].journey == "pix-transfer"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("balance.misspelt", 1, "misspelt: Extra inputs are not permitted"),
        ("balance.request.misspelt", 1, "request.misspelt: Extra inputs are not permitted"),
        ("balance.good.misspelt", 1, "good.misspelt: Extra inputs are not permitted"),
        ("balance.within", 2, "within: Value error, 2 is not a duration"),
        ("balance.limit", ..., "limit: Field required"),
        ("balance.limit", "1999ms", "`limit` is shorter than `within`"),
        ("balance.request.method", "get", "request.method: String should match pattern"),
        ("balance.request.path", "balance", "request.path: String should match pattern"),
        ("balance.good.status", 200, "good.status: Input should be a valid list"),
        ("balance.good.status", ["200"], "good.status.0: Input should be a valid integer"),
        ("balance.money", "no", "money: Input should be a valid boolean"),
        ("pix-transfer.values.amount", {"between": [1]}, "values.amount"),
        ("pix-transfer.values.amount", {"between": [1, "x"]}, "values.amount"),
        ("pix-transfer.values.amount", {"pick": "a", "between": [1, 2]}, "values.amount"),
        ("balance", "GET /", "Input should be a valid dictionary"),
    ],
)
def test_a_journey_that_is_wrong(
    write: Callable[..., Path], place: str, value: object, words: str
) -> None:
    path = write(yaml.safe_dump(changed(JOURNEYS, place, value)))
    error = refusal(read_journeys, path)
    assert words in error
    assert f"{path}: {place.partition('.')[0]}" in error


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("recovery.misspelt", 1, "misspelt: Extra inputs are not permitted"),
        ("recovery.limit", "60s", "limit: Input should be a valid number"),
        ("recovery.limit", True, "limit: Input should be a valid number"),
        ("recovery.limit", -1, "limit: Input should be greater than or equal to 0"),
        ("recovery.limit", math.inf, ".inf is not a finite number"),
        ("recovery.limit", math.nan, ".nan is not a finite number"),
        ("pix-latency.limit", 5, "the limit of a latency is a share, between 0 and 1"),
        ("pix-latency.limit", 1, "the limit of a latency is a share, between 0 and 1"),
        ("success.limit", 0, "the limit of a success is a share, between 0 and 1"),
        ("recovery.kind", "score", "kind: Input should be 'recovery', 'availability'"),
        ("recovery.source", ..., "source: Field required"),
    ],
)
def test_an_objective_that_is_wrong(
    write: Callable[..., Path], place: str, value: object, words: str
) -> None:
    """Five seconds, written as the share that may be slower, would be met by anything."""
    path = write(yaml.safe_dump(changed(OBJECTIVES, place, value)))
    assert words in refusal(read_objectives, path)


@pytest.mark.parametrize("read", [read_journeys, read_objectives])
@pytest.mark.parametrize("content", ["", "[]", "x", "5"])
def test_names_are_needed(
    write: Callable[..., Path], read: Callable[[Path], object], content: str
) -> None:
    assert "is not a mapping of names. Correct the file" in refusal(read, write(content))


def test_an_extension_needs_load_and_objectives() -> None:
    good = {
        "name": "holdfast",
        "load": {"balance": "40/s"},
        "before": "1s",
        "stable": "1s",
        "after": "1s",
        "objectives": ["recovery"],
    }
    assert checked(Extension, good, "here").load == {"balance": 40.0}
    for key, value in (("load", {}), ("objectives", []), ("load", {"balance": 40})):
        with pytest.raises(InvalidInput, match=rf"here: {key}"):
            checked(Extension, good | {key: value}, "here")


# ── anything at all ───────────────────────────────────────────────────────────────────────────────

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["60s", "60/s", "http://x", "wallet", "probe"])
)
KEYS = st.sampled_from([*ENVIRONMENT, "limit", "request", "values", "type"]) | SCALARS
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


ONE_FILE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def said(read: Callable[[Path], object], path: Path) -> str:
    """What a reader says of a file; the path, when it accepts it. Any other error is a defect."""
    try:
        read(path)
    except InvalidInput as error:
        return str(error)
    return str(path)


@pytest.mark.parametrize("read", [read_environment, read_journeys, read_objectives, read_yaml])
@given(data=ANYTHING)
@ONE_FILE
def test_anything_is_read_or_refused(
    write: Callable[..., Path], read: Callable[[Path], object], data: object
) -> None:
    path = write(yaml.safe_dump(data))
    assert str(path) in said(read, path)


@given(
    place=st.sampled_from([*ENVIRONMENT, "policy.max_share", "breakers.pix-primary"]),
    data=ANYTHING,
)
@ONE_FILE
def test_anything_in_an_environment_is_read_or_refused(
    write: Callable[..., Path], place: str, data: object
) -> None:
    path = write(yaml.safe_dump(changed(ENVIRONMENT, place, data)))
    assert str(path) in said(read_environment, path)


@given(content=st.binary(max_size=60) | st.text(max_size=60, alphabet="a:-? []{}&*!|>'\"#%\n\t<1~"))
@ONE_FILE
def test_any_bytes_are_read_or_refused(write: Callable[..., Path], content: bytes | str) -> None:
    path = write(content)
    assert str(path) in said(read_yaml, path)
