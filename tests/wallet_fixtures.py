"""The wallet's tests name this as their plugin: one PostgreSQL for all, a database for each."""

from collections.abc import Iterator

import pytest

from tests.wallet_case import Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One server for all tests."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The URL of a fresh, empty database."""
    return postgres.new_database()
