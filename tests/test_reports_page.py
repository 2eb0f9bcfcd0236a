"""The page: what it says first, that nothing in it can act, and that no chart stands alone."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from holdfast.reports import page
from holdfast.reports.charts import charts
from holdfast.reports.record import Bin, Fault, LatencyBin, ShareBin
from holdfast.verdict import Verdict
from tests.report_story import FINDINGS, HOSTILE, story

HTML = page.render(story())
VOID = {"meta", "link", "br", "hr", "img"}


class Page(HTMLParser):
    """Reads a page: every element with its attributes, all text, and whether elements nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_same_report_gives_the_same_bytes() -> None:
    assert page.render(story()) == HTML


def test_every_element_is_closed_in_order() -> None:
    assert Page(HTML).open == []


def test_the_verdict_stands_first_as_a_word_and_a_sentence() -> None:
    text = Page(HTML).text
    body = text[text.index("holdfast report The primary") :]
    assert body.startswith(
        "holdfast report The primary PIX gateway turns slow and the backup carries the transfers "
        "✗ broken 2 of 6 promises broken: recovery and failover. 2 could not be decided. "
        "Exit code 1: at least one promise is broken."
    )


def test_promises_are_told_broken_unknown_held_and_each_verdict_is_a_word() -> None:
    text = Page(HTML).text
    table = text[text.index("Promise, and why") : text.index("Did the fault really happen?")]
    words = [w for w in table.split() if w in ("broken", "unknown", "held")]
    assert words[:3] == ["broken", "broken", "unknown"]
    assert words[-1] == "held"
    assert "✗ broken recovery back in under 1 minute" in table.replace("· ", "")
    assert "> 76 s recovery" in table
    assert "2.31–3.31 s time to open" in table  # noqa: RUF001 (an interval is printed with a dash)


def test_nothing_is_fetched_and_nothing_is_run() -> None:
    html = page.render(story(title=f"https://example.invalid/{HOSTILE}"))
    parsed = Page(html)
    assert "<script" not in html.lower()
    assert not parsed.all("script") + parsed.all("link") + parsed.all("img") + parsed.all("iframe")
    for tag, attributes in parsed.elements:
        assert not {"src", "href", "xlink:href", "action", "data"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
    style = html[html.index("<style>") : html.index("</style>")]
    assert "@import" not in style
    assert "http" not in style
    assert set(style.split("url(")[1:]) == {s for s in style.split("url(")[1:] if s[0] == "#"}


def test_the_policy_forbids_everything_but_style_and_inline_images() -> None:
    policies = [
        meta["content"]
        for meta in Page(HTML).all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    (policy,) = policies
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@pytest.mark.row(41)
def test_hostile_strings_are_printed_and_do_nothing() -> None:
    report = story(
        title=HOSTILE,
        experiment=HOSTILE,
        environment=HOSTILE,
        run_id=HOSTILE,
        folder=HOSTILE,
        fault=Fault(HOSTILE, HOSTILE, HOSTILE, 60.0, 136.0),
        commands=(HOSTILE,),
        versions={HOSTILE: HOSTILE},
        findings=tuple(replace(one, objective=HOSTILE, promise=HOSTILE) for one in FINDINGS),
        gateway_share=(ShareBin(0.0, {HOSTILE: 1.0}),),
        latency=(LatencyBin(0.0, HOSTILE, 0.1, 0.2, 0.3),),
        breakers=tuple(
            replace(one, gateway=HOSTILE, pod=HOSTILE, state=HOSTILE)
            for one in story().breakers[:2]
        ),
    )
    html = page.render(report)
    assert "<script" not in html.lower()
    assert not {"\x1b", "\u202e"} & set(html)
    told = r"<script>alert('x')</script>|\x1b[31mred\x1b[0m\n# top \u202egnp.exe {{ 7*7 }}"
    assert told in Page(html).text
    assert Page(html).open == []


@pytest.mark.parametrize("chart", charts(story()), ids=lambda chart: chart.id)
def test_every_chart_has_alternative_text_values_and_a_table(chart: object) -> None:
    name = chart.id  # type: ignore[attr-defined]
    figure = HTML[HTML.index(f'<figure id="{name}">') :]
    parsed = Page(figure[: figure.index("</figure>") + len("</figure>")])
    drawing = next(one for one in parsed.all("svg") if one.get("role") == "img")
    assert drawing["aria-labelledby"] == f"{name}-title {name}-words"
    assert {"id": f"{name}-title"} in parsed.all("title")
    assert {"id": f"{name}-words"} in parsed.all("desc")
    assert len(parsed.all("figcaption")) == len(parsed.all("table")) == 1
    assert len(parsed.all("caption")) == len(parsed.all("details")) == 1
    assert {one.get("scope") for one in parsed.all("th")} == {"col", "row"}


def test_the_charts_are_these() -> None:
    assert [chart.id for chart in charts(story())] == [
        "requests",
        "latency-1",
        "latency-2",
        "breakers",
        "zones",
        "gateways",
    ]


def test_captions_carry_the_key_values() -> None:
    captions = {chart.id: chart.caption for chart in charts(story())}
    assert captions["requests"] == (
        "19,447 good and 153 bad requests. "
        "Bad ones were scheduled from 1.0 to 78.0 s; at most 60 in one second."
    )
    assert captions["latency-1"].startswith("Slowest request: 10.1 s, scheduled at 0.0 s.")
    assert captions["breakers"] == (
        "pix-backup stayed closed in all 3 pods. pix-primary opened in 3 of 3 pods, first at 2.4 s."
    )
    assert "ted: 20 % before the fault, 20 % during it and 20 % after it." in captions["gateways"]


def test_a_table_counts_from_the_fault_and_tells_utc() -> None:
    requests = charts(story())[0].table
    assert requests is not None
    assert requests.head == ("Seconds from the fault", "UTC", "Good", "Bad")
    assert requests.rows[0] == ("−60.0", "14:04:00.250", "100", "0")  # noqa: RUF001 (minus sign)
    assert requests.rows[62] == ("2.0", "14:05:02.250", "42", "58")


def test_a_second_without_traffic_is_told_as_such_and_not_drawn() -> None:
    gateways = charts(story())[-1]
    assert gateways.table is not None
    assert gateways.table.rows[101][2:] == ("no traffic", "no traffic", "no traffic")


def test_a_line_breaks_where_seconds_are_missing() -> None:
    balance = charts(story())[2].picture or ""
    median = balance[balance.index('class="p50" d="') :].split('"')[3]
    assert median.count("M") == 2


def test_the_smallest_number_of_bad_requests_is_visible() -> None:
    bins = (Bin(0.0, 100, 0), Bin(1.0, 99, 1), Bin(2.0, 0, 5000))
    picture = charts(story(requests=bins, phases=(), fault=None))[0].picture or ""
    heights = [part.split('"')[0] for part in picture.split('class="bar bad"')[1:]]
    assert len(heights) == 2
    assert 'height="2.0"' in picture


def test_what_was_not_recorded_is_said_and_not_hidden() -> None:
    report = story(
        requests=(), latency=(), limits=(), breakers=(), zone_share=(), gateway_share=(), witness=()
    )
    text = Page(page.render(report)).text
    assert text.count("No numbers were recorded for this chart.") == 4
    assert "No proof was recorded, so nothing can be held." in text


def test_a_run_that_was_stopped_before_anything_is_not_called_a_pass() -> None:
    empty = story(
        exit_code=4, verdict=Verdict.UNKNOWN, findings=(), observations=(), fault=None, phases=()
    )
    text = Page(page.render(empty)).text
    assert "? unknown The run was aborted. No promise was judged. Exit code 4:" in text


def test_a_fault_that_may_remain_is_told_first_with_the_command_that_ends_it() -> None:
    fault = replace(story().fault or Fault("", "", "", 0.0), end_s=None)
    report = story(exit_code=5, fault=fault, folder="runs/x y/1")
    text = Page(page.render(report)).text
    assert "✗ broken A fault may remain in place. 2 of 6 promises broken" in text
    assert "Look at the targets now. Then run: holdfast undo 'runs/x y/1'" in text
    assert "Shaded: the fault is in place, from 0 s on; no undo is recorded." in text
    assert "no undo is recorded" in text


def test_a_kill_is_an_instant_and_shades_nothing() -> None:
    killed = Fault("pods.kill", "wallet-api-6d5f9c7b8-4xk2p", "grace 0 s", 60.0, None, False)
    html = page.render(story(fault=killed))
    assert 'class="shade"' not in html
    assert 'class="undo"' not in html
    assert "at 14:05:00.250 UTC; cannot be undone, only recovered from" in Page(html).text
