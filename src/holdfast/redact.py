"""Secrets are told here once; from then on no text that leaves this process holds them.

They are known by value: a token that a server sends back, that stands in an exception or in a log
line, is found wherever it turns up. `store` writes files through `redacted`, `errors` makes every
error through it, and the command line prints through it.
"""

import base64
import html
import json
import threading
from urllib.parse import quote

REDACTED = "[redacted]"
SHORTEST = 16  # characters: what is shorter stands in ordinary words, too
_LINE = 32  # characters: a line of a key that is worth hiding by itself

_lock = threading.Lock()
_known: tuple[str, ...] = ()  # the longest first, since one may hold another


def keep_secret(value: str) -> None:
    """Never let this value out again, in any of the forms that it is written in.

    Raises:
        ValueError: it is too short to be told from other words.
    """
    global _known  # noqa: PLW0603  # one list for the process: what one part knows, all must hide
    if len(value) < SHORTEST:
        raise ValueError(
            f"a secret of fewer than {SHORTEST} characters can be guessed, and cannot be told from"
            " other words to keep it out of records"
        )
    if value in _known:
        return
    lines = [line.strip() for line in value.splitlines()[1:]]  # of a key: the first is its head
    long = [line for line in lines if len(line) >= _LINE and "-----" not in line]
    plain = [one for one in (value.strip(),) if len(one) >= SHORTEST]  # an error may escape the end
    with _lock:
        found = {*_known, *(form for one in (value, *plain, *long) for form in _forms(one))}
        _known = tuple(sorted(found, key=lambda one: (-len(one), one)))


def redacted(text: str) -> str:
    """The text, with each secret replaced."""
    for secret in _known:
        text = text.replace(secret, REDACTED)
    return text


def _forms(value: str) -> set[str]:
    """The value as it is, as JSON, URLs and HTML write it, and in base64."""
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        quote(value, safe=""),
        html.escape(value),
        base64.b64encode(value.encode(errors="surrogateescape")).decode(),
    }
