"""Is every cent still there: transfers and settlements, as both sides recorded them."""

import json
from typing import Any

from holdfast import context
from holdfast.context import Context
from holdfast.errors import Unreachable
from holdfast.fetch import LARGE, Limits, NoAnswer, fetch, with_query

__all__ = ["nothing_unknown"]

UNFINISHED = frozenset({"received", "reserved", "sent", "unknown"})
_CALL_S = 30.0  # one call, from looking up the name to the last byte of the answer


def nothing_unknown(since: float, configuration: dict[str, Any] | None = None) -> bool:
    """Has every transfer since then (Unix seconds) reached a final state?"""
    return unfinished(context.of(configuration), since) == 0


def unfinished(here: Context, since: float) -> int:
    """How many transfers since then (Unix seconds) have no final state."""
    text = transfers(here, since)
    try:
        return sum(json.loads(line).get("state") in UNFINISHED for line in text.splitlines())
    except (ValueError, AttributeError, TypeError, RecursionError):
        url = here.environment.ledger and here.environment.ledger.transfers
        raise Unreachable(str(url), "a line of it is no transfer", "Look at its log") from None


def transfers(here: Context, since: float) -> str:
    """Every transfer since then (Unix seconds) with its postings: the wallet's ledger, a line each.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
    """
    assert here.environment.ledger
    return lines(here.environment.ledger.transfers, since)


def settlements(here: Context, since: float) -> str:
    """Every settlement since then (Unix seconds), as the bank side has it, a line each.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
    """
    assert here.environment.ledger
    return lines(here.environment.ledger.settlements, since)


def lines(url: str, since: float) -> str:
    """What a record at this URL holds since then (Unix seconds), as it came.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
    """
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
