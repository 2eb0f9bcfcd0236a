"""The report as one page: no script, nothing fetched, readable as long as there are browsers."""

from datetime import timedelta
from functools import cache
from importlib.resources import files
from shlex import quote

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from holdfast.reports import outline
from holdfast.reports.charts import charts
from holdfast.reports.figure import Table
from holdfast.reports.quantity import instant, measured, number, seconds, shown, utc
from holdfast.reports.record import Fault, Report
from holdfast.reports.words import say
from holdfast.verdict import Verdict

_REMAINS = 5


def render(report: Report) -> str:
    """The whole page; the same report gives the same bytes."""
    zero = report.fault.start_s if report.fault else 0.0
    return _template().render(
        report=report,
        headline=outline.headline(report),
        exit_meaning=outline.exit_meaning(report),
        alert=_alert(report),
        rows=outline.rows(report),
        facts=_facts(report),
        phases=_phases(report, zero),
        timeline=_timeline(report, zero),
        charts=charts(report),
        observations=_observations(report),
        versions=_versions(report),
    )


@cache
def _template() -> Template:
    folder = files("holdfast.reports")
    jinja = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (folder / "report.css").read_text("utf-8")
    jinja.globals |= {
        "say": say,
        "shown": shown,
        "proof": _proof,
        "word": outline.verdict_word,
        "Verdict": Verdict,
        "style": Markup(style),  # noqa: S704 (a file of this package)
    }
    return jinja.from_string((folder / "report.html").read_text("utf-8"))


def _alert(report: Report) -> str:
    """What to do at once when a fault may remain; empty when there is nothing to do."""
    if report.exit_code != _REMAINS:
        return ""
    return say("alert.remains", command=f"holdfast undo {quote(shown(report.folder))}")


def _proof(shown_: bool | None) -> str:
    if shown_ is None:
        return say("proof.none")
    return say("proof.yes" if shown_ else "proof.no")


def _facts(report: Report) -> list[tuple[str, str]]:
    """The run in pairs of a term and what it stands for."""
    facts = {
        "experiment": shown(report.experiment),
        "run": shown(report.run_id),
        "environment": shown(report.environment),
        "started": instant(report.started),
        "ended": instant(report.ended),
        "folder": shown(report.folder),
        "fault": shown(report.fault.kind) if report.fault else say("facts.nofault"),
    }
    if report.fault:
        facts["targets"] = shown(report.fault.targets)
        facts["asked"] = shown(report.fault.asked)
        facts["held"] = _in_place(report, report.fault)
    return [(say(f"facts.{term}"), words) for term, words in facts.items() if words]


def _in_place(report: Report, fault: Fault) -> str:
    start = utc(report.origin + timedelta(seconds=fault.start_s))
    if not fault.reversible:
        return say("facts.held.instant", start=start)
    if fault.end_s is None:
        return say("facts.held.open", start=start)
    end = utc(report.origin + timedelta(seconds=fault.end_s))
    return say(
        "facts.held.from", seconds=seconds(fault.end_s - fault.start_s), start=start, end=end
    )


def _phases(report: Report, zero: float) -> Table:
    rows = tuple(
        (shown(one.name, 60), number(one.start_s - zero, 1), number(one.end_s - zero, 1))
        for one in report.phases
    )
    head = (say("phases.name"), say("phases.from"), say("phases.to"))
    return Table(say("phases.caption"), head, rows)


def _timeline(report: Report, zero: float) -> Table:
    rows = tuple(
        (
            number((one.at - report.origin).total_seconds() - zero, 1),
            utc(one.at),
            shown(one.text),
        )
        for one in sorted(report.timeline, key=lambda one: one.at)
    )
    since = say("chart.axis.fault" if report.fault else "chart.axis.start")
    head = (since, say("chart.utc"), say("timeline.what"))
    return Table(say("timeline.caption"), head, rows)


def _observations(report: Report) -> Table:
    rows = tuple(
        (
            outline.label(one.name),
            measured(one),
            number(one.samples),
            say("semicolon").join(filter(None, (shown(one.source), shown(one.why)))),
        )
        for one in report.observations
    )
    terms = ("name", "value", "samples", "source")
    head = tuple(say(f"observations.{term}") for term in terms)
    return Table(say("observations.caption"), head, rows)


def _versions(report: Report) -> Table:
    rows = tuple(
        (shown(part, 100), shown(version, 200)) for part, version in sorted(report.versions.items())
    )
    head = (say("versions.part"), say("versions.version"))
    return Table(say("versions.caption"), head, rows)
