"""What people install: the wheel, built from a copy of this checkout, without development parts."""

import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
NOT_BUILT_FROM = (
    ".*",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "runs",
    "tests",
    "lab",
    "benchmarks",
    "docs",
    "deploy",
)
DATA = {
    "holdfast/py.typed",
    "holdfast/experiments/journeys.yaml",
    "holdfast/experiments/objectives.yaml",
    "holdfast/experiments/kill-wallet-pods.yaml",
    "holdfast/experiments/drop-zone.yaml",
    "holdfast/experiments/slow-gateway.yaml",
    "holdfast/experiments/dead-gateway.yaml",
    "holdfast/reports/report.html",
    "holdfast/reports/report.css",
}


def run(*command: object, cwd: Path) -> str:
    """What a command prints; a failure shows all that it said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Built:
    """The sdist, the wheel made from it, and the wheel made from the checkout."""

    sdist: Path
    wheel: Path
    straight: Path

    def files(self, wheel: Path) -> dict[str, int]:
        """Each file of a wheel, with the checksum of its content."""
        with zipfile.ZipFile(wheel) as archive:
            return {one.filename: one.CRC for one in archive.infolist()}


@pytest.fixture(scope="module")
def uv() -> str:
    """The uv that the Makefile uses."""
    return run("./toolchain.sh", "uv", cwd=ROOT).strip()


@pytest.fixture(scope="module")
def built(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*NOT_BUILT_FROM))
    build = [uv, "build", "--quiet", "--python", _python()]
    run(*build, "--out-dir", folder / "both", cwd=source)
    run(*build, "--wheel", "--out-dir", folder / "straight", cwd=source)
    (sdist,) = (folder / "both").glob("*.tar.gz")
    (wheel,) = (folder / "both").glob("*.whl")
    (straight,) = (folder / "straight").glob("*.whl")
    return Built(sdist, wheel, straight)


@pytest.fixture(scope="module")
def installed(built: Built, uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, its locked dependencies, and no more."""
    folder = tmp_path_factory.mktemp("installed")
    wanted = ["--frozen", "--no-dev", "--no-emit-project", "--output-file", folder / "locked.txt"]
    run(uv, "export", "--quiet", *wanted, cwd=ROOT)
    run(uv, "venv", "--quiet", "--python", _python(), folder / "venv", cwd=folder)
    into = ["--quiet", "--python", folder / "venv"]
    run(uv, "pip", "install", *into, "--require-hashes", "-r", folder / "locked.txt", cwd=folder)
    run(uv, "pip", "install", *into, "--no-deps", built.wheel, cwd=folder)
    return folder / "venv" / "bin"


def _python() -> str:
    return run("./toolchain.sh", "python", cwd=ROOT).strip()


@pytest.mark.parametrize("words", [("--help",), ("plan", "--help"), ("run", "--help")])
def test_the_command_answers_from_any_folder(
    installed: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Who installs it has no checkout, no lab and no development tools."""
    assert "Usage: holdfast" in run(installed / "holdfast", *words, cwd=tmp_path)


def test_every_part_can_be_imported_without_development_parts(
    installed: Path, tmp_path: Path
) -> None:
    """A dependency that only a group brings would be missed in production first."""
    program = (
        "import holdfast.actions.pods, holdfast.actions.zones, holdfast.actions.gateway,"
        " holdfast.probes.sla, holdfast.reports.page, holdfast.load.process, holdfast.pipeline"
    )
    run(installed / "python", "-c", program, cwd=tmp_path)
    absent = "import importlib.util as u; print(u.find_spec('pytest'), u.find_spec('psycopg'))"
    assert run(installed / "python", "-c", absent, cwd=tmp_path) == "None None\n"


def test_chaos_toolkit_accepts_the_installed_experiments(installed: Path, tmp_path: Path) -> None:
    """They ship with it, and they are Chaos Toolkit experiments."""
    program = "from holdfast.context import packaged; print(packaged('slow-gateway.yaml'))"
    experiment = run(installed / "python", "-c", program, cwd=tmp_path).strip()
    run(installed / "chaos", "validate", experiment, cwd=tmp_path)


def test_the_wheel_holds_one_package_with_its_data(built: Built) -> None:
    """Prescribed folders such as `probes/` must not become top-level names of everyone."""
    files = built.files(built.wheel)
    tops = {name.partition("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"holdfast"}
    assert set(files) >= DATA


def test_the_wheel_holds_every_module_of_the_checkout(built: Built) -> None:
    """The package map names packages one by one; one that it forgot would be missing here."""
    folders = {"": ROOT / "src" / "holdfast"} | {
        f"{name}/": ROOT / name for name in ("actions", "experiments", "probes", "reports")
    }
    wanted = {
        f"holdfast/{prefix}{path.relative_to(folder)}"
        for prefix, folder in folders.items()
        for path in folder.rglob("*.py")
    }
    inside = {name for name in built.files(built.wheel) if name.endswith(".py")}
    assert inside == wanted


def test_the_sdist_has_no_links(built: Built) -> None:
    """Unpacked on Windows or by a careless tool, a link would lose four folders of code."""
    with tarfile.open(built.sdist) as archive:
        assert [one.name for one in archive if one.issym() or one.islnk()] == []


def test_a_wheel_from_the_sdist_is_the_wheel_from_the_checkout(built: Built) -> None:
    """Otherwise what distributions build differs from what we tested."""
    assert built.files(built.wheel) == built.files(built.straight)
