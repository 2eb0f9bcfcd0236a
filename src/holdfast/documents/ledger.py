"""`ledger:` of environment.yaml: where both sides' records of transfers can be read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

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
    """Where every transfer's postings, and the bank side's settlements, can be read."""

    transfers: Source
    settlements: Source


def beside(ledger: Ledger, path: Path, place: Callable[[str], str]) -> Ledger:
    """With the files that it names found and the queries read; `path` is of the whole file.

    Raises:
        InvalidInput: a query cannot be read, or would not be told since when rows are wanted.
    """
    named: dict[str, Any] = {"transfers": ledger.transfers, "settlements": ledger.settlements}
    found = {name: _found(one, f"{path}: ledger.{name}", place) for name, one in named.items()}
    return ledger.model_copy(update=found)


def _found(source: Source, where: str, place: Callable[[str], str]) -> Source:
    if isinstance(source, str):
        table = source.startswith("csv:")
        return f"csv:{place(source.removeprefix('csv:'))}" if table else source
    query = _read(Path(place(source.file)), where) if source.file else source.query
    if SINCE not in query:
        step = f"Compare the time of a row with to_timestamp({SINCE})"
        raise InvalidInput(where, f"the query does not use {SINCE}", step)
    return source.model_copy(update={"query": query, "file": ""})


def _read(path: Path, where: str) -> str:
    try:
        return files.read(path, _MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{where}: {path}", f"cannot be read: {error}", "Name a query") from None
