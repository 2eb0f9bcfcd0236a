"""What the first command of a newcomer does: `make help`, and finding an interpreter."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
TOOLS = ("cp", "ls", "mkdir", "rm")  # all that toolchain.sh needs of a machine
LIMIT_S = 10.0


@dataclass(frozen=True)
class Machine:
    """A home and a PATH without any interpreter; `toolchain.sh` lies in its own folder."""

    folder: Path

    @property
    def home(self) -> Path:
        """The user's home."""
        return self.folder / "home"

    def script(self, path: Path, *lines: str) -> None:
        """A program that is a small script."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
        path.chmod(0o755)

    def real_python(self, path: Path) -> None:
        """The interpreter that runs this test, under that name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(Path(sys.executable).resolve())

    def toolchain(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it; a hang is a failure."""
        shims = f"{self.home}/.pyenv/shims:{self.home}/.asdf/shims"
        return subprocess.run(
            [self.folder / "checkout" / "toolchain.sh", *words],
            cwd=self.folder / "checkout",
            env={"PATH": f"{shims}:{self.folder}/bin", "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One that has nothing but the tools."""
    for name in ("bin", "home", "checkout"):
        (tmp_path / name).mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "missing")
    shutil.copy(ROOT / "toolchain.sh", tmp_path / "checkout")
    return Machine(tmp_path)


def version(python: str) -> tuple[int, int]:
    """Major and minor version of an interpreter."""
    done = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    major, minor = done.stdout.split()
    return int(major), int(minor)


def test_help_lists_exactly_the_targets_that_have_a_sentence() -> None:
    """`help` is generated, so a target without `##` is one that nobody finds."""
    done = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    makefile = (ROOT / "Makefile").read_text()
    documented = set(re.findall(r"^([\w-]+):[^\n]*## \S", makefile, re.MULTILINE))
    assert listed == documented
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())


def test_every_target_is_phony_and_documented() -> None:
    """A file that is called `test` must not stop `make test`."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    documented = set(re.findall(r"^([\w-]+):[^\n]*## \S", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert targets == documented == set(phony[1].split())


def test_an_interpreter_is_found_behind_an_old_one_and_shims_that_mislead(
    machine: Machine,
) -> None:
    """A shim answers for a version that is not installed, or asks the network, or hangs."""
    machine.script(machine.folder / "bin" / "python3", "exit 1")
    for manager in (".pyenv", ".asdf"):
        for name in ("python3.13", "python3.12", "python3", "python"):
            machine.script(machine.home / manager / "shims" / name, "while :; do :; done")
    machine.real_python(machine.home / ".pyenv" / "versions" / "3.13.7" / "bin" / "python3")
    done = machine.toolchain("python")
    assert done.returncode == 0, done.stderr
    assert version(done.stdout.strip()) >= (3, 12)


def test_an_interpreter_on_path_is_found_first(machine: Machine) -> None:
    """What the user put there is what the user means."""
    machine.real_python(machine.folder / "bin" / "python3")
    machine.script(
        machine.home / ".pyenv" / "versions" / "3.13.7" / "bin" / "python3", "echo wrong"
    )
    done = machine.toolchain("python")
    assert version(done.stdout.strip()) >= (3, 12)


def test_an_interpreter_on_path_is_found_behind_a_shim_of_the_same_name(machine: Machine) -> None:
    """A distribution's own 3.12 is good enough, whatever manager stands before it on PATH."""
    machine.script(machine.home / ".pyenv" / "shims" / "python3", "while :; do :; done")
    machine.real_python(machine.folder / "bin" / "python3")
    done = machine.toolchain("python")
    assert done.returncode == 0, done.stderr
    assert version(done.stdout.strip()) >= (3, 12)


def test_a_uv_on_path_is_used(machine: Machine) -> None:
    """Nothing is installed then."""
    machine.script(machine.folder / "bin" / "uv", "exit 0")
    done = machine.toolchain("uv")
    assert done.stdout == f"{machine.folder}/bin/uv\n"
    assert not (machine.folder / "checkout" / ".tools").exists()


@pytest.mark.parametrize("wanted", ["python", "uv"])
def test_it_says_plainly_what_is_missing(machine: Machine, wanted: str) -> None:
    """One sentence, not a shell's complaint about an empty command."""
    done = machine.toolchain(wanted)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "error: neither uv nor Python 3.12 or newer was found. Install one of them.\n"
    )


def test_an_old_interpreter_that_cannot_fetch_uv_is_named(machine: Machine) -> None:
    """A distribution may ship Python without what makes virtual environments."""
    old = machine.folder / "bin" / "python3"
    machine.script(old, "exit 1")
    done = machine.toolchain("uv")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {old} cannot make a virtual environment. Install uv, or Python >= 3.12.\n"
    )


def test_other_words_are_refused(machine: Machine) -> None:
    """With its usage."""
    done = machine.toolchain("ruby")
    assert done.returncode == 2
    assert done.stderr == "usage: toolchain.sh python|uv\n"
