"""What this machine can measure, and the plans that it cannot."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.calibration import FILE, Calibration, check, machine, measure, read, write
from holdfast.clock import wall_ns
from holdfast.documents import read_environment
from holdfast.errors import InvalidInput, Refused, Unreachable
from holdfast.prometheus import Prometheus
from tests.fakes import FakeKubernetes, FakePrometheus, absent, serving
from tests.plan_case import HOST, Here, everything
from tests.test_cli import holdfast
from tests.test_documents import changed

pytestmark = pytest.mark.integration

GOOD = Calibration(
    machine=machine(),
    taken_wall_ns=wall_ns(),
    rate=200.0,
    requests=2000,
    lateness_ms={"p50": 0.05, "p99": 0.3, "p99_9": 1.2, "max": 2.0},
    overhead_ms={"p50": 0.4, "p99": 0.9},
    timer_ms={"p50": 0.06, "p99": 0.2},
    cpu_us_per_request=90.0,
    clock_offset_ms=1.5,
    clock_error_ms=1.2,
    clock_why="",
)
LATE = replace(GOOD, lateness_ms={"p50": 1.0, "p99": 80.0, "p99_9": 90.0, "max": 99.0})


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    with everything(kubernetes, prometheus, tmp_path) as found:
        yield found


# ── what a plan is told ───────────────────────────────────────────────────────────────────────────


def test_a_good_machine() -> None:
    assert check(GOOD, 100.0) == "late by 0.3 ms (p99) at 200/s, clocks within 2.7 ms"


def test_a_machine_that_is_late_cannot_measure() -> None:
    with pytest.raises(Refused, match=r"its load is 80 ms late \(p99\) at 200/s, 50 allowed"):
        check(LATE, 200.0)


def test_late_at_a_higher_rate_says_nothing_of_a_lower_one() -> None:
    assert "late by 80 ms (p99) at 200/s" in check(LATE, 100.0)


def test_clocks_that_are_too_far_apart() -> None:
    for offset in (260.0, -249.5):
        with pytest.raises(Refused, match="its clock may be 2"):
            check(replace(GOOD, clock_offset_ms=offset), 100.0)


def test_a_rate_that_was_not_tried_is_said() -> None:
    assert check(GOOD, 900.5).endswith("900.5/s was not tried: `holdfast calibrate --rate 901/s`")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "this machine was not calibrated. Run `holdfast calibrate`"),
        (replace(LATE, machine="another"), "another machine's (another)"),
        (replace(LATE, taken_wall_ns=wall_ns() - 40 * 86_400 * 10**9), "40 days old"),
    ],
)
def test_what_does_not_speak_of_this_machine_now_decides_nothing(
    found: Calibration | None, words: str
) -> None:
    assert words in check(found, 200.0)


def test_a_clock_that_could_not_be_asked_is_said() -> None:
    assert "clocks not compared" in check(replace(GOOD, clock_offset_ms=None), 100.0)


def test_plan_refuses_what_this_machine_cannot_measure(here: Here) -> None:
    runs = here.folder / "runs"
    write(runs, LATE)
    arguments = (here.path("slow-gateway"), "-e", here.environment, "--runs", runs)
    write(runs, replace(LATE, rate=100.0))
    for command in ("plan", "run"):
        ended = holdfast(command, *arguments)
        assert ended.code == 6
        assert "its load is 80 ms late (p99) at 100/s" in ended.stderr
    assert [one.name for one in runs.iterdir()] == [FILE]


def test_plan_without_a_calibration_says_so(here: Here, tmp_path: Path) -> None:
    empty = tmp_path / "runs"
    ended = holdfast("plan", here.path("slow-gateway"), "-e", here.environment, "--runs", empty)
    assert ended.code == 0
    assert "this machine was not calibrated" in " ".join(ended.stdout.split())


def test_a_damaged_calibration_is_refused(tmp_path: Path) -> None:
    for content in ("{", "{}", '{"machine": 1}', "[]"):
        (tmp_path / FILE).write_text(content)
        with pytest.raises(InvalidInput, match="Run `holdfast calibrate` again"):
            read(tmp_path)


def test_it_is_kept_as_it_was_measured(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert read(tmp_path) == GOOD
    assert read(tmp_path / "elsewhere") is None


# ── measuring ─────────────────────────────────────────────────────────────────────────────────────


def clock_of(ahead_s: float) -> object:
    def answer(method: str, target: str, _: object) -> tuple[int, dict[str, object]]:
        assert (method, target) == ("GET", "/api/v1/query?query=time%28%29")
        now = wall_ns() / 1e9 + ahead_s
        result = [now, f"{now:.3f}"]
        return 200, {"status": "success", "data": {"resultType": "scalar", "result": result}}

    return answer


@pytest.mark.parametrize("ahead_s", [0.4, -3.0])
def test_the_offset_of_a_clock_is_within_its_error(here: Here, ahead_s: float) -> None:
    """A Prometheus whose clock is known to be ahead, or behind."""
    with serving(HOST, clock_of(ahead_s)) as url:  # type: ignore[arg-type]
        here.document = changed(here.document, "prometheus.url", url)
        found = measure(read_environment(here.environment), 50.0, 0.5, lambda *_: None)
    assert found.clock_offset_ms is not None
    assert found.clock_error_ms is not None
    assert abs(found.clock_offset_ms - 1000 * ahead_s) <= found.clock_error_ms
    assert found.clock_error_ms < 20


def test_every_request_of_the_null_load_is_counted(here: Here) -> None:
    url = absent(HOST)
    here.document = changed(here.document, "prometheus.url", url)
    found = measure(read_environment(here.environment), 100.0, 1.0, lambda *_: None)
    assert 50 <= found.requests <= 120
    assert 0 < found.overhead_ms["p50"] <= found.overhead_ms["p99"]
    assert found.timer_ms["p50"] > 0
    assert found.clock_bound_ms is None
    assert url in found.clock_why


def test_calibrate_prints_and_keeps_what_it_found(here: Here) -> None:
    here.document = changed(here.document, "prometheus.url", absent(HOST))
    runs = here.folder / "runs"
    arguments = ("-e", here.environment, "--runs", runs, "--rate", "50/s", "--for", "500ms")
    ended = holdfast("calibrate", *arguments)
    assert ended.code == 0, ended
    assert "lateness at 50/s: p50 " in ended.stdout
    assert "clock: not compared: " in ended.stdout
    found = json.loads(holdfast("calibrate", *arguments, "--json").stdout)
    assert found["rate"] == 50.0
    kept = read(runs)
    assert kept
    assert kept.requests == found["requests"]


@pytest.mark.parametrize("wrong", [["--rate", "50"], ["--for", "soon"]])
def test_numbers_without_a_unit(here: Here, wrong: list[str]) -> None:
    ended = holdfast("calibrate", "-e", here.environment, *wrong)
    assert ended.code == 2
    assert "is not a" in ended.stderr


@pytest.mark.parametrize("data", [{}, [], {"result": []}, {"result": [1, "soon"]}])
def test_what_is_no_time_is_no_clock(data: object) -> None:
    def answer(*_: object) -> tuple[int, dict[str, object]]:
        return 200, {"status": "success", "data": data}

    with (
        serving(HOST, answer) as url,
        pytest.raises(Unreachable, match="it does not tell the time"),
    ):
        Prometheus(url).now()
