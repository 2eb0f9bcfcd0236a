"""Every string that a reader of a report sees, by message id: the one place to translate."""

# ruff: noqa: RUF001 (dashes, minus signs and apostrophes are typographic on purpose)

from typing import Final

WORDS: Final = {
    "language": "en",
    "unknown": "unknown",
    "verdict.held": "held",
    "verdict.broken": "broken",
    "verdict.unknown": "unknown",
    "sign.held": "✓",
    "sign.broken": "✗",
    "sign.unknown": "?",
    "and": "{many} and {last}",
    "comma": ", ",
    "semicolon": "; ",
    "sentence": " ",
    "cut": "…",
    # the headline
    "headline.none": "No promise was judged.",
    "headline.held.one": "The one promise held.",
    "headline.held": "All {count} promises held.",
    "headline.broken": "{count} of {of} promises broken: {names}.",
    "headline.undecided": "{count} could not be decided.",
    "headline.unknown": "Nothing is known to be broken, "
    "but {count} of {of} promises could not be decided.",
    "headline.unshown": "The fault was not shown to have happened, so nothing is known.",
    "headline.remains": "A fault may remain in place.",
    "headline.aborted": "The run was aborted.",
    "headline.refused": "The run was refused.",
    "headline.unexplained": "The promises that were judged held, yet the run is not a pass.",
    # what an exit code means
    "exit": "Exit code {code}: {meaning}",
    "exit.0": "every promise held.",
    "exit.1": "at least one promise is broken.",
    "exit.2": "the plan or the command is invalid; nothing was touched.",
    "exit.3": "at least one promise could not be decided, which is not a pass.",
    "exit.4": "the run was aborted, and what it had broken was put back.",
    "exit.5": "a fault may remain: look at the targets now, then run the undo command.",
    "exit.6": "refused before anything was touched.",
    "exit.other": "not a code that holdfast gives.",
    "exit.control": "nothing broke, and a control run is never a pass.",
    # a control run
    "control.title": "[{control}] {title}",
    "control.note": "A control run is no pass: it is not booked, not compared and not to be filed.",
    "observe.note": "The fault was not made by holdfast. Where no named probe saw it, times count "
    "from a mark or from the start, and findings are unknown.",
    # quantities
    "quantity.interval": "{low}–{high}",
    "quantity.above": "> {low}",
    "quantity.unit": "{number} {unit}",
    "quantity.percent": "%",
    "quantity.none": "not measured",
    "quantity.minus": "−{number}",
    "labelled": "{label}: {value}",
    "utc": "{at} UTC",
    # the table of promises
    "promises": "Promises",
    "promises.caption": "What was promised, and what this run found: "
    "broken, then unknown, then held.",
    "column.promise": "Promise",
    "column.promise.why": "Promise, and why",
    "column.verdict": "Verdict",
    "column.measured": "Measured",
    "column.why": "Why",
    "column.source": "Source: {source}",
    "overall": "Overall",
    # the terminal
    "terminal.report": "Report",
    "terminal.measure": "{label}:\n  {value}",
    # the summary
    "summary.title": "{title}: {verdict}",
    "summary.worst": "Worst: {objective}, {measured} (limit {limit}).",
    "summary.worst.plain": "Worst: {objective}, {measured}.",
    "summary.left": "{count} more promises are left out here; see the report.",
    "summary.run": "Run {run}, experiment {experiment}, in {environment}, {started} to {ended}.",
    "summary.folder": "Everything recorded lies in {folder}.",
    # JUnit
    "junit.case": "{objective}: {promise}",
    "junit.again": "{name} ({number})",
    "junit.run": "the run itself",
    "junit.evidence": "measured: {measured}",
    # the page
    "page.title": "holdfast report: {title}",
    "page.kind": "holdfast report",
    "page.main": "Contents of the report",
    "alert.remains": "Look at the targets now. Then run: {command}",
    "facts": "The run",
    "facts.experiment": "Experiment",
    "facts.run": "Run",
    "facts.environment": "Environment",
    "facts.started": "Started",
    "facts.ended": "Ended",
    "facts.folder": "Run folder",
    "facts.fault": "Fault",
    "facts.targets": "Targets",
    "facts.asked": "Asked for",
    "facts.held": "In place",
    "facts.held.from": "{seconds} s, from {start} to {end} UTC",
    "facts.held.open": "from {start} UTC; no undo is recorded",
    "facts.held.instant": "at {start} UTC; cannot be undone, only recovered from",
    "facts.nofault": "none was applied",
    "witness": "Did the fault really happen?",
    "witness.lead": "Three proofs, from sources other than the tool that injected the fault. "
    "One missing makes every finding unknown.",
    "witness.none": "No proof was recorded, so nothing can be held.",
    "witness.exposed": "Exposed: before the fault, the target carried customers’ traffic",
    "witness.struck": "Struck: afterwards, that same traffic showed the fault",
    "witness.lasting": "Lasting: the fault was still there when it was undone",
    "proof.yes": "✓ shown",
    "proof.no": "✗ not shown",
    "proof.none": "? could not be looked at",
    "notes": "Caveats",
    "charts": "What the customers saw, and what the platform did",
    "charts.lead": "Time runs in seconds from the fault. "
    "Each chart has its numbers in a table below it.",
    "charts.lead.start": "Time runs in seconds from the start of the load. "
    "Each chart has its numbers in a table below it.",
    "timeline": "Timeline",
    "timeline.caption": "Key events, in seconds from the fault and in UTC.",
    "timeline.none": "No event was recorded.",
    "timeline.what": "What happened",
    "phases.caption": "Phases of the run",
    "phases.name": "Phase",
    "phases.from": "From, s",
    "phases.to": "To, s",
    "recompute": "Compute it again",
    "recompute.lead": "Every verdict follows from the files of the run folder, offline:",
    "recompute.none": "There is nothing to compute: the run was not recorded far enough.",
    "observations": "Observations",
    "observations.caption": "What was measured, and from what",
    "observations.name": "Observation",
    "observations.value": "Value",
    "observations.samples": "Samples",
    "observations.source": "Source, and remarks",
    "versions": "Versions",
    "versions.caption": "What the run was made with",
    "versions.part": "Part",
    "versions.version": "Version",
    # charts
    "chart.numbers": "The numbers behind it",
    "chart.none": "No numbers were recorded for this chart.",
    "chart.fault": "fault",
    "chart.undo": "undo",
    "chart.remains": "fault, not undone",
    "chart.shading": "Shaded: the fault is in place, from 0 to {end} s.",
    "chart.shading.open": "Shaded: the fault is in place, from 0 s on; no undo is recorded.",
    "chart.shading.instant": "The line at 0 s marks the fault.",
    "chart.axis.fault": "Seconds from the fault",
    "chart.axis.start": "Seconds from the start",
    "chart.seconds": "{seconds} s",
    "chart.milliseconds": "{milliseconds} ms",
    "chart.utc": "UTC",
    "requests.title": "Good and bad requests a second",
    "requests.good": "good: succeeded within the promise",
    "requests.bad": "bad: failed, or too late",
    "requests.good.head": "Good",
    "requests.bad.head": "Bad",
    "requests.caption": "{good} good and {bad} bad requests.",
    "requests.caption.bad": "Bad ones were scheduled from {first} to {last} s; "
    "at most {most} in one second.",
    "latency.title": "Latency of {journey}",
    "latency.p50": "median (p50)",
    "latency.p99": "99th percentile (p99)",
    "latency.max": "slowest (max)",
    "latency.within": "promise {seconds} s",
    "latency.target": "target {seconds} s",
    "latency.scale": "The scale is logarithmic.",
    "latency.caption": "Slowest request: {worst}, scheduled at {at} s. "
    "Highest p99 of a second: {p99}. Highest median of a second: {p50}.",
    "latency.caption.within": "Promise: {seconds} s.",
    "latency.caption.target": "Target: {seconds} s.",
    "latency.p50.head": "p50, s",
    "latency.p99.head": "p99, s",
    "latency.max.head": "max, s",
    "breakers.title": "Circuit breakers, per gateway and pod",
    "breakers.closed": "closed: traffic passes",
    "breakers.half_open": "half-open: trial calls only",
    "breakers.open": "open: traffic is kept away",
    "breakers.other": "another state",
    "breakers.caption": "{gateway} opened in {opened} of {pods} pods, first at {first} s.",
    "breakers.caption.closed": "{gateway} stayed closed in all {pods} pods.",
    "breakers.gateway": "Gateway",
    "breakers.pod": "Pod",
    "breakers.state": "State",
    "zones.title": "Share of traffic per zone",
    "gateways.title": "Share of transfers per gateway",
    "shares.caption": "{name}: {means}.",
    "shares.before": "{share} before the fault",
    "shares.during": "{share} during it",
    "shares.after": "{share} after it",
    "shares.all": "{share} over the whole run",
    "shares.average": "Averages of the seconds that had traffic.",
    "shares.none": "no traffic",
}


def say(message: str, /, **values: object) -> str:
    """The message in the reader's language, with its values put in."""
    return WORDS[message].format(**values)


def titled(title: str, control: str) -> str:
    """The title of a run; a control run is told apart wherever its title is read."""
    return say("control.title", control=control, title=title) if control else title


def listed(items: list[str]) -> str:
    """Several names as one phrase."""
    if len(items) < 2:
        return "".join(items)
    return say("and", many=say("comma").join(items[:-1]), last=items[-1])


def caveat(control: str) -> str:
    """What a reader of a control run, or of one that only observed, must not forget."""
    return say("observe.note") if control == "observe" else say("control.note")
