"""Numbers, headlines, and the three documents that are plain text."""
# ruff: noqa: RUF001 (intervals are printed with a dash, and negative numbers with a minus sign)

import io
import json
import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from holdfast.model import Finding, Interval, Observation
from holdfast.reports import junit, summary, terminal
from holdfast.reports.outline import headline, rows
from holdfast.reports.quantity import quantity, shown
from holdfast.reports.record import Proof
from holdfast.verdict import Verdict
from tests.report_story import FINDINGS, HOSTILE, story

HELD = tuple(replace(one, verdict=Verdict.HELD) for one in FINDINGS)
SHOWN = tuple(Proof(name, True, "seen") for name in ("exposed", "struck", "lasting"))


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (Interval(0.91, 1.02), "s", "0.91–1.02 s"),
        (Interval(0.9149, 1.0151), "s", "0.91–1.02 s"),
        (Interval(59.96, 60.04), "s", "59.9–60.1 s"),
        (Interval(1.02, 1.02), "s", "1.02–1.02 s"),
        (Interval(90, math.inf), "s", "> 90 s"),
        (Interval(90.46, math.inf), "s", "> 90.4 s"),
        (Interval(0.9988, 1.0), "ratio", "99.880–100.000 %"),
        (0.99999, "ratio", "99.999 %"),
        (1.0, "share", "100 %"),
        (0.00001, "share", "0.001 %"),
        (15768.0, "s", "15,768 s"),
        (-3.0, "cents", "−3 cents"),
        (1e300, "", "1" + ",000" * 100),
        (None, "s", "unknown"),
        (math.nan, "s", "unknown"),
        (math.inf, "s", "unknown"),
        (Interval(math.nan, 1), "s", "unknown"),
    ],
)
def test_a_quantity_never_claims_more_than_was_measured(
    value: float | Interval | None, unit: str, told: str
) -> None:
    assert quantity(value, unit) == told


def test_characters_that_act_become_visible() -> None:
    assert shown("a\nb\x00\x1b[31m\u202e\u200b\u2028\ud800\ufffe") == (
        r"a\nb\x00\x1b[31m\u202e\u200b\u2028\ud800\ufffe"
    )
    assert shown("São Paulo – 中文 ✓") == "São Paulo – 中文 ✓"
    assert shown("x" * 50, 10) == "xxxxxxxxx…"


def test_the_broken_promise_that_missed_by_most_comes_first() -> None:
    far = Finding("far", "under 1 s", Verdict.BROKEN, "why", ("far",))
    near = Finding("near", "under 1 s", Verdict.BROKEN, "why", ("near",))
    objective = story().objectives[0]
    report = story(
        findings=(near, far),
        observations=(Observation("near", 1.1, "s", "x"), Observation("far", 9.0, "s", "x")),
        objectives=(
            replace(objective, name="near", limit=1.0),
            replace(objective, name="far", limit=1.0),
        ),
    )
    assert [row.objective for row in rows(report)] == ["far", "near"]


def test_within_one_verdict_the_order_of_the_findings_stays() -> None:
    assert [row.objective for row in rows(story())] == [
        "recovery",
        "failover",
        "success",
        "audit log",
        "money",
        "balance-latency",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"findings": HELD, "exit_code": 0, "verdict": Verdict.HELD}, "All 6 promises held."),
        ({"findings": HELD[:1], "exit_code": 0, "verdict": Verdict.HELD}, "The one promise held."),
        (
            {"findings": HELD, "exit_code": 3, "verdict": Verdict.UNKNOWN},
            "The promises that were judged held, yet the run is not a pass.",
        ),
        (
            {"findings": (HELD[0], FINDINGS[2]), "exit_code": 3, "witness": SHOWN},
            "Nothing is known to be broken, but 1 of 2 promises could not be decided.",
        ),
        (
            {"findings": (HELD[0], FINDINGS[2]), "exit_code": 3},
            "The fault was not shown to have happened, so nothing is known.",
        ),
        ({"findings": (), "exit_code": 6}, "The run was refused. No promise was judged."),
        (
            {"findings": FINDINGS[:2], "exit_code": 4},
            "The run was aborted. 1 of 2 promises broken: recovery.",
        ),
    ],
)
def test_the_headline_is_never_better_than_the_run(changes: dict[str, object], told: str) -> None:
    assert headline(story(**changes)) == told


def suite(xml: str) -> ET.Element:
    found = ET.fromstring(xml.encode()).find("testsuite")
    assert found is not None
    return found


def test_junit_has_a_case_per_promise_and_unknown_is_an_error() -> None:
    found = suite(junit.render(story()))
    counts = {name: found.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "2", "errors": "2", "skipped": "0"}
    flags = {
        str(case.get("name")).split(":")[0]: [child.tag for child in case]
        for case in found.iter("testcase")
    }
    assert flags == {
        "recovery": ["failure"],
        "failover": ["failure"],
        "success": ["error"],
        "audit log": ["error"],
        "money": ["system-out"],
        "balance-latency": ["system-out"],
    }
    assert not list(found.iter("skipped"))


def test_junit_names_the_run_and_the_experiment() -> None:
    found = suite(junit.render(story()))
    assert found.get("name") == "slow-gateway.yaml"
    properties = {one.get("name"): one.get("value") for one in found.iter("property")}
    assert properties["run_id"] == "9f31c02ab7de"
    assert properties["exit_code"] == "1"


def test_junit_says_why_and_what_was_measured() -> None:
    failure = next(suite(junit.render(story())).iter("failure"))
    assert failure.get("message") == (
        "✗ broken: Customers had not recovered within the 76 s before the undo began; "
        "the end of the outage was ours."
    )
    assert failure.text == "measured: > 76 s"


def test_junit_names_are_unique_and_hostile_characters_are_gone() -> None:
    twice = Finding(HOSTILE, "\x00\ufffe\ud800", Verdict.UNKNOWN, HOSTILE)
    xml = junit.render(story(findings=(twice, twice, twice), experiment=HOSTILE))
    names = [case.get("name") for case in suite(xml).iter("testcase")]
    assert len(set(names)) == 3
    assert names[0] is not None
    assert names[0].endswith(r"[bold]b[/]: \x00\ufffe\ud800")
    assert not {"\x00", "\x1b", "\ufffe", "\u202e"} & set(xml)


@pytest.mark.parametrize("code", [2, 3, 4, 5, 6])
def test_junit_never_passes_a_run_that_did_not(code: int) -> None:
    found = suite(junit.render(story(findings=HELD, exit_code=code)))
    assert found.get("errors") == "1"
    assert found.findall("testcase")[-1].get("name") == "the run itself"


def test_junit_of_nothing_is_an_error() -> None:
    assert suite(junit.render(story(findings=(), exit_code=0))).get("errors") == "1"


def test_the_summary_gives_the_verdict_then_the_worst_then_the_table() -> None:
    lines = summary.render(story()).splitlines()
    assert lines[0] == (
        "## The primary PIX gateway turns slow and the backup carries the transfers: ✗ broken"
    )
    assert lines[4] == r"Worst: recovery, \> 76 s (limit 60 s)."
    assert lines[6] == "| Verdict | Promise | Measured | Why |"
    assert lines[8] == (
        r"| ✗ broken | recovery: back in under 1 minute | \> 76 s | Customers had not recovered "
        "within the 76 s before the undo began; the end of the outage was ours. |"
    )


def test_hostile_strings_cannot_break_the_table_of_the_summary() -> None:
    hostile = Finding(HOSTILE, HOSTILE, Verdict.UNKNOWN, f"{HOSTILE} ![x](https://x.invalid) @all")
    text = summary.render(story(findings=(hostile,), title=HOSTILE))
    row = next(line for line in text.splitlines() if line.startswith("| ?"))
    assert row.replace(r"\|", "").count("|") == 5
    assert r"\<script\>" in row
    assert r"\!\[x\](https\://x.invalid) \@all" in row
    assert not {"\x1b", "\u202e"} & set(text)


def test_the_summary_stays_small_and_says_what_it_left_out() -> None:
    many = tuple(replace(FINDINGS[1], why="|" * 5000) for _ in range(2000))
    text = summary.render(story(findings=many))
    assert len(text.encode()) < 200_000
    assert "more promises are left out here; see the report." in text


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_table_fits_and_tells_everything(width: int) -> None:
    file = io.StringIO()
    terminal.show(story(), file, where="runs/x/report.html", width=width)
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    for word in ("✗ broken", "? unknown", "✓ held", "> 76 s", "2.31–3.31 s"):
        assert word in text
    assert text.endswith(
        "Overall: ✗ broken\n"
        "2 of 6 promises broken: recovery and failover. 2 could not be decided.\n"
        "Exit code 1: at least one promise is broken.\n"
        "Report: runs/x/report.html\n"
    )


def test_a_file_gets_plain_text_of_a_fixed_width() -> None:
    file = io.StringIO()
    terminal.show(story(), file, where="report.html")
    assert "\x1b" not in file.getvalue()
    assert max(map(len, file.getvalue().splitlines())) <= 120


@pytest.mark.row(41)
def test_hostile_strings_neither_colour_nor_leave_the_terminal() -> None:
    file = Terminal()
    report = story(title=HOSTILE, findings=(Finding(HOSTILE, HOSTILE, Verdict.UNKNOWN, HOSTILE),))
    terminal.show(report, file, where=HOSTILE, width=80)
    assert "\x1b[31m" not in file.getvalue()
    assert "\u202e" not in file.getvalue()
    assert r"\x1b[31mred\x1b[0m\n" in file.getvalue()
    assert "[bold]b[/]" in file.getvalue()


def test_a_terminal_that_lacks_letters_still_gets_the_verdict() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    terminal.show(story(), file, where="report.html", width=80)
    file.flush()
    assert b"? broken" in raw.getvalue()


def test_every_document_is_the_same_for_the_same_report() -> None:
    for render in (junit.render, summary.render):
        assert render(story()) == render(story())


def test_numbers_agree_between_the_documents() -> None:
    told = json.dumps([summary.render(story()), junit.render(story())], ensure_ascii=False)
    for row in rows(story()):
        assert told.count(row.deciding.replace(">", "\\\\>")) >= 1
