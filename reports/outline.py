"""What every document says first: the headline, and the promises in the order of concern."""

import math
from dataclasses import dataclass

from holdfast.model import Finding, Interval, Objective, Observation
from holdfast.reports.quantity import measured, quantity, shown
from holdfast.reports.record import Report
from holdfast.reports.words import listed, say
from holdfast.verdict import Verdict

_ORDER = (Verdict.BROKEN, Verdict.UNKNOWN, Verdict.HELD)
_INTERRUPTED = {4: "headline.aborted", 5: "headline.remains", 6: "headline.refused"}


@dataclass(frozen=True)
class Measure:
    """One measured value, with its label."""

    label: str
    value: str


@dataclass(frozen=True)
class Row:
    """One promise, ready to be printed; the deciding measure comes first."""

    objective: str
    promise: str
    verdict: Verdict
    why: str
    measures: tuple[Measure, ...]
    limit: str = ""
    source: str = ""

    @property
    def word(self) -> str:
        """The verdict as a sign and a word."""
        return verdict_word(self.verdict)

    @property
    def deciding(self) -> str:
        """The value that decided."""
        return self.measures[0].value if self.measures else say("quantity.none")

    @property
    def measured(self) -> str:
        """Every value on one line; labels only where there are several."""
        if len(self.measures) < 2:
            return self.deciding
        labelled = [say("labelled", label=one.label, value=one.value) for one in self.measures]
        return say("semicolon").join(labelled)


def verdict_word(verdict: Verdict) -> str:
    """A sign and a word: colour is never the only bearer."""
    return f"{say(f'sign.{verdict}')} {say(f'verdict.{verdict}')}"


def rows(report: Report) -> list[Row]:
    """Broken, unknown, held; the broken one that missed its limit by most comes first."""
    observations = {one.name: one for one in report.observations}
    objectives = {one.name: one for one in report.objectives}

    def concern(finding: Finding) -> tuple[int, float]:
        miss = 1.0
        if finding.verdict is Verdict.BROKEN and finding.observations:
            first = observations.get(finding.observations[0])
            miss = _miss(first, objectives.get(finding.objective))
        return _ORDER.index(finding.verdict), -miss

    return [
        _row(finding, observations, objectives.get(finding.objective))
        for finding in sorted(report.findings, key=concern)
    ]


def headline(report: Report) -> str:
    """The verdict as one or two sentences, the gravest first."""
    sentences = [say(_INTERRUPTED[report.exit_code])] if report.exit_code in _INTERRUPTED else []
    return say("sentence").join([*sentences, *_judged(report)])


def exit_meaning(report: Report) -> str:
    """What the exit code means."""
    if report.control and report.exit_code == 3 and report.verdict is Verdict.HELD:
        return say("exit", code=report.exit_code, meaning=say("exit.control"))
    known = report.exit_code in range(7)
    meaning = say(f"exit.{report.exit_code}" if known else "exit.other")
    return say("exit", code=report.exit_code, meaning=meaning)


def _judged(report: Report) -> list[str]:
    of = len(report.findings)
    broken = [row.objective for row in rows(report) if row.verdict is Verdict.BROKEN]
    undecided = sum(one.verdict is Verdict.UNKNOWN for one in report.findings)
    if broken:
        names = say("headline.broken", count=len(broken), of=of, names=listed(broken))
        more = say("headline.undecided", count=undecided)
        return [names, more] if undecided else [names]
    if not of:
        return [say("headline.none")]
    if undecided and any(not proof.shown for proof in report.witness):
        return [say("headline.unshown")]
    if undecided:
        return [say("headline.unknown", count=undecided, of=of)]
    if report.exit_code or report.verdict is not Verdict.HELD:
        return [say("headline.unexplained")]
    return [say("headline.held.one" if of == 1 else "headline.held", count=of)]


def _row(
    finding: Finding, observations: dict[str, Observation], objective: Objective | None
) -> Row:
    used = [observations[name] for name in finding.observations if name in observations]
    return Row(
        objective=shown(finding.objective, 100),
        promise=shown(finding.promise, 500),
        verdict=finding.verdict,
        why=shown(finding.why),
        measures=tuple(Measure(label(one.name), measured(one)) for one in used),
        limit=quantity(objective.limit, objective.unit) if objective else "",
        source=shown(objective.source, 500) if objective else "",
    )


def label(name: str) -> str:
    """An observation's name as words."""
    return shown(name, 100).replace("_", " ")


def _miss(observation: Observation | None, objective: Objective | None) -> float:
    """By what factor a broken promise missed its limit, whichever side it had to stay on."""
    if observation is None or objective is None or observation.unit != objective.unit:
        return 1.0
    value = observation.value
    value = value.high if isinstance(value, Interval) else value
    if value is None or math.isnan(value):
        return 1.0
    least, most = sorted((abs(value), abs(objective.limit)))
    return most / least if least else math.inf
