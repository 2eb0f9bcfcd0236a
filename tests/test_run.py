"""A run as a whole, where it cannot go on: what it took is given back, and what it started ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import run
from holdfast.clock import until
from holdfast.errors import Unreachable
from holdfast.store import Run
from tests.fakes import FakeKubernetes, FakePrometheus
from tests.plan_case import Here, everything


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    """What a plan needs."""
    with everything(kubernetes, prometheus, tmp_path) as it:
        yield it


def customers(folder: Path) -> list[Path]:
    """The processes of customers for runs in that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes() if path.exists() else b""
        if b"holdfast.load" in words and bytes(folder) in words:
            found.append(path)
    return found


def phases(runs: Path) -> list[str]:
    """The phases that the one run there has begun."""
    (events,) = runs.rglob("events.jsonl")
    found = Run(events.parent).records(events.name)
    return [one["name"] for one in found if one["event"] == "phase"]


def test_where_nobody_would_watch_nothing_is_kept_and_nothing_sent(here: Here) -> None:
    """The lock would be kept for 15 s, and customers would send until this process ends."""
    plan, runs = here.read(), here.folder / "runs"

    def before(method: str, path: str) -> None:
        if "leases" in path and method in ("POST", "PUT"):
            next(runs.rglob("plan.json")).write_text("{")

    here.kubernetes.before = before
    with pytest.raises(Unreachable, match="the watchdog"):
        run.run(plan, runs, lambda _words, _seconds: None)
    assert here.kubernetes.leases["holdfast"]["spec"]["holderIdentity"] is None
    assert phases(runs) == ["before"], "customers were sending, and nothing else had begun"
    assert until(lambda: not customers(runs), seconds=2)


def test_customers_whose_phase_cannot_be_written_down_end(here: Here) -> None:
    plan, runs = here.read(), here.folder / "runs"

    def before(method: str, path: str) -> None:
        if "leases" in path and method in ("POST", "PUT"):
            events = next(runs.rglob("events.jsonl"))
            events.rename(events.with_suffix(".away"))
            events.mkdir()

    here.kubernetes.before = before
    with pytest.raises(IsADirectoryError):
        run.run(plan, runs, lambda _words, _seconds: None)
    assert [*runs.rglob("load_plan.json")], "customers were started"
    assert until(lambda: not customers(runs), seconds=2)
