"""However a run ends, the fault is gone or named, and what was seen can be judged."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast import lock
from holdfast.clock import until
from holdfast.documents import Environment, read_environment
from holdfast.errors import Refused
from tests.lab.conftest import holdfast, lab_command, shortened

SHORT = {
    "before": "10s",
    "after": "10s",
    "objectives": ["recovery", "availability", "money"],
    "load": {
        "pix-transfer": "32/s",
        "balance": "32/s",
    },  # 299 in a window; others measure beside it
}


def toxics(lab: dict[str, Any]) -> list[str]:
    """Every toxic there is, and every proxy that is disabled."""
    with urllib.request.urlopen(lab["toxiproxy"][0]["url"] + "/proxies", timeout=5) as answer:
        proxies = json.load(answer)
    found = [toxic["name"] for one in proxies.values() for toxic in one["toxics"]]
    return found + [f"{one['name']} is disabled" for one in proxies.values() if not one["enabled"]]


@contextmanager
def started(path: Path, lab_folder: Path, runs: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own; killed at the end if it is still there."""
    command = [str(Path(sys.executable).parent / "holdfast"), "run", str(path), "--runs", str(runs)]
    process = subprocess.Popen(
        command, cwd=lab_folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def the_run(runs: Path) -> Path:
    """The folder of the only run."""
    (folder,) = runs.glob("*/*/")
    return folder


@pytest.mark.row(7)
@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_hold_heals_and_exits_with_4(
    number: signal.Signals, lab: dict[str, Any], lab_folder: Path, tmp_path: Path
) -> None:
    """A second signal, while the first one heals, changes nothing."""
    path = shortened("slow-gateway", tmp_path, **SHORT)
    with started(path, lab_folder, tmp_path / "runs") as process:
        assert until(lambda: bool(toxics(lab)), seconds=60)
        process.send_signal(number)
        assert until(lambda: not toxics(lab), seconds=5)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 4, output
    folder = the_run(tmp_path / "runs")
    findings = json.loads((folder / "findings.json").read_text())
    assert {one["verdict"] for one in findings} == {"unknown"}
    assert (folder / "report.html").is_file()


@pytest.mark.lab
def test_a_killed_runner_is_outlived_by_its_watchdog(
    lab: dict[str, Any], lab_folder: Path, tmp_path: Path
) -> None:
    """Within two seconds; the run is then judged as one that was broken off."""
    path = shortened("slow-gateway", tmp_path, **SHORT)
    with started(path, lab_folder, tmp_path / "runs") as process:
        assert until(lambda: bool(toxics(lab)), seconds=60)
        process.send_signal(signal.SIGKILL)
        assert until(lambda: not toxics(lab), seconds=2)
        process.communicate(timeout=10)
    folder = the_run(tmp_path / "runs")
    assert holdfast("judge", str(folder), folder=lab_folder).returncode == 4
    undone = holdfast("undo", str(folder), folder=lab_folder)
    assert (undone.returncode, undone.stdout) == (0, "nothing was left to undo\n")


def watchdog_of(process: subprocess.Popen[str]) -> int:
    """The watchdog's process, the only child in a session of its own."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (found,) = [int(one) for one in children if os.getsid(int(one)) == int(one)]
    return found


@pytest.mark.lab
def test_a_run_that_was_killed_with_its_watchdog_is_undone_from_another_process(
    lab: dict[str, Any], lab_folder: Path, tmp_path: Path
) -> None:
    """The undo was on disk before the fault, so nobody has to remember it."""
    path = shortened("dead-gateway", tmp_path, **SHORT)
    with started(path, lab_folder, tmp_path / "runs") as process:
        assert until(lambda: len(toxics(lab)) == 2, seconds=60)
        os.kill(watchdog_of(process), signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
    assert "pix-primary is disabled" in toxics(lab)
    folder = the_run(tmp_path / "runs")
    undone = holdfast("undo", str(folder), folder=lab_folder)
    assert (undone.returncode, toxics(lab)) == (0, [])
    assert "1 undone, nothing is left" in undone.stdout
    again = holdfast("undo", str(folder), folder=lab_folder)
    assert (again.returncode, again.stdout) == (0, "nothing was left to undo\n")
    environment = read_environment(lab_folder / "environment.yaml")
    assert until(lambda: free(environment), seconds=40), "the reaper takes the lock of the dead"


def free(environment: Environment) -> bool:
    """May the lock be taken?"""
    try:
        return bool(lock.look(environment))
    except Refused:
        return False


@pytest.mark.lab
def test_toxiproxy_that_hangs_in_mid_hold_is_a_fault_that_may_remain(
    lab: dict[str, Any], lab_folder: Path, tmp_path: Path
) -> None:
    """What could not be undone is said with exit code 5, and can be undone later."""
    path = shortened("slow-gateway", tmp_path, **SHORT)
    pid = piece("toxiproxy", lab_folder)
    with started(path, lab_folder, tmp_path / "runs") as process:
        assert until(lambda: bool(toxics(lab)), seconds=60)
        os.kill(pid, signal.SIGSTOP)
        try:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=150)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert process.returncode == 5, output
    assert until(lambda: not toxics(lab), seconds=45), "the watchdog never gives up"
    assert holdfast("undo", str(the_run(tmp_path / "runs")), folder=lab_folder).returncode == 0


@pytest.mark.lab
def test_prometheus_that_hangs_in_mid_run_ends_it(
    lab: dict[str, Any], lab_folder: Path, tmp_path: Path
) -> None:
    """Nobody could tell whether to go on; the fault is healed and the folder is complete."""
    path = shortened("kill-wallet-pods", tmp_path, at_least="20s", **SHORT)
    pid = piece("prometheus", lab_folder)
    with started(path, lab_folder, tmp_path / "runs") as process:
        assert until(lambda: any((tmp_path / "runs").glob("*/*/samples/*.csv")), seconds=30)
        os.kill(pid, signal.SIGSTOP)
        try:
            output, _ = process.communicate(timeout=200)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert process.returncode == 4, output
    assert toxics(lab) == []
    events = (the_run(tmp_path / "runs") / "events.jsonl").read_text()
    assert '"by": "watchdog"' in events
    assert (the_run(tmp_path / "runs") / "report.html").is_file()


def piece(name: str, lab_folder: Path) -> int:
    """The process of one of the lab's pieces."""
    pieces = json.loads(lab_command("status", "--json", folder=lab_folder).stdout)
    return next(int(one["pid"]) for one in pieces if one["name"] == name)


@pytest.mark.lab
def test_chaos_toolkit_runs_the_experiments_by_itself(
    lab: dict[str, Any], lab_folder: Path, tmp_path: Path
) -> None:
    """Such a run injects and heals, and gives no verdict."""
    path = shortened("kill-wallet-pods", tmp_path, at_least="20s")
    chaos = str(Path(sys.executable).parent / "chaos")
    ran = subprocess.run(
        [chaos, "--no-version-check", "run", "--rollback-strategy", "always", str(path)],
        cwd=lab_folder,
        capture_output=True,
        timeout=200,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    journal = json.loads((lab_folder / "journal.json").read_text())
    statuses = [one["status"] for one in journal["run"] + journal["rollbacks"]]
    assert statuses == ["succeeded"] * 4
    assert journal["steady_states"]["before"]["steady_state_met"] is True
    assert toxics(lab) == []
