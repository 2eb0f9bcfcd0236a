"""`holdfast undo` and `holdfast stop`, as a person meets them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import lock, marks
from holdfast.actions import gateway
from holdfast.context import Context
from tests.conftest import RealToxiproxy, configured, written
from tests.fakes import FakeKubernetes, absent
from tests.test_cli import holdfast, refused
from tests.test_reaper import clean, faults


def test_by_hand_prints_lines_that_need_no_holdfast(
    toxiproxy: RealToxiproxy, make_here: Callable[..., Context]
) -> None:
    here = make_here(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    name = gateway.slow("pix-primary", 100, configuration=configured(here))["targets"][0]["toxic"]
    ended = holdfast("undo", here.run.folder, "--by-hand")
    url = f"{toxiproxy.url}/proxies/pix-primary/toxics/{name}"
    assert (ended.code, ended.stdout) == (0, f"curl -X DELETE {url}\n")
    assert len(toxiproxy.toxics("pix-primary")) == 1, "nothing was done"


def test_all_mine_undoes_runs_and_marks(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    """Also of a run whose folder is lost; a run that is alive is left alone."""
    here = wallet(toxiproxies=[toxiproxy.url], proxies=["pix-primary"])
    environment, runs = written(here, tmp_path), here.run.folder.parent.parent
    faults(here, toxiproxy, kubernetes)
    alive = holdfast("undo", "--all-mine", "--runs", runs, "-e", environment)
    assert alive.code == 0
    assert alive.stdout.count("left alone") == 4
    assert not clean(toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert (ended.code, ended.stdout.count("undoing: ")) == (0, 4)
    assert clean(toxiproxy, kubernetes)


def test_all_mine_names_what_remains(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    here = wallet(toxiproxies=[toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    kubernetes.forbidden.add("patch nodes")
    environment = written(here, tmp_path)
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert ended.code == 5
    assert ended.stderr.count("no right to patch nodes") == 2
    assert not toxiproxy.toxics("pix-primary")


def test_who_holds_the_lock_is_printed_inert(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    """Whoever may write the Lease must not clear the screen of who stops all work."""
    environment = written(make_here(), tmp_path)
    kubernetes.leases["holdfast"]["spec"]["holderIdentity"] = "\x1b[2Jnothing was running"
    ended = holdfast("stop", "-e", environment, "--reason", "incident 4711")
    assert ended.stdout.startswith("stopped: \\x1b[2Jnothing was running; ")


def test_all_mine_names_what_could_not_be_asked(
    toxiproxy: RealToxiproxy,
    wallet: Callable[..., Context],
    kubernetes: FakeKubernetes,
    tmp_path: Path,
) -> None:
    """It undoes what it found elsewhere; that nothing is left, it does not say."""
    gone = absent("127.10.0.11")
    here = wallet(toxiproxies=[gone, toxiproxy.url])
    faults(here, toxiproxy, kubernetes)
    lock.release(here.run, here.environment)
    environment = written(here, tmp_path)
    ended = holdfast("undo", "--all-mine", "--runs", tmp_path / "none", "-e", environment)
    assert ended.code == 5
    assert f"error: {gone}" in ended.stderr
    assert clean(toxiproxy, kubernetes)


@pytest.mark.parametrize("arguments", [["undo"], ["undo", "runs", "--all-mine"]])
def test_undo_needs_one_thing_to_undo(arguments: list[str]) -> None:
    assert "a run's folder, or --all-mine" in refused(2, *arguments)


def test_the_lever_from_the_command_line(
    make_here: Callable[..., Context], kubernetes: FakeKubernetes, tmp_path: Path
) -> None:
    here = make_here()
    environment = written(here, tmp_path)
    ended = holdfast("stop", "-e", environment, "--reason", "incident 4711")
    assert ended.code == 0
    assert f"stopped: {here.run.id} " in ended.stdout
    assert kubernetes.leases["holdfast"]["metadata"]["annotations"] == {marks.STOP: "incident 4711"}
    words = refused(2, "stop", "-e", environment, "--reason", "")
    assert "Write who needs it, and why" in words
    assert kubernetes.leases["holdfast"]["metadata"]["annotations"] == {marks.STOP: "incident 4711"}
    lifted = holdfast("stop", "-e", environment, "--lift", "--reason", "over")
    assert (lifted.code, lifted.stdout) == (0, "work may begin again\n")
    assert kubernetes.leases["holdfast"]["metadata"]["annotations"] == {}
