"""Where the lab's programs come from; small shell scripts stand in for the programs and for Go."""

import base64
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import golang, wheels
from lab.bring import Job, bring
from lab.cache import Cache
from lab.errors import LabError
from lab.golang import Build
from lab.programs import Sources, Wanted, postgres, wanted_go, wanted_programs
from lab.progress import Progress
from lab.versions import Executable, UnfitError, numbers
from lab.wheels import Wheel

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
TOOL = Executable(
    "tool", "--version", r"tool (\S+)", lambda found: numbers(found) >= (2,), "2 or newer"
)


class Lines(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class Impatient(Lines):
    """Presses Ctrl-C as soon as the file is there."""

    def __init__(self, file: Callable[[], bool]) -> None:
        super().__init__()
        self.file = file

    def goes_on(self, what: str) -> None:
        if self.file():
            raise KeyboardInterrupt


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def tool(folder: Path, version: str) -> Path:
    return script(folder / "tool", f"echo tool {version}")


def fake_go(folder: Path, build: str = "") -> Path:
    """A Go whose builds log a line, do `build`, and make a tool of version 2.0."""
    return script(
        folder / "go",
        f"""
        [ "$1" = version ] && exec echo go version go9.9.9 linux/amd64
        while [ "$1" != -o ]; do shift; done
        echo built "$2" >> {folder}/builds
        {build}
        printf '#!/bin/sh\\necho tool 2.0\\n' > "$2" && chmod 755 "$2"
        """,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "not within 10 s"
        threading.Event().wait(0.01)


def left_in(cache: Cache) -> set[str]:
    """What lies in the cache, logs and the lock's file apart."""
    names = {path.name for path in cache.folder.iterdir()}
    return {name for name in names if name != "lock" and not name.endswith(".log")}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    folder = tmp_path / "cache"
    folder.mkdir()
    return Cache(folder)


@pytest.fixture
def module(tmp_path: Path) -> Build:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module tool\n")
    (folder / "main.go").write_text("package main\n")
    return Build("tool", "2.0", folder, ".", ())


@pytest.fixture
def sources(tmp_path: Path, cache: Cache) -> Sources:
    return Sources(cache, Lines(), str(tmp_path / "bin"), tmp_path / "root")


def test_path_comes_before_the_distribution_and_that_before_the_cache(
    sources: Sources, module: Build, tmp_path: Path
) -> None:
    wanted = Wanted(TOOL, module, "opt/*/bin/tool")
    assert sources.find(wanted) is None
    found = []
    for folder in (
        sources.cache.path(module.key),
        tmp_path / "root/opt/9/bin",
        tmp_path / "root/opt/15/bin",
        tmp_path / "bin",
    ):
        path = tool(folder, "2.1")
        program = sources.find(wanted)
        assert program
        assert program.path == path
        found.append(program.origin)
    assert found == ["cache", "distribution", "distribution", "PATH"]


def test_a_version_that_is_too_old_is_passed_over_and_said_once(
    sources: Sources, module: Build, tmp_path: Path
) -> None:
    old = tool(tmp_path / "bin", "1.9")
    tool(sources.cache.path(module.key), "2.0")
    for _ in range(2):
        program = sources.find(Wanted(TOOL, module))
        assert program
        assert (program.version, program.origin) == ("2.0", "cache")
    assert isinstance(sources.progress, Lines)
    assert sources.progress.lines == [f"not used: {old} is 1.9; needed is 2 or newer"]


def test_a_program_that_is_still_being_written_is_asked_again(tmp_path: Path) -> None:
    """A child that another thread started may have it open until it runs its own program."""
    path = tool(tmp_path, "2.1")
    writer = path.open("a")
    closing = threading.Timer(0.05, writer.close)
    closing.start()
    assert TOOL.version(path) == "2.1"
    closing.join()


@pytest.mark.parametrize("text", ["exit 1", "echo something else", "echo tool 2.0; exit 3"])
def test_a_program_that_does_not_say_its_version_is_not_used(tmp_path: Path, text: str) -> None:
    path = script(tmp_path / "tool", text)
    with pytest.raises(UnfitError, match="does not say its version"):
        TOOL.version(path)


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18"),
        ("postgres (PostgreSQL) 14.0", "14.0"),
        ("postgres (PostgreSQL) 18.6", "18.6"),
    ],
)
def test_postgres_from_14_on(tmp_path: Path, says: str, version: str) -> None:
    path = script(tmp_path / "postgres", f"echo '{says}'")
    script(tmp_path / "initdb", "")
    assert postgres().version(path) == version


def test_postgres_before_14_or_without_initdb_is_not_used(tmp_path: Path) -> None:
    path = script(tmp_path / "postgres", "echo 'postgres (PostgreSQL) 13.9'")
    with pytest.raises(UnfitError, match=r"is 13\.9; needed is 14 or newer"):
        postgres().version(path)
    script(path, "echo 'postgres (PostgreSQL) 16.1'")
    with pytest.raises(UnfitError, match="lies without initdb"):
        postgres().version(path)


def test_a_missing_program_is_built_once_and_then_found(
    sources: Sources, module: Build, tmp_path: Path
) -> None:
    fake_go(tmp_path / "bin")
    for _ in range(2):
        programs = sources.obtain([Wanted(TOOL, module)], wanted_go())
        assert programs["tool"].path == sources.cache.path(module.key) / "tool"
        assert programs["tool"].version == "2.0"
    assert len((tmp_path / "bin/builds").read_text().splitlines()) == 1
    assert left_in(sources.cache) == {module.key}


def test_two_commands_at_a_time_build_once(sources: Sources, module: Build, tmp_path: Path) -> None:
    go = tmp_path / "bin/go"
    fake_go(go.parent, f"while [ ! -e {tmp_path}/go-on ]; do sleep 0.02; done")
    wanted = [Wanted(TOOL, module)]
    both = [threading.Thread(target=sources.obtain, args=(wanted, wanted_go())) for _ in range(2)]
    for each in both:
        each.start()
    progress = sources.progress
    assert isinstance(progress, Lines)
    wait_for(lambda: any("waiting for it" in line for line in progress.lines))
    (tmp_path / "go-on").touch()
    for each in both:
        each.join()
    assert len((tmp_path / "bin/builds").read_text().splitlines()) == 1


def test_a_failed_build_says_why_and_leaves_nothing(
    sources: Sources, module: Build, tmp_path: Path
) -> None:
    fake_go(tmp_path / "bin", 'echo half > "$2"; echo no space left >&2; exit 7')
    with pytest.raises(LabError) as raised:
        sources.obtain([Wanted(TOOL, module)], wanted_go())
    log = sources.cache.path(f"{module.key}.log")
    assert raised.value.thing == "build tool 2.0"
    assert "ended with 7" in raised.value.reason
    assert str(log) in raised.value.reason
    assert "no space left" in raised.value.reason
    assert raised.value.next_step.startswith("Run the command again")
    assert left_in(sources.cache) == set()


def test_a_build_that_makes_something_else_is_not_kept(
    sources: Sources, module: Build, tmp_path: Path
) -> None:
    fake_go(tmp_path / "bin", 'printf "#!/bin/sh\\necho tool 1.0\\n" > "$2"; chmod 755 "$2"; exit')
    with pytest.raises(LabError, match=r"is 1\.0; needed is 2 or newer"):
        sources.obtain([Wanted(TOOL, module)], wanted_go())
    assert left_in(sources.cache) == set()


def test_an_interrupted_build_leaves_no_file_and_no_process(cache: Cache, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    text = f'echo half > "$1/tool"; sleep 600 & echo $! > {pid}.new; mv {pid}.new {pid}; wait'
    endless = Job(
        what="build tool",
        key="tool-1",
        command=lambda into: ("sh", "-c", text, "sh", str(into)),
        check=lambda _: None,
        next_step="",
    )
    with pytest.raises(KeyboardInterrupt):
        bring([endless], cache, 1, Impatient(pid.exists))
    assert left_in(cache) == set()
    wait_for(lambda: not is_running(int(pid.read_text())))


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_what_a_killed_builder_left_is_removed_by_the_next(cache: Cache) -> None:
    place = cache.new()
    (place.entry / "tool").write_text("half")
    (place.scratch / "read-only").mkdir(mode=0o500)
    with cache.locked(lambda: None):
        assert left_in(cache) == set()


def test_jobs_run_at_a_time_as_memory_allows(cache: Cache, tmp_path: Path) -> None:
    """Each of the two waits for the other to have begun: with one slot they would never end."""

    def meeting(name: str, other: str) -> Job:
        text = f"touch {tmp_path}/{name}; while [ ! -e {tmp_path}/{other} ]; do sleep 0.02; done"
        return Job(name, name, lambda _: ("sh", "-c", text), lambda _: None, "")

    bring([meeting("a", "b"), meeting("b", "a")], cache, 2, Lines())
    assert left_in(cache) == {"a", "b"}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_signal_ends_the_build_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pid = tmp_path / "pid"
    path = tmp_path / "bin"
    fake_go(path, f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600")
    script(path / "postgres", "echo 'postgres (PostgreSQL) 16.1'")
    script(path / "initdb", "")
    script(path / "prometheus", "echo prometheus, version 3.16.0")
    script(path / "toxiproxy-server", "echo toxiproxy-server version 2.12.0")
    asked = subprocess.Popen(
        (sys.executable, "-c", "from lab.programs import programs; programs()"),
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "PATH": f"{path}:/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(pid.exists)
    asked.send_signal(number)
    _, said = asked.communicate(timeout=10)
    assert asked.returncode == code
    assert said.startswith(f"build holdfast-lab {golang.KUBERNETES_VERSION}")
    assert left_in(Cache(tmp_path / ".cache/holdfast/bin")) == set()
    assert not is_running(int(pid.read_text()))


def test_an_edited_source_or_pin_is_another_program(module: Build) -> None:
    before = module.key
    (module.folder / "main_test.go").write_text("package main\n")
    assert module.key == before
    (module.folder / "main.go").write_text("package main // edited\n")
    edited = module.key
    (module.folder / "go.sum").write_text("a pin\n")
    assert len({before, edited, module.key}) == 3


def test_the_control_plane_of_other_sources_is_not_used(tmp_path: Path) -> None:
    ours = wanted_programs()[0].executable
    path = script(tmp_path / "holdfast-lab", "echo holdfast-lab v1.36.3 sources 000000000000")
    with pytest.raises(UnfitError, match=r"sources 000000000000; needed is v1\.36\.3 sources"):
        ours.version(path)


def test_pins_and_stamped_versions_agree() -> None:
    assert (golang.KUBERNETES_VERSION, golang.ETCD_VERSION) == ("1.36.3", "3.6.8")
    prometheus = (golang.PROMETHEUS.folder / "go.mod").read_text()
    assert re.search(r"github.com/prometheus/prometheus v0\.316\.0\b", prometheus)
    assert golang.PROMETHEUS.version == "3.16.0"
    toxiproxy = (golang.TOXIPROXY.folder / "go.mod").read_text()
    assert f"github.com/Shopify/toxiproxy/v2 v{golang.TOXIPROXY.version}" in toxiproxy


def test_the_go_that_the_wheel_brings_is_new_enough() -> None:
    version = wheels.GO.key.split("-")[2]
    assert numbers(version) >= numbers(golang.needed_go())


def wheel(folder: Path, version: str) -> Wheel:
    """A wheel with `tool`, in a folder that is all the index there is, and its right digest."""
    folder.mkdir()
    content = f"#!/bin/sh\necho tool {version}\n".encode()
    files = {
        "pack/bin/tool": content,
        "pack-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n",
        "pack-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    record = "".join(f"{name},{_digest(data)},{len(data)}\n" for name, data in files.items())
    files["pack-1.0.dist-info/RECORD"] = f"{record}pack-1.0.dist-info/RECORD,,\n".encode()
    path = folder / "pack-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if name.endswith("tool") else 0o100644) << 16
            archive.writestr(entry, data)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"--no-index\n--find-links {folder}\npack==1.0 --hash=sha256:{digest}\n"
    )
    return Wheel(requirements, "pack/bin/tool")


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def test_a_wheel_is_unpacked_into_the_cache(sources: Sources, tmp_path: Path) -> None:
    source = wheel(tmp_path / "index", "2.5")
    program = sources.obtain([Wanted(TOOL, source)], wanted_go())["tool"]
    assert (program.version, program.origin) == ("2.5", "cache")
    assert program.path == sources.cache.path(source.key) / "pack/bin/tool"


def test_a_wheel_of_another_digest_is_refused(sources: Sources, tmp_path: Path) -> None:
    source = wheel(tmp_path / "index", "2.5")
    pinned = source.requirements.read_text()
    source.requirements.write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", pinned))
    with pytest.raises(LabError, match="Hash mismatch") as raised:
        sources.obtain([Wanted(TOOL, source)], wanted_go())
    assert raised.value.thing == "download pack-1.0"
    assert "Install tool (2 or newer) so that it is on PATH" in raised.value.next_step
    assert left_in(sources.cache) == set()
