"""Is every cent still there: transfers and settlements, as both sides recorded them."""

import json
from typing import Any

import requests

from holdfast import context
from holdfast.context import Context
from holdfast.errors import Unreachable

__all__ = ["nothing_unknown"]

UNFINISHED = frozenset({"received", "reserved", "sent", "unknown"})
_DEADLINE_S = (2, 30)


def nothing_unknown(since: float, configuration: dict[str, Any] | None = None) -> bool:
    """Has every transfer since then (Unix seconds) reached a final state?"""
    return unfinished(context.of(configuration), since) == 0


def unfinished(here: Context, since: float) -> int:
    """How many transfers since then (Unix seconds) have no final state."""
    rows = [json.loads(line) for line in transfers(here, since).splitlines()]
    return sum(row.get("state") in UNFINISHED for row in rows)


def transfers(here: Context, since: float) -> str:
    """Every transfer since then (Unix seconds) with its postings: the wallet's ledger, a line each.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
    """
    assert here.environment.ledger
    return _lines(here.environment.ledger.transfers, since)


def settlements(here: Context, since: float) -> str:
    """Every settlement since then (Unix seconds), as the bank side has it, a line each.

    Raises:
        Unreachable: it does not answer, or what it answers is not lines of JSON.
    """
    assert here.environment.ledger
    return _lines(here.environment.ledger.settlements, since)


def _lines(url: str, since: float) -> str:
    try:
        answer = requests.get(
            url, params={"since": f"{since:.6f}"}, timeout=_DEADLINE_S, allow_redirects=False
        )
        if answer.status_code != 200:
            raise Unreachable(url, f"answered {answer.status_code}", "Look at its log")
    except requests.RequestException as error:
        raise Unreachable(
            url, f"the record cannot be read ({type(error).__name__})", "Is it running?"
        ) from None
    text = answer.text
    if text and not (text.startswith("{") and text.endswith("}\n")):
        raise Unreachable(url, "its answer is not lines of JSON, or was cut off", "Look at its log")
    return text
