"""On the real lab: without a fault nothing turns red, and what somebody else breaks is seen."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.lab.conftest import Switch, holdfast, shortened

BUSY = "the load generator was"  # late, in all or near an edge: this machine, not the platform

MONEY_FIRST = ["recovery", "availability", "money"]


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    return {one["objective"]: one for one in json.loads(done.stdout)["findings"]}


def verdicts(found: dict[str, Any]) -> set[str]:
    """The verdicts, without those that are unknown because this machine was busy."""
    busy = {name for name, one in found.items() if one["why"].startswith(BUSY)}
    print(f"not judged, {BUSY} late: {busy or None}")
    return {one["verdict"] for name, one in found.items() if name not in busy}


@pytest.mark.lab
def test_without_a_fault_nothing_is_red_and_nothing_is_a_pass(
    switch: Switch, lab_folder: Path, tmp_path: Path
) -> None:
    switch("none")
    path = shortened("kill-wallet-pods", tmp_path)
    done = holdfast("run", str(path), "--null", "--short", "--json", folder=lab_folder)
    assert done.returncode == 3, done.stdout + done.stderr
    assert verdicts(findings(done)) <= {"held"}, done.stdout
    assert json.loads(done.stdout)["control"] == "null"


@pytest.mark.lab
def test_what_somebody_else_breaks_is_seen_by_a_named_probe(
    switch: Switch, lab_folder: Path, lab: dict[str, Any], tmp_path: Path
) -> None:
    """A toxic that holdfast did not make: the probe sees it come, and the numbers are judged."""
    switch("none")
    path = shortened("slow-gateway", tmp_path, objectives=MONEY_FIRST)
    toxics = f"{lab['toxiproxy'][0]['url']}/proxies/pix-backup/toxics"
    toxic = {"name": "theirs", "type": "latency", "attributes": {"latency": 50}}
    timer = threading.Timer(8, lambda: requests.post(toxics, json=toxic, timeout=5))
    timer.start()
    try:
        done = holdfast(
            *("observe", "--for", "40s", "--load-of", str(path), "--witness", "seen.toxics"),
            "--json",
            folder=lab_folder,
        )
    finally:
        timer.join()
        requests.delete(f"{toxics}/theirs", timeout=5)
    found = findings(done)
    assert verdicts(found) <= {"held"}, done.stdout
    assert done.returncode in (0, 3), done.stdout
    assert json.loads(done.stdout)["control"] == "observe"
    looks = Path(lab_folder / json.loads(done.stdout)["run"] / "samples" / "readbacks.jsonl")
    seen = [json.loads(line)["in_place"] for line in looks.read_text().splitlines()]
    assert seen[0] is False
    assert seen[-1] is True
