"""The real lab, started once for all lab tests; and short runs of experiments on it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.addresses import Lab
from tests.lab.faults_case import Place, opened

ROOT = Path(__file__).parent.parent.parent
# labs of their own, from 2 on, one for each process: the one that a person works with is left alone
NUMBER = str(2 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))
UP_S = 1800  # programs may have to be built first
LATE_TIMES = 2  # an experiment is run again for it
LATE = re.compile(r"the load generator was (\d+ ms )?late")


@dataclass(frozen=True)
class Ran:
    """How a run ended: its exit code, its verdict per promise, and where it lies."""

    exit_code: int
    verdicts: dict[str, str]
    whys: dict[str, str]
    folder: Path
    stderr: str


type RunExperiment = Callable[..., Ran]


def told(ran: Ran) -> str:
    """What a failed test has to say: each verdict with its reason, and what was on the terminal."""
    lines = [f"{name}: {verdict}: {ran.whys[name]}" for name, verdict in ran.verdicts.items()]
    return "\n".join([f"exit code {ran.exit_code}", *lines, ran.stderr])


def lab_command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m lab` so that environment.yaml is written into a folder."""
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=folder,
        env={"HOLDFAST_LAB": NUMBER} | os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=UP_S,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that holds the environment.yaml of a lab that is up; down again at the end."""
    folder = tmp_path_factory.mktemp("lab")
    up = lab_command("up", folder=folder)
    assert up.returncode == 0, up.stdout + up.stderr
    yield folder
    down = lab_command("down", folder=folder)
    assert down.returncode == 0, down.stdout + down.stderr


@pytest.fixture(scope="session")
def lab(lab_folder: Path) -> dict[str, Any]:
    """The parsed environment.yaml of the running lab."""
    environment: dict[str, Any] = yaml.safe_load((lab_folder / "environment.yaml").read_text())
    return environment


@pytest.fixture
def place(lab: dict[str, Any], lab_folder: Path, tmp_path: Path) -> Iterator[Place]:
    """The lab behind meddlers, for short runs that go wrong."""
    with opened(lab_folder, tmp_path, Lab.of(int(lab["name"].removeprefix("lab-")))) as it:
        yield it


@dataclass
class Switch:
    """Switches the wallet to planted defects, or to `none`."""

    folder: Path
    now: str = "none"

    def __call__(self, defect: str) -> None:
        """Until only such pods are left, spread over the zones unless the defect is that."""
        self.now = defect
        done = lab_command("defect", defect, folder=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def switch(lab_folder: Path) -> Iterator[Switch]:
    """Switches the wallet to planted defects; healthy again at the module's end."""
    it = Switch(lab_folder)
    yield it
    it("none")


def holdfast(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the `holdfast` command in a folder."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "holdfast"), *arguments],
        cwd=folder,
        timeout=600,
        check=False,
        capture_output=True,
        text=True,
    )


def shortened(name: str, folder: Path, **changes: Any) -> Path:
    """A copy of a shipped experiment with another load, phases, objectives, or `at_least`."""
    document = yaml.safe_load((ROOT / "experiments" / f"{name}.yaml").read_text())
    at_least = changes.pop("at_least", None)
    if at_least:
        document["method"][1]["provider"]["arguments"]["at_least"] = at_least
    document["extensions"][0].update(changes)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    for file in ("journeys.yaml", "objectives.yaml"):
        shutil.copy(ROOT / "experiments" / file, folder / file)
    return path


@pytest.fixture
def run_experiment(lab_folder: Path, tmp_path: Path, switch: Switch) -> RunExperiment:
    """Runs an experiment of this name; anew while the load generator alone is the trouble."""

    def run(name: str, **changes: Any) -> Ran:
        path = shortened(name, tmp_path, **changes)
        ran = _run(path, lab_folder)
        for _ in range(LATE_TIMES):
            if not any(LATE.search(why) for why in ran.whys.values()):
                break
            print(f"{name}: the load generator was late; run once more")
            switch(switch.now)  # a zone that came back has no pods before
            ran = _run(path, lab_folder)
        return ran

    return run


def _run(path: Path, folder: Path) -> Ran:
    done = holdfast("run", str(path), "--json", folder=folder)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {"findings": [], "run": ""}
    findings = {one["objective"]: one for one in found["findings"]}
    return Ran(
        done.returncode,
        {name: one["verdict"] for name, one in findings.items()},
        {name: one["why"] for name, one in findings.items()},
        folder / found["run"],
        done.stderr,
    )
