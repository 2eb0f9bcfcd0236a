"""The findings on one screen of Markdown, for the page that a CI system shows of a job."""

import re
from collections.abc import Iterator

from holdfast.reports.outline import Row, exit_meaning, headline, rows, verdict_word
from holdfast.reports.quantity import instant, shown
from holdfast.reports.record import Report
from holdfast.reports.words import say
from holdfast.verdict import Verdict

_MOST_BYTES = 150_000  # some CI systems refuse a summary of 1 MiB; this leaves room for others
_CLIP = 600


def render(report: Report) -> str:
    """Verdict first, then a table, the worst deviation on top; always below 200 KB."""
    found = rows(report)
    title = _plain(report.title, 300)
    lines = [
        f"## {say('summary.title', title=title, verdict=verdict_word(report.verdict))}",
        f"**{_escaped(headline(report))}** {exit_meaning(report)}",
        *_worst(found),
        "\n".join(_table(found)),
        _run(report),
        *(f"- {_plain(note, _CLIP)}" for note in report.notes[:20]),
    ]
    return "\n\n".join(lines) + "\n"


def _worst(found: list[Row]) -> Iterator[str]:
    if found and found[0].verdict is Verdict.BROKEN:
        row = found[0]
        words = "summary.worst" if row.limit else "summary.worst.plain"
        objective, measured = _escaped(row.objective), _escaped(row.deciding)
        yield say(words, objective=objective, measured=measured, limit=_escaped(row.limit))


def _table(found: list[Row]) -> Iterator[str]:
    names = ("verdict", "promise", "measured", "why")
    yield _line([say(f"column.{name}") for name in names])
    yield _line(["---"] * len(names))
    written = 0
    for n, row in enumerate(found):
        promise = say("labelled", label=row.objective, value=row.promise)
        cells = [_plain(one, _CLIP) for one in (promise, row.measured, row.why)]
        line = _line([row.word, *cells])
        written += len(line.encode())
        if written > _MOST_BYTES:
            yield f"\n{say('summary.left', count=len(found) - n)}"
            return
        yield line


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _run(report: Report) -> str:
    run = say(
        "summary.run",
        run=_plain(report.run_id, 100),
        experiment=_plain(report.experiment, 200),
        environment=_plain(report.environment, 200),
        started=instant(report.started),
        ended=instant(report.ended),
    )
    folder = say("summary.folder", folder=_plain(report.folder, 500))
    return say("sentence").join((run, folder))


def _plain(text: str, most: int) -> str:
    return _escaped(shown(text, most))


def _escaped(text: str) -> str:
    """Of what Markdown and its dialects give a meaning, nothing keeps it."""
    escaped = re.sub(r"([\\`*_\[\]<>#|~&!$@])", r"\\\1", text)
    return escaped.replace("://", "\\://").replace("www.", "www\\.")
