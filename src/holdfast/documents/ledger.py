"""`ledger:` of environment.yaml: where both sides' records of transfers can be read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from holdfast import files
from holdfast.documents.kinds import Place, Strict
from holdfast.errors import InvalidInput
from holdfast.redact import keep_secret

_MAX_BYTES = 1 << 20  # of a query
SINCE = "%(since)s"  # in a query: the Unix seconds from which on rows are wanted


class Sql(Strict):
    """A query of a PostgreSQL database; `dsn_env` names the variable that says where that is."""

    dsn_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    query: Annotated[str, Field(pattern=r"^[^\x00]*$")] = ""
    file: Annotated[str, Field(pattern=r"^[^\x00]*$")] = ""

    @model_validator(mode="after")
    def _one_query(self) -> Self:
        if bool(self.file) == bool(self.query):
            raise ValueError("either `file` or `query` is needed")
        if dsn := os.environ.get(self.dsn_env):
            keep_secret(dsn)
        return self

    def __str__(self) -> str:
        """What errors call it."""
        return f"the database of {self.dsn_env}"


def _kind(value: object) -> str:
    return "database" if isinstance(value, dict | Strict) else "place"


type Source = Annotated[
    Annotated[Place, Tag("place")] | Annotated[Sql, Tag("database")], Discriminator(_kind)
]


class Ledger(Strict):
    """Where every transfer's postings, and the bank side's settlements, can be read.

    `sums` tells, of one consistent read, what all postings or all accounts come to at that instant.
    """

    transfers: Source
    settlements: Source
    sums: Source | None = None

    @model_validator(mode="after")
    def _sums_of_now(self) -> Self:
        if isinstance(self.sums, str) and self.sums.startswith("csv:"):
            raise ValueError("`sums` are read while money moves: a file cannot tell them")
        return self


def beside(ledger: Ledger, path: Path, place: Callable[[str], str]) -> Ledger:
    """With the files that it names found and the queries read; `path` is of the whole file.

    Raises:
        InvalidInput: a query cannot be read, or would not be told since when rows are wanted.
    """
    found: dict[str, Source | None] = {}
    for name in ("transfers", "settlements", "sums"):
        source, where = getattr(ledger, name), f"{path}: ledger.{name}"
        if isinstance(source, Sql):
            source = _read(source, Path(place(source.file)), where)
            if name != "sums" and SINCE not in source.query:
                step = f"Compare the time of a row with to_timestamp({SINCE})"
                raise InvalidInput(where, f"the query does not use {SINCE}", step)
        elif source and source.startswith("csv:"):
            source = f"csv:{place(source.removeprefix('csv:'))}"
        found[name] = source
    return ledger.model_copy(update=found)


def _read(source: Sql, path: Path, where: str) -> Sql:
    if not source.file:
        return source
    try:
        query = files.read(path, _MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{where}: {path}", f"cannot be read: {error}", "Name a query") from None
    return source.model_copy(update={"query": query, "file": ""})
