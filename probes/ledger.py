"""Is every cent still there: transfers and settlements, as both sides recorded them."""

import csv
import io
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from holdfast import context, files
from holdfast.context import Context
from holdfast.credentials import secret
from holdfast.database import Database
from holdfast.documents import Ledger, Source, Sql
from holdfast.errors import Unreachable
from holdfast.fetch import LARGE, Limits, NoAnswer, fetch, with_query

__all__ = ["nothing_unknown"]

UNFINISHED = frozenset({"received", "reserved", "sent", "unknown"})
TRANSFER = (
    *("id", "end_to_end_id", "rail", "account", "amount_cents", "fee_cents", "state", "postings"),
)
SETTLEMENT = ("end_to_end_id", "amount_cents", "settled_at")
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


def lines(source: Source, since: float, members: Collection[str] = ()) -> str:
    """What a record holds since then (Unix seconds), as it came; a database's columns are checked.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
        InvalidInput: nobody says where the database is, or psycopg is not installed.
    """
    if isinstance(source, Sql):
        return _queried(source, since, members)
    if source.startswith("csv:"):
        return table(Path(source.removeprefix("csv:")))
    return _fetched(source, since)


def _queried(source: Sql, since: float, members: Collection[str]) -> str:
    database = Database(str(source), secret(source.dsn_env))
    answer = database.ask(source.query, since, _CALL_S, LARGE)
    if missing := [name for name in members if name not in answer.columns]:
        why = f"the query gives no column {', '.join(missing)}"
        raise Unreachable(database.name, why, "Name its columns like the members of a line")
    return answer.text


def _fetched(url: str, since: float) -> str:
    try:
        answer = fetch(with_query(url, {"since": f"{since:.6f}"}), Limits(_CALL_S, LARGE))
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
