"""One query of a PostgreSQL database: read only, of one snapshot, bounded in time and size.

psycopg is imported when a database is asked: the extra `sql` brings it.
"""

import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import UUID

from holdfast.addresses import check_address, check_host
from holdfast.clock import within
from holdfast.errors import InvalidInput, Silent, Unreachable
from holdfast.redact import keep_secret, redacted

if TYPE_CHECKING:
    import psycopg

_CONNECT_S = 5
_AT_ONCE = 1000  # rows
_EXCERPT = 200  # characters of an error that are quoted
_IS_IT_RUNNING = "Is it running, and may we connect?"


@dataclass(frozen=True)
class Answer:
    """The columns, and a line of JSON for each row."""

    columns: tuple[str, ...]
    text: str = field(repr=False)


@dataclass(frozen=True)
class Database:
    """What errors call it, and the connection string, with whatever secret that holds."""

    name: str
    dsn: str = field(repr=False)

    def ask(self, query: str, since: float, seconds: float, most: int) -> Answer:
        """The rows since then (Unix seconds), in so many seconds and bytes at most.

        Raises:
            InvalidInput: psycopg is not there, or the connection string is none.
            Unreachable: it does not answer, the query fails, or a value cannot be told as JSON.
        """
        try:
            import psycopg
        except ImportError:
            step = "Install holdfast[sql]"
            raise InvalidInput(self.name, "psycopg, which reads it, is not here", step) from None
        self._check()
        try:
            return within(seconds, lambda: self._asked(query, since, seconds, most))
        except (TimeoutError, psycopg.errors.QueryCanceled):
            raise Silent(self.name, f"no answer within {seconds:g} s", _IS_IT_RUNNING) from None
        except psycopg.OperationalError as error:
            raise Unreachable(self.name, _said(error), _IS_IT_RUNNING) from None
        except psycopg.Error as error:
            raise Unreachable(self.name, _said(error), "Correct the query") from None
        except (ValueError, RecursionError) as error:
            raise Unreachable(self.name, str(error), "Correct the query") from None

    def _check(self) -> None:
        """Keep the password to ourselves, and never call an address that is not to be called."""
        import psycopg.conninfo

        try:
            parts = psycopg.conninfo.conninfo_to_dict(self.dsn)
        except psycopg.Error:  # which would quote it
            step = "Write it as postgresql://user@host/database"
            raise InvalidInput(self.name, "that is no connection string", step) from None
        try:
            if password := parts.get("password"):
                keep_secret(str(password))
            for name in ("host", "hostaddr"):
                for host in str(parts.get(name) or "").split(","):
                    _check_host(host)
        except ValueError as error:
            raise InvalidInput(self.name, str(error), "Change it") from None

    def _asked(self, query: str, since: float, seconds: float, most: int) -> Answer:
        with self._connect() as connection:
            _bound(connection, seconds)
            with connection.cursor("holdfast") as cursor:
                # a cursor takes one statement, and has the snapshot of its beginning to its end
                cursor.execute(query.encode(), {"since": since})
                columns = tuple(one.name for one in cursor.description or ())
                return Answer(columns, _text(columns, cursor, most))

    def _connect(self) -> "psycopg.Connection[Any]":
        import psycopg

        return psycopg.connect(
            self.dsn,
            connect_timeout=_CONNECT_S,
            application_name="holdfast",
            client_encoding="UTF8",
            prepare_threshold=None,
        )


def _bound(connection: "psycopg.Connection[Any]", seconds: float) -> None:
    """It cannot write, and the server ends it when we are gone."""
    connection.read_only = True
    limit = f"{round(seconds * 1000)}ms"
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute("SELECT set_config(%s, %s, true)", (name, limit))


def _text(columns: Sequence[str], cursor: "psycopg.ServerCursor[Any]", most: int) -> str:
    if len(set(columns)) < len(columns):
        raise ValueError(f"two columns have one name: {', '.join(columns)}")
    parts: list[str] = []
    size = 0
    while rows := cursor.fetchmany(_AT_ONCE):
        parts.append("".join(_lines(columns, rows)))
        size += len(parts[-1])
        if size > most:
            raise ValueError(f"it answered with more than {most / (1 << 20):g} MiB")
    return "".join(parts)


def _check_host(host: str) -> None:
    if not host or host.startswith(("/", "@")):
        return  # a socket of this machine
    check_host(host)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # to connect will say so
    for one in found:
        check_address(str(one[4][0]))


def _lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    for row in rows:
        told = dict(zip(columns, map(_told, row), strict=True))
        yield json.dumps(told, allow_nan=False) + "\n"


def _told(value: Any) -> Any:
    """A value as JSON has it: whole numbers are integers, and times Unix seconds.

    Raises:
        ValueError: there is no such way to tell it.
    """
    if value is None or isinstance(value, str | int | dict | list):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, float | Decimal) and isfinite(value):
        return int(value) if value == int(value) and isinstance(value, Decimal) else float(value)
    if isinstance(value, datetime) and value.tzinfo:
        return value.timestamp()
    raise ValueError(f"a value cannot be told as JSON ({type(value).__name__}): cast its column")


def _said(error: "psycopg.Error") -> str:
    text = redacted(str(error)).strip() or type(error).__name__
    return text.splitlines()[0][:_EXCERPT]
