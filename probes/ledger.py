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
    asked = {"since": f"{since:.6f}"}
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between us and it
            answer = session.get(url, params=asked, timeout=_DEADLINE_S, allow_redirects=False)
        if answer.status_code != 200:
            raise Unreachable(url, f"answered {answer.status_code}", "Look at its log")
    except requests.RequestException as error:
        raise Unreachable(
            url, f"the record cannot be read ({type(error).__name__})", "Is it running?"
        ) from None
    answer.encoding = "utf-8"  # JSON is; to guess it from megabytes takes a while
    text = answer.text
    if text and not (text.startswith("{") and text.endswith("}\n")):
        raise Unreachable(url, "its answer is not lines of JSON, or was cut off", "Look at its log")
    return text
