"""A ledger that is read from a real PostgreSQL: the same as over HTTP, and nothing is changed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from holdfast.clock import SECOND, now_ns
from holdfast.database import Database
from holdfast.documents import Environment, Ledger, Sql, read_environment, recorded
from holdfast.errors import HoldfastError, InvalidInput, Silent, Unreachable
from holdfast.measure import reconcile
from holdfast.model import Sample
from holdfast.plan.systems import questions
from holdfast.probes.ledger import lines, settlements, sums, transfers
from holdfast.verdict import Verdict
from tests.fakes import absent
from tests.test_documents import ENVIRONMENT, changed
from tests.wallet_case import Wallet, play, wallet

pytestmark = pytest.mark.integration

pytest_plugins = ["tests.wallet_fixtures"]

MIB = 1 << 20
TRANSFERS = """
SELECT t.id, t.end_to_end_id, t.rail, t.account, t.amount_cents, t.fee_cents, t.state,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                            'account', p.account, 'amount_cents', p.amount_cents) ORDER BY p.number)
                   FROM postings p WHERE p.transfer = t.id), '[]') AS postings
  FROM transfers t WHERE t.received_at >= to_timestamp(%(since)s) ORDER BY t.received_at"""
SETTLEMENTS = """
SELECT end_to_end_id, gateway, amount_cents, settled_at
  FROM settlements WHERE settled_at >= to_timestamp(%(since)s)"""
NUMBERS = "SELECT n FROM generate_series(1, 5) AS n WHERE %(since)s = 0"


def ask(dsn: str, query: str, seconds: float = 10.0, most: int = MIB) -> list[dict[str, Any]]:
    answer = Database("the books", dsn).ask(query, 0.0, seconds, most)
    return [json.loads(line) for line in answer.text.splitlines()]


def sql(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Look into a database, or change it, behind everybody's back."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        done = connection.execute(statement.encode())
        return done.fetchall() if done.description else []


# ── the same findings as over HTTP ────────────────────────────────────────────────────────────────

DEFECTS = {
    "nothing": ("", Verdict.HELD, set()),
    "taken, and posted nowhere": (
        "DELETE FROM postings WHERE transfer = 'key-1' AND account <> 'acc-0001'",
        Verdict.BROKEN,
        {"debit only"},
    ),
    "a cent too much": (
        "UPDATE postings SET amount_cents = amount_cents + 1 WHERE number = 1",
        Verdict.BROKEN,
        {"wrong amount"},
    ),
    "gone": (
        "DELETE FROM transfers WHERE id = 'key-2'",
        Verdict.BROKEN,
        {"lost", "settlement without settled transfer"},
    ),
    "not final": (
        "UPDATE transfers SET state = 'unknown' WHERE id = 'key-3'",
        Verdict.UNKNOWN,
        set(),
    ),
}


def told(number: int, code: int) -> Sample:
    outcome = "ok" if code == 201 else "wrong"
    return Sample("pix", 1, 1, 2, outcome, code, f"key-{number}", "acc-0001", 1234)


async def both_sides_in_the_database(here: Wallet) -> None:
    await here.sql(
        "CREATE TABLE settlements (end_to_end_id text, gateway text, amount_cents numeric,"
        " settled_at timestamptz)"
    )
    for id_, gateway, cents in here.paid():
        await here.sql(f"INSERT INTO settlements VALUES ('{id_}', '{gateway}', {cents}, now())")


@pytest.mark.parametrize("name", DEFECTS)
def test_a_database_tells_what_its_wallet_tells(
    database: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LEDGER_DSN", database)
    statement, verdict, kinds = DEFECTS[name]

    async def story() -> None:
        async with wallet(database) as here:
            sent = [told(n, (await here.transfer(f"key-{n}"))[0]) for n in range(1, 5)]
            sent.append(told(5, (await here.transfer("key-5", payee=""))[0]))
            await both_sides_in_the_database(here)
            if statement:
                await here.sql(statement)
            over_http = f"{here.url}/ledger/transfers"
            ledger = Ledger(
                transfers=Sql(dsn_env="LEDGER_DSN", query=TRANSFERS),
                settlements=Sql(dsn_env="LEDGER_DSN", query=SETTLEMENTS),
            )
            rows = [
                [json.loads(one) for one in (await asyncio.to_thread(read)).splitlines()]
                for read in (
                    lambda: lines(over_http, 0.0),
                    lambda: transfers(ledger, 0.0),
                    lambda: settlements(ledger, 0.0),
                )
            ]
            assert rows[1] == rows[0]
            assert len(rows[0]) >= 4
            bank = [
                {"end_to_end_id": id_, "gateway": gateway, "amount_cents": cents}
                for id_, gateway, cents in here.paid()
            ]
            http = reconcile(sent, rows[0], bank)
            assert reconcile(sent, rows[1], rows[2]) == http
            assert {one.kind for one in http.differences} == kinds
            assert http.verdict is verdict

    play(story())


def test_only_what_is_newer_is_read(database: str) -> None:
    ledger = Database("the books", database)
    assert len(ledger.ask(NUMBERS, 0.0, 5.0, MIB).text.splitlines()) == 5
    assert ledger.ask(NUMBERS, 1.0, 5.0, MIB).text == ""


# ── it only looks ─────────────────────────────────────────────────────────────────────────────────

WRITES = """
CREATE TABLE marks (n int);
CREATE FUNCTION mark() RETURNS int LANGUAGE sql AS 'INSERT INTO marks VALUES (1) RETURNING n'"""


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO marks VALUES (%(since)s)",
        "SELECT mark() WHERE %(since)s = 0",
        "SELECT mark() FROM set_config('transaction_read_only', 'off', false) WHERE %(since)s = 0",
        "WITH one AS (INSERT INTO marks VALUES (1) RETURNING n) SELECT * FROM one",
        "SELECT %(since)s; COMMIT; INSERT INTO marks VALUES (1)",
    ],
)
def test_a_query_that_writes_is_refused(database: str, query: str) -> None:
    sql(database, WRITES)
    with pytest.raises(Unreachable, match=r"the books: .* Correct the query"):
        ask(database, query)
    assert sql(database, "SELECT count(*) FROM marks") == [(0,)]


def test_a_query_that_takes_too_long_is_ended_on_the_server(database: str) -> None:
    began = now_ns()
    with pytest.raises(Silent, match=r"no answer within 0\.5 s"):
        ask(database, "SELECT pg_sleep(20), %(since)s", seconds=0.5)
    sql(database, "SELECT pg_sleep(0.5)")
    assert now_ns() - began < 5 * SECOND
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast'"
    assert sql(database, busy) == [(0,)]


def test_an_answer_that_is_too_large_is_not_kept(database: str) -> None:
    query = "SELECT repeat('x', 1000) FROM generate_series(1, 5000) WHERE %(since)s = 0"
    with pytest.raises(Unreachable, match="more than 1 MiB"):
        ask(database, query)
    assert len(ask(database, query, most=8 * MIB)) == 5000


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def test_values_are_told_as_lines_of_json_have_them(database: str) -> None:
    query = """
    SELECT 12::bigint AS whole, 1234.00::numeric AS cents, 0.5::numeric AS half, 'x'::text AS word,
           to_timestamp(1700000001.5) AS at, '[{"a": 1}]'::jsonb AS postings, NULL AS nothing,
           '00000000-0000-0000-0000-000000000001'::uuid AS id, 1.5::float8 AS part, true AS yes"""
    assert ask(database, query) == [
        {
            "whole": 12,
            "cents": 1234,
            "half": 0.5,
            "word": "x",
            "at": 1700000001.5,
            "postings": [{"a": 1}],
            "nothing": None,
            "id": "00000000-0000-0000-0000-000000000001",
            "part": 1.5,
            "yes": True,
        }
    ]


@pytest.mark.parametrize(
    "value",
    [
        "now()::timestamp",
        "current_date",
        "'NaN'::numeric",
        "'Infinity'::numeric",
        "'NaN'::float8",
        "'x'::bytea",
        "'infinity'::timestamptz",
        "interval '1 s'",
    ],
)
def test_a_value_that_cannot_be_told_is_no_guess(database: str, value: str) -> None:
    with pytest.raises(Unreachable, match=r"the books: .*\. Correct the query"):
        ask(database, f"SELECT {value} AS it")


def test_two_columns_of_one_name_are_not_one(database: str) -> None:
    with pytest.raises(Unreachable, match="two columns have one name: a, a"):
        ask(database, "SELECT 1 AS a, 2 AS a")


@pytest.mark.parametrize("query", ["SELEC 1", "SELECT nothing FROM nowhere", "SELECT '%'"])
def test_a_query_that_is_wrong(database: str, query: str) -> None:
    with pytest.raises(Unreachable, match="Correct the query") as caught:
        ask(database, query)
    assert "\n" not in str(caught.value)


# ── who is not there, and what is never said ──────────────────────────────────────────────────────

PASSWORD = "a-long-enough-password"


def test_a_database_that_is_absent() -> None:
    host, _, port = absent("127.10.0.12").removeprefix("http://").partition(":")
    dsn = f"postgresql://reader:{PASSWORD}@{host}:{port}/books"
    with pytest.raises(Unreachable, match="Is it running") as caught:
        ask(dsn, NUMBERS)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "why"),
    [
        (f"postgresql//reader:{PASSWORD}@nowhere", "no connection string"),
        ("postgresql://reader:short@127.10.0.12/books", "fewer than 16 characters"),
        ("postgresql://reader@169.254.169.254/books", "never called"),
        ("postgresql://reader@books/books?hostaddr=169.254.169.254", "never called"),
        ("postgresql://reader@2852039166/books", "never called"),
        ("postgresql://reader@metadata.google.internal/books", "never called"),
    ],
)
def test_a_connection_string_that_is_not_used(dsn: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        ask(dsn, NUMBERS)
    assert PASSWORD not in str(caught.value)
    assert "short@" not in str(caught.value)


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEDGER_DSN", raising=False)
    with pytest.raises(InvalidInput, match="Set the environment variable LEDGER_DSN"):
        lines(Sql(dsn_env="LEDGER_DSN", query=NUMBERS), 0.0)


def test_without_psycopg_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from holdfast.database import Database\n"
        "Database('the books', 'postgresql://reader@127.10.0.12/books').ask('', 0.0, 1.0, 1)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "InvalidInput: the books: psycopg" in done.stderr
    assert "Install holdfast[sql]" in done.stderr


# ── in the environment file ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def read(tmp_path: Path) -> Callable[[dict[str, Any]], Environment]:
    """Read an environment file whose transfers are in a database."""

    def reading(source: dict[str, Any]) -> Environment:
        path = tmp_path / "environment.yaml"
        path.write_text(yaml.safe_dump(changed(ENVIRONMENT, "ledger.transfers", source)))
        return read_environment(path)

    return reading


def test_a_query_may_lie_in_a_file_beside(
    tmp_path: Path, read: Callable[[dict[str, Any]], Environment]
) -> None:
    (tmp_path / "transfers.sql").write_text(TRANSFERS)
    environment = read({"dsn_env": "LEDGER_DSN", "file": "transfers.sql"})
    assert environment.ledger
    assert environment.ledger.transfers == Sql(dsn_env="LEDGER_DSN", query=TRANSFERS)
    assert recorded(Environment, environment.model_dump(mode="json"), "plan.json") == environment


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"dsn_env": "LEDGER_DSN"}, "either `file` or `query` is needed"),
        ({"dsn_env": "A", "query": NUMBERS, "file": "x"}, "either `file` or `query` is needed"),
        ({"query": NUMBERS}, "dsn_env: Field required"),
        ({"dsn_env": "postgresql://reader@x/y", "query": NUMBERS}, "String should match pattern"),
        ({"dsn_env": "A", "query": "SELECT 1"}, "the query does not use %(since)s"),
        ({"dsn_env": "A", "file": "absent.sql"}, "No such file"),
    ],
)
def test_a_database_that_is_not_described(
    read: Callable[[dict[str, Any]], Environment], source: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(source)
    assert why in str(caught.value)
    assert "ledger.transfers" in str(caught.value)


def test_a_secret_that_is_too_short_to_be_hidden_is_refused(
    read: Callable[[dict[str, Any]], Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_DSN", "dbname=books")
    with pytest.raises(InvalidInput, match="fewer than 16 characters"):
        read({"dsn_env": "LEDGER_DSN", "query": NUMBERS})


def planned(read: Callable[[dict[str, Any]], Environment], query: str) -> str | HoldfastError:
    """What a plan hears of the ledger."""
    environment = read({"dsn_env": "LEDGER_DSN", "query": query})
    try:
        return questions(environment)["ledger"]()
    except HoldfastError as error:
        return error


def test_a_plan_asks_whether_the_query_can_be_read(
    database: str,
    read: Callable[[dict[str, Any]], Environment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGER_DSN", database)
    sql(database, Path("lab/wallet/schema.sql").read_text())
    assert planned(read, TRANSFERS) == "answers"
    renamed = planned(read, TRANSFERS.replace("t.fee_cents,", ""))
    assert isinstance(renamed, Unreachable)
    assert "the database of LEDGER_DSN: the query gives no column fee_cents" in str(renamed)
    monkeypatch.setenv("LEDGER_DSN", "postgresql://nobody@127.10.0.12:9/books")
    assert isinstance(planned(read, TRANSFERS), Unreachable)


# ── sums ──────────────────────────────────────────────────────────────────────────────────────────

SUM = """
SELECT coalesce(sum(p.amount_cents), 0) AS postings_cents
  FROM transfers t JOIN postings p ON p.transfer = t.id
 WHERE t.received_at >= to_timestamp(%(since)s)"""


def test_sums_are_those_that_the_wallet_tells(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_DSN", database)
    query = Sql(dsn_env="LEDGER_DSN", query=SUM)

    async def story() -> None:
        async with wallet(database) as here:
            await here.transfer()
            for cents in (0, 7):
                await here.sql(f"UPDATE postings SET amount_cents = amount_cents + {cents}")
                for source in (query, f"{here.url}/ledger/sums"):
                    ledger = Ledger(transfers="csv:t", settlements="csv:s", sums=source)
                    told = await asyncio.to_thread(sums, ledger, 0.0)
                    assert told == {"postings_cents": 5 * cents}

    play(story())


def test_a_plan_asks_for_the_sums_too(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_DSN", database)
    sql(database, Path("lab/wallet/schema.sql").read_text())
    for query, answered in ((SUM, True), ("SELECT 1 AS other", False)):
        path = tmp_path / "environment.yaml"
        source = {"dsn_env": "LEDGER_DSN", "query": query}
        path.write_text(yaml.safe_dump(changed(ENVIRONMENT, "ledger.sums", source)))
        asked = questions(read_environment(path))["sums"]
        if answered:
            assert asked() == "answers"
        else:
            with pytest.raises(Unreachable, match="does not tell postings_cents or total_cents"):
                asked()


def test_a_file_tells_no_sum_of_now(tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    path.write_text(yaml.safe_dump(changed(ENVIRONMENT, "ledger.sums", "csv:sums.csv")))
    with pytest.raises(InvalidInput, match="a file cannot tell them"):
        read_environment(path)
