"""A secret that was told once is in nothing that is written or printed."""

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.documents import Environment, checked
from holdfast.errors import InvalidInput, Unreachable
from holdfast.redact import keep_secret, redacted
from holdfast.store import Run, open_private, write_whole
from tests.fakes import kubeconfig, serving
from tests.test_documents import ENVIRONMENT, changed

SENTINEL = 'sentinel-4f1e"<&>-of-the-tests'
FORMS = [
    SENTINEL,
    json.dumps(SENTINEL)[1:-1],
    "sentinel-4f1e%22%3C%26%3E-of-the-tests",
    "sentinel-4f1e&quot;&lt;&amp;&gt;-of-the-tests",
    base64.b64encode(SENTINEL.encode()).decode(),
]


@pytest.fixture(autouse=True)
def told() -> None:
    """The secret is known."""
    keep_secret(SENTINEL)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_secret_is_replaced(form: str) -> None:
    assert redacted(f"Authorization: Bearer {form}, and more") == (
        "Authorization: Bearer [redacted], and more"
    )


def test_other_words_stay() -> None:
    assert redacted("sentinel-4f1e, of the tests") == "sentinel-4f1e, of the tests"


def test_a_secret_too_short_to_be_told_from_words_is_refused() -> None:
    """`toxiproxy` as a token would take that word out of every record."""
    with pytest.raises(ValueError, match="fewer than 16 characters"):
        keep_secret("a-short-secret.")
    assert redacted("a-short-secret.") == "a-short-secret."


def test_a_secret_is_hidden_without_the_end_of_its_line() -> None:
    """Who quotes it in an error may escape that end once more than it is known."""
    keep_secret("a-token-that-was-read-from-a-file\n")
    error = ValueError("Invalid header value b'Bearer a-token-that-was-read-from-a-file\\n'")
    assert "a-token-that" not in redacted(repr(error))


def test_a_key_is_hidden_line_by_line() -> None:
    keep_secret("-----BEGIN KEY-----\n" + "q" * 64 + "\n" + "r" * 64 + "\n-----END KEY-----\n")
    assert redacted(f"the log says {'r' * 64}") == "the log says [redacted]"


def test_the_longer_of_two_secrets_is_replaced_whole() -> None:
    keep_secret("first-secret-part-of")
    keep_secret("first-secret-part-of-the-second")
    assert redacted("first-secret-part-of-the-second") == "[redacted]"


# ── where they come from ──────────────────────────────────────────────────────────────────────────


def told_by_a_child(code: str, **environ: str) -> str:
    """What a fresh process prints: it knows no secret but those that the code told it."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.integration
def test_the_token_of_toxiproxy_is_known_as_soon_as_the_environment_is() -> None:
    document = changed(ENVIRONMENT, "toxiproxy.0.token_env", "TOKEN_OF_THE_TEST")
    code = (
        "from holdfast.documents import Environment, recorded, checked\n"
        "from holdfast.redact import redacted\n"
        f"checked(Environment, {document!r}, 'environment')\n"
        "print(redacted('it is 0123456789abcdef, they say'))\n"
    )
    said = told_by_a_child(code, TOKEN_OF_THE_TEST="0123456789abcdef")
    assert said == "it is [redacted], they say\n"


def test_a_token_that_is_too_short_is_refused() -> None:
    document = changed(ENVIRONMENT, "toxiproxy.0.token_env", "TOKEN_OF_THE_TEST")
    os.environ["TOKEN_OF_THE_TEST"] = "short"
    try:
        with pytest.raises(InvalidInput, match=r"toxiproxy.0: .*fewer than 16 characters"):
            checked(Environment, document, "environment")
    finally:
        del os.environ["TOKEN_OF_THE_TEST"]


@pytest.mark.integration
@pytest.mark.parametrize(
    "user",
    [
        {"token": "token-of-this-very-kubeconfig"},
        {"username": "it", "password": "token-of-this-very-kubeconfig"},
    ],
)
def test_a_kubeconfig_keeps_its_credentials(tmp_path: Path, user: dict[str, str]) -> None:
    path = tmp_path / "kubeconfig"
    document = kubeconfig("http://127.10.0.2:9")
    document["users"][0]["user"] = user
    path.write_text(yaml.safe_dump(document))
    code = (
        "from holdfast.cluster.client import open_client\n"
        "from holdfast.redact import redacted\n"
        f"open_client({str(path)!r}, 1.0)\n"
        "print(redacted('it is token-of-this-very-kubeconfig, they say'))\n"
    )
    assert told_by_a_child(code) == "it is [redacted], they say\n"


@pytest.mark.integration
def test_a_client_key_is_a_secret(tmp_path: Path) -> None:
    key = "-----BEGIN KEY-----\n" + "k" * 64 + "\n-----END KEY-----\n"
    document = kubeconfig("https://127.10.0.2:9")
    document["users"][0]["user"] = {
        "client-certificate-data": base64.b64encode(b"certificate").decode(),
        "client-key-data": base64.b64encode(key.encode()).decode(),
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    code = (
        "from holdfast.cluster.credentials import keep_secrets\n"
        "from kubernetes.client.configuration import Configuration\n"
        "from kubernetes.config.kube_config import load_kube_config\n"
        "from holdfast.redact import redacted\n"
        "configuration = Configuration()\n"
        f"load_kube_config({str(path)!r}, None, configuration, persist_config=False)\n"
        "keep_secrets(configuration)\n"
        f"print(redacted({key!r} + 'k' * 64))\n"
    )
    assert told_by_a_child(code) == "[redacted][redacted]\n"


# ── every writer ──────────────────────────────────────────────────────────────────────────────────


def test_no_writer_of_a_run_folder_writes_it(make_here: Callable[..., Context]) -> None:
    """Each way into the folder; a new one has to come through these."""
    run = make_here().run
    told = {"said": f"Bearer {SENTINEL}", SENTINEL: [SENTINEL]}
    run.append("events.jsonl", told)
    run.append("heals.jsonl", told)
    run.append_all("samples/pods.jsonl", [told, {"said": FORMS[1], FORMS[0]: 1, FORMS[-1]: 2}])
    run.write_json("journal.json", told)
    run.write_answer("series/up.json", told)
    write_whole(run.path("series/transfers.jsonl"), json.dumps(told) + "\n")
    write_whole(run.path("report.html"), f"<p>{FORMS[3]}</p>")
    run.write_manifest()
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    names = {
        "events.jsonl",
        "heals.jsonl",
        "pods.jsonl",
        "journal.json",
        "up.json",
        "transfers.jsonl",
        "report.html",
    }
    for path in files:
        text = path.read_text()
        assert not any(form in text for form in FORMS), path
        names.discard(path.name if "[redacted]" in text else "")
    assert names == set(), "a writer was not told the secret"
    (event,) = run.records("events.jsonl")
    assert event["said"] == "Bearer [redacted]"
    assert event["[redacted]"] == ["[redacted]"]
    assert [one["[redacted]"] for one in run.records("samples/pods.jsonl")] == [["[redacted]"], 2]
    assert run.read_json("series/up.json")["said"] == "Bearer [redacted]"


def test_an_error_does_not_tell_it() -> None:
    error = Unreachable(f"http://{SENTINEL}", f"it answered {SENTINEL}", f"Ask {SENTINEL}")
    for text in (str(error), repr(error), error.thing, error.reason, error.next_step):
        assert SENTINEL not in text
        assert "[redacted]" in text


@pytest.mark.integration
def test_an_api_server_that_sends_the_token_back(tmp_path: Path) -> None:
    token = "token-that-comes-back-1"
    failed = {"kind": "Status", "message": f"bad header Bearer {token}"}
    with serving("127.10.0.2", lambda *_: (500, failed)) as url:
        document = kubeconfig(url)
        document["users"][0]["user"]["token"] = token
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        with pytest.raises(Unreachable, match=r"500: bad header Bearer \[redacted\]"):
            Cluster(str(path)).version()


@pytest.mark.integration
def test_the_terminal_does_not_show_it(tmp_path: Path) -> None:
    """A path is quoted in the error; a defect prints its trace."""
    code = (
        "import sys\n"
        "from holdfast.cli import main\n"
        "from holdfast.redact import keep_secret\n"
        f"keep_secret({SENTINEL!r})\n"
        f"print({SENTINEL!r})\n"
        f"sys.argv = ['holdfast', 'judge', {SENTINEL!r}]\n"
        "main()\n"
    )
    said = told_by_a_child(code)
    before, _, rest = said.partition("\n")
    assert before == SENTINEL  # printed before the command began
    assert "[redacted]" in rest
    assert SENTINEL not in rest


def test_a_private_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_private(tmp_path / "customers.log") as file:
            file.write(b"x")
        run = Run.create(tmp_path / "new" / "runs", "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "customers.log").stat().st_mode) == 0o600
    for folder in (run.folder, run.folder.parent, tmp_path / "new" / "runs", tmp_path / "new"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_private_file_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "customers.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        open_private(tmp_path / "customers.log")
