"""What a run leaves behind is listed before, during and after it; nothing else starts on it."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.clock import until
from tests.lab.conftest import holdfast, shortened
from tests.lab.test_endings import SHORT, started, the_run, toxics, watchdog_of


def listed(lab_folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit code of `holdfast residue`, and what it found."""
    done = holdfast("residue", "--json", folder=lab_folder)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.mark.lab
def test_residue_before_during_and_after_a_killed_run(
    lab: dict[str, Any], lab_folder: Path, tmp_path: Path
) -> None:
    """Runner and watchdog are killed; the reaper takes away what nobody else does."""
    assert listed(lab_folder) == (0, {"clean": True, "leftovers": [], "not_asked": {}})
    path = shortened("slow-gateway", tmp_path, **SHORT)
    with started(path, lab_folder, tmp_path / "runs") as process:
        assert until(lambda: bool(toxics(lab)), seconds=90)
        code, during = listed(lab_folder)
        planned = holdfast("plan", str(path), folder=lab_folder)
        os.kill(watchdog_of(process), signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
    (fault,) = during["leftovers"]
    rest = fault["name"].partition(f"{fault['run']}-")[2]
    assert rest.startswith("slow-until-")
    assert (code, fault["what"], fault["name"]) == (6, "toxic", f"holdfast-{fault['run']}-{rest}")
    assert planned.returncode == 6
    assert fault["run"] in planned.stderr, "the lock alone refuses a second run"
    assert until(lambda: listed(lab_folder)[0] == 0, seconds=90, every=1.0), "the reaper is gone"
    assert_no_token(Path(lab["kubernetes"]["kubeconfig"]), the_run(tmp_path / "runs"))


def assert_no_token(kubeconfig: Path, folder: Path) -> None:
    """Nothing in a run's folder holds the token of the service account (G14)."""
    (user,) = yaml.safe_load(kubeconfig.read_text())["users"]
    token = user["user"]["token"].encode()
    files = [one for one in folder.rglob("*") if one.is_file()]
    assert len(files) > 5
    assert [one.name for one in files if token in one.read_bytes()] == []
