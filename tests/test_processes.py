"""Processes of a lab, with real ones: each is `sleep`, and ends with its test."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import processes
from lab.processes import Launch, Process

pytestmark = pytest.mark.integration

type Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process of the lab named after this test's folder."""
    started: list[tuple[Process, subprocess.Popen[bytes]]] = []

    def launch(*command: str) -> Process:
        variables = processes.base_environment(str(tmp_path))
        started.append(
            processes.start(Launch(command or ("sleep", "60"), tmp_path / "log", variables))
        )
        return started[-1][0]

    yield launch
    for process, popen in started:
        processes.send(process, signal.SIGKILL)
        popen.wait(5)


def test_a_process_is_known_by_its_pid_and_start_time(start: Start) -> None:
    process = start()
    assert processes.alive(process)
    assert not processes.alive(replace(process, started=process.started - 1))


def test_a_stranger_under_the_same_pid_is_not_signalled(start: Start) -> None:
    process = start()
    assert not processes.send(replace(process, started=process.started - 1), signal.SIGKILL)
    assert processes.alive(process)


def test_a_process_that_is_gone_is_not_signalled(start: Start) -> None:
    process = start("true")
    assert processes.until(lambda: not processes.alive(process), seconds=5)
    assert not processes.send(process, signal.SIGTERM)


def test_a_process_is_found_by_the_mark_of_its_lab(start: Start, tmp_path: Path) -> None:
    process = start()
    assert processes.until(lambda: processes.of_lab(str(tmp_path)) == [process], seconds=5)
    assert processes.of_lab(f"{tmp_path}-other") == []


def test_stopping_ends_a_process_that_does_not_want_to(start: Start, tmp_path: Path) -> None:
    process = start("sh", "-c", "trap '' TERM; echo ready; while true; do sleep 0.1; done")
    log = tmp_path / "log"
    assert processes.until(lambda: log.read_text() == "ready\n", seconds=5)
    processes.stop([process], grace=0.2)
    assert not processes.alive(process)


def test_a_process_of_the_lab_is_nicer_than_customers(start: Start) -> None:
    process, nicer = start(), os.getpriority(os.PRIO_PROCESS, 0) + 5
    assert processes.until(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == nicer, seconds=5)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no such kernel feature")
def test_a_process_of_the_lab_is_nicer_than_customers_of_another_session(start: Start) -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    group = Path(f"/proc/{start().pid}/autogroup").read_text()
    assert group.split()[1:] == ["nice", str(min(19, mine + 5))]


def test_a_process_inherits_no_proxy(start: Start) -> None:
    assert not [name for name in processes.base_environment("x") if "proxy" in name.lower()]


def test_the_family_of_a_process_are_its_children_and_theirs(start: Start, tmp_path: Path) -> None:
    process = start("sh", "-c", "sh -c 'sleep 60 & wait' & wait")
    assert processes.until(lambda: len(processes.family(process)) == 3, seconds=5)
    for found in processes.of_lab(str(tmp_path)):
        processes.send(found, signal.SIGKILL)


def test_a_child_that_asked_for_it_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "from lab.processes import die_with_parent\n"
        "child = subprocess.Popen(['sleep', '60'], preexec_fn=die_with_parent(os.getpid()))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)  # until it is killed\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        child = Process(pid, processes.start_time(pid) or 0)
        assert processes.alive(child)
        parent.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            parent.wait(5)
    assert processes.until(lambda: not processes.alive(child), seconds=5)
