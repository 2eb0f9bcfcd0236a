"""JUnit XML for a CI system: one case per promise; what could not be decided is an error."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from holdfast.reports.outline import Row, exit_meaning, rows, verdict_word
from holdfast.reports.quantity import shown
from holdfast.reports.record import Report
from holdfast.reports.words import say
from holdfast.verdict import Verdict

_KIND = {Verdict.BROKEN: "failure", Verdict.UNKNOWN: "error"}


def render(report: Report) -> str:
    """One suite. A run that is not a pass never gives a suite that looks like one."""
    suite = Element("testsuite", name=shown(report.experiment, 200))
    properties = SubElement(suite, "properties")
    for name, value in _properties(report):
        SubElement(properties, "property", name=name, value=value)
    for name, row in _named(rows(report)):
        _case(suite, report, name, row)
    if not report.findings or (report.exit_code and not _flagged(suite)):
        case = SubElement(suite, "testcase", classname=suite.get("name", ""), name=say("junit.run"))
        SubElement(case, "error", type=f"exit-{report.exit_code}", message=exit_meaning(report))
    _count(suite, report)
    whole = Element("testsuites")
    whole.append(suite)
    indent(whole)
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + tostring(whole, encoding="unicode") + "\n"


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "run_id", shown(report.run_id, 200)
    yield "run_folder", shown(report.folder)
    yield "environment", shown(report.environment, 200)
    if report.control:
        yield "control", shown(report.control, 200)
    yield "verdict", report.verdict
    yield "exit_code", str(report.exit_code)


def _named(found: list[Row]) -> Iterator[tuple[str, Row]]:
    """Each row under a name of its own: duplicates are dropped by some CI systems."""
    taken: set[str] = set()
    for row in found:
        plain = name = say("junit.case", objective=row.objective, promise=row.promise)
        number = 1
        while name in taken:
            number += 1
            name = say("junit.again", name=plain, number=number)
        taken.add(name)
        yield name, row


def _case(suite: Element, report: Report, name: str, row: Row) -> None:
    case = SubElement(suite, "testcase", classname=shown(report.experiment, 200), name=name)
    evidence = say("junit.evidence", measured=row.measured)
    if row.verdict in _KIND:
        message = say("labelled", label=verdict_word(row.verdict), value=row.why)
        flag = SubElement(case, _KIND[row.verdict], type=row.verdict.value, message=message)
        flag.text = evidence
    else:
        SubElement(case, "system-out").text = evidence


def _flagged(suite: Element) -> bool:
    return any(suite.findall(f"testcase/{kind}") for kind in _KIND.values())


def _count(suite: Element, report: Report) -> None:
    length = max(0.0, (report.ended - report.started).total_seconds())
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", "0")
    suite.set("time", f"{length:.3f}")
    suite.set("timestamp", report.started.strftime("%Y-%m-%dT%H:%M:%S"))
