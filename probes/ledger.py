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
    rows = transfers(context.of(configuration), since)
    return all(row.get("state") not in UNFINISHED for row in rows)


def transfers(here: Context, since: float) -> list[dict[str, Any]]:
    """Every transfer since then (Unix seconds) with its postings, as the wallet's ledger has it."""
    assert here.environment.ledger
    return _rows(here.environment.ledger.transfers, since)


def settlements(here: Context, since: float) -> list[dict[str, Any]]:
    """Every settlement since then (Unix seconds), as the bank side has it."""
    assert here.environment.ledger
    return _rows(here.environment.ledger.settlements, since)


def _rows(url: str, since: float) -> list[dict[str, Any]]:
    try:
        answer = requests.get(
            url, params={"since": f"{since:.6f}"}, timeout=_DEADLINE_S, allow_redirects=False
        )
        if answer.status_code != 200:
            raise Unreachable(url, f"answered {answer.status_code}", "Look at its log")
        return [json.loads(line) for line in answer.text.splitlines() if line]
    except (requests.RequestException, ValueError) as error:
        raise Unreachable(
            url, f"the record cannot be read ({type(error).__name__})", "Is it running?"
        ) from None
