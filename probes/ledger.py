"""Is every cent still there: transfers and settlements, as both sides recorded them."""

import csv
import io
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from holdfast import context, files
from holdfast.clock import now_ns, wall_ns
from holdfast.context import Context
from holdfast.credentials import secret
from holdfast.database import Database
from holdfast.documents import Ledger, Source, Sql
from holdfast.errors import HoldfastError, Unreachable
from holdfast.fetch import LARGE, Limits, NoAnswer, fetch, with_query
from holdfast.measure.sums import told
from holdfast.store import BOOKS, write_whole

__all__ = ["nothing_unknown"]

UNFINISHED = frozenset({"received", "reserved", "sent", "unknown"})
TRANSFER = (
    *("id", "end_to_end_id", "rail", "account", "amount_cents", "fee_cents", "state", "postings"),
)
SETTLEMENT = ("end_to_end_id", "amount_cents", "settled_at")
SUMS = "samples/sums.jsonl"
_BEFORE_S = 60.0  # others' transfers that were under way when the run began
_SUMS_S = 5.0  # one look at the sums
_CALL_S = 30.0  # one call, from looking up the name to the last byte of the answer


def nothing_unknown(since: float, configuration: dict[str, Any] | None = None) -> bool:
    """Has every transfer since then (Unix seconds) reached a final state?"""
    return unfinished(context.of(configuration), since) == 0


def unfinished(here: Context, since: float) -> int:
    """How many transfers since then (Unix seconds) have no final state."""
    assert here.environment.ledger
    text = transfers(here.environment.ledger, since)
    try:
        return sum(json.loads(line).get("state") in UNFINISHED for line in text.splitlines())
    except (ValueError, AttributeError, TypeError, RecursionError):
        where = str(here.environment.ledger.transfers)
        raise Unreachable(where, "a line of it is no transfer", "Look at its log") from None


def keep(here: Context, began_wall_s: float) -> None:
    """Write down both sides' records of a run as they are now, and when they began to be read.

    Both or none: what was read at different times differs by what was paid. The bank side's before
    the ledger, too: what others settle while that is read is no difference. A side that does not
    answer leaves its error in the run's events: no data is not zero.
    """
    if (books := here.environment.ledger) is None:
        return
    since = began_wall_s - _BEFORE_S
    read_wall_ns = wall_ns()
    try:
        found = {
            "settlements_before": settlements(books, since),
            "transfers": transfers(books, since),
            "settlements": settlements(books, since),
        }
    except HoldfastError as error:
        here.run.append("events.jsonl", {"event": "not_collected", "why": str(error)})
        return
    for name, text in found.items():
        write_whole(here.run.path(f"series/{name}.jsonl"), text)
    here.run.write_json(BOOKS, {"read_wall_ns": read_wall_ns})


def transfers(ledger: Ledger, since: float) -> str:
    """Every transfer since then (Unix seconds) with its postings: the wallet's ledger, a line each.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
    """
    return lines(ledger.transfers, since, TRANSFER)


def settlements(ledger: Ledger, since: float) -> str:
    """Every settlement since then (Unix seconds), as the bank side has it, a line each.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
    """
    return lines(ledger.settlements, since, SETTLEMENT)


def look_at_sums(here: Context, since: float) -> None:
    """Read the sums now, and write down what they are, or why they could not be read."""
    assert here.environment.ledger
    began = now_ns()
    try:
        seen: dict[str, Any] = dict(sums(here.environment.ledger, since))
    except HoldfastError as error:
        seen = {"error": str(error)}
    here.run.append(SUMS, {"looked_ns": began, **seen})


def sums(ledger: Ledger, since: float) -> dict[str, int]:
    """What the postings since then (Unix seconds), or all accounts, come to at this instant.

    Raises:
        Unreachable: it does not answer, or with something else than one line that tells a sum.
    """
    assert ledger.sums
    text = lines(ledger.sums, since, seconds=_SUMS_S)
    try:
        (line,) = text.splitlines()
        return told(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        why = "it does not tell postings_cents or total_cents, whole numbers, in one line"
        raise Unreachable(str(ledger.sums), why, "Correct what it tells") from None


def lines(
    source: Source, since: float, members: Collection[str] = (), seconds: float = _CALL_S
) -> str:
    """What a record holds since then (Unix seconds), as it came; a database's columns are checked.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
        InvalidInput: nobody says where the database is, or psycopg is not installed.
    """
    if isinstance(source, Sql):
        return _queried(source, since, members, seconds)
    if source.startswith("csv:"):
        return table(Path(source.removeprefix("csv:")))
    return _fetched(source, since, seconds)


def _queried(source: Sql, since: float, members: Collection[str], seconds: float) -> str:
    database = Database(str(source), secret(source.dsn_env))
    answer = database.ask(source.query, since, seconds, LARGE)
    if missing := [name for name in members if name not in answer.columns]:
        why = f"the query gives no column {', '.join(missing)}"
        raise Unreachable(database.name, why, "Name its columns like the members of a line")
    return answer.text


def _fetched(url: str, since: float, seconds: float) -> str:
    try:
        answer = fetch(with_query(url, {"since": f"{since:.6f}"}), Limits(seconds, LARGE))
    except NoAnswer as error:
        raise Unreachable(url, f"the record {error}", "Is it running?") from None
    if answer.status_code != 200:
        raise Unreachable(url, f"answered {answer.status_code}", "Look at its log")
    try:
        text = answer.content.decode()
    except UnicodeDecodeError:
        text = "?"
    if text and not (text.startswith("{") and text.endswith("}\n")):
        raise Unreachable(url, "its answer is not lines of JSON, or was cut off", "Look at its log")
    return text


def table(path: Path) -> str:
    """A CSV file with a header as lines of JSON: cents and times as numbers, postings as JSON.

    Raises:
        Unreachable: it cannot be read, or a row is not what its header says.
    """
    try:
        text = files.read(path, LARGE).decode()
        if not text.endswith("\n"):
            raise ValueError("its last line was cut off")
        rows = csv.DictReader(io.StringIO(text), strict=True, restkey="", restval="")
        return "".join(json.dumps(_typed(row)) + "\n" for row in rows)
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise Unreachable(str(path), f"no table of records: {error}", "Export it again") from None


def _typed(row: dict[str, str]) -> dict[str, Any]:
    if "" in row or row.get("end_to_end_id") in (None, ""):
        raise ValueError(f"a row is not what the header says: {list(row.values())[:3]}")
    how: dict[str, Callable[[str], Any]] = {
        "amount_cents": int,
        "fee_cents": int,
        "settled_at": float,
        "postings": json.loads,
    }
    return {name: how.get(name, str)(text) for name, text in row.items()}
