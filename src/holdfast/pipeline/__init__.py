"""Plan → run → collect → judge → report, each step from the files of the one before it."""

from collections.abc import Callable
from pathlib import Path

from holdfast import budget, calibration, collect, context
from holdfast import run as runner
from holdfast.context import Context
from holdfast.errors import HoldfastError, InvalidInput
from holdfast.judge import judge
from holdfast.pipeline import story
from holdfast.plan import Plan
from holdfast.reports import junit, page, summary
from holdfast.reports.record import Report
from holdfast.run import Tell
from holdfast.store import write_whole
from holdfast.verdict import Verdict

__all__ = ["conclude", "cost", "recollect", "rejudge", "rereport", "run"]


def run(plan: Plan, root: Path, tell: Tell) -> Report:
    """Run a plan to its report."""
    here = runner.run(plan, root, tell)
    if plan.calibration:
        here.run.write_json(calibration.FILE, plan.calibration)
    tell("collect, judge, report", 5)
    report = conclude(here)
    if not plan.control:
        _book(root, report, tell)
    return report


def _book(root: Path, report: Report, tell: Tell) -> None:
    """Book what the run has cost; a ledger that cannot be written changes no verdict."""
    seconds, measured = cost(report)
    try:
        budget.book(
            root,
            {
                "experiment": report.experiment,
                "run": report.folder,
                "environment": report.environment,
                "exit_code": report.exit_code,
                "bad_seconds": seconds,
                "measured": measured,
            },
        )
    except (HoldfastError, OSError) as error:
        tell(f"the error budget was not booked: {error}", 0)


def cost(report: Report) -> tuple[float, bool]:
    """Bad seconds that the run has cost customers, and whether they were measured for sure.

    Where nothing was measured, customers may have been without service until the run's end.
    """
    if report.fault is None:
        return 0.0, True
    for one in report.observations:
        if one.name == "bad-seconds" and isinstance(one.value, float):
            named = [found for found in report.findings if one.name in found.observations]
            return one.value, all(found.verdict is not Verdict.UNKNOWN for found in named)
    return max(0.0, (report.ended - report.origin).total_seconds() - report.fault.start_s), False


def conclude(here: Context) -> Report:
    """Ask for what a run that has just ended did not keep by itself, judge and report."""
    return _conclude(here, collect.series)


def recollect(here: Context) -> Report:
    """Ask every system again for its records of this run, judge and report.

    Raises:
        InvalidInput: what the run left is not as it was when it was judged.
    """
    return _conclude(_unchanged(here), collect.collect)


def rejudge(folder: Path) -> Report:
    """Judge a run again from its folder, offline; the findings are the same each time.

    Raises:
        InvalidInput: what the run left is not as it was when it was judged.
    """
    return _conclude(_unchanged(context.of({context.KEY: str(folder)})))


def _unchanged(here: Context) -> Context:
    here.run.check_manifest()
    return here


def rereport(folder: Path) -> Report:
    """Render the report of a run again, offline."""
    return rejudge(folder)


def _conclude(here: Context, ask: Callable[[Context], None] | None = None) -> Report:
    plan = here.plan()
    if "objectives" not in plan:
        raise InvalidInput(
            str(here.run.folder), "a plain `chaos run` gives no verdict", "Use `holdfast run`"
        )
    promised = plan["extension"]["objectives"]
    if not plan.get("control") and sorted(plan["objectives"]) != sorted(promised):
        raise InvalidInput(
            str(here.run.path("plan.json")),
            f"it promises {', '.join(promised)} and judges {', '.join(plan['objectives'])}",
            "Do not trust this run",
        )
    if ask:
        ask(here)
    record = here.run.record()
    judgement = judge(record)
    here.run.write_json("observations.json", judgement.observations)
    here.run.write_json("findings.json", judgement.findings)
    report = story.tell(record, judgement, here.run.folder)
    write_whole(here.run.path("report.html"), page.render(report))
    write_whole(here.run.path("summary.md"), summary.render(report))
    write_whole(here.run.path("junit.xml"), junit.render(report))
    here.run.write_manifest()
    return report
