"""The books: each step of a transfer is one call of a database function, hence one transaction."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from lab.wallet.transfer import Order, Transfer, end_to_end_id

IN_FLIGHT_SECONDS = 6.0  # longer than two calls of a gateway and the books in between
CLAIM_SECONDS = 5.0
ANSWER_SECONDS = 0.8
HALF_SECONDS = 0.5  # between debit and credit, when the defect money-lost is planted
SCHEMA = Path(__file__).with_name("schema.sql")
SCHEMA_LOCK = 7_146_001  # of all advisory locks, the one that guards making the schema

COLUMNS = "id, rail, account, payee, amount_cents, end_to_end_id, fee_cents, state, gateway, reason"
RESERVE = f"SELECT {COLUMNS} FROM reserve(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
CLAIM = f"""
UPDATE transfers SET claimed_at = clock_timestamp() WHERE id IN (
    SELECT id FROM transfers
     WHERE state IN ('reserved', 'sent', 'unknown')
       AND (state = 'unknown' OR changed_at < clock_timestamp() - %s * interval '1 second')
       AND claimed_at < clock_timestamp() - %s * interval '1 second'
     ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING {COLUMNS}"""
LINES = """
SELECT json_build_object('id', id, 'end_to_end_id', end_to_end_id, 'rail', rail,
       'account', account, 'amount_cents', amount_cents, 'fee_cents', fee_cents,
       'state', state, 'postings', coalesce((
           SELECT json_agg(json_build_object('account', p.account,
                                             'amount_cents', p.amount_cents) ORDER BY p.number)
             FROM postings p WHERE p.transfer = t.id), '[]'))::text
  FROM transfers t WHERE received_at >= to_timestamp(%s) ORDER BY received_at"""
SUM = """
SELECT coalesce(sum(p.amount_cents), 0)
  FROM transfers t JOIN postings p ON p.transfer = t.id WHERE t.received_at >= to_timestamp(%s)"""

type Row = Sequence[Any]


class Ledger:
    """The database behind one replica."""

    def __init__(self, url: str, pod: str, *, halved: bool = False) -> None:
        self._pod = pod
        self._halved = halved
        self._pool = AsyncConnectionPool(
            url,
            min_size=2,
            max_size=10,
            timeout=2.0,
            open=False,
            kwargs={"autocommit": True, "prepare_threshold": 0},
        )

    async def open(self) -> None:
        """Connect and make the schema where there is none; waits up to 30 s for the database."""
        await self._pool.open(wait=True, timeout=30)
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            found = await connection.execute("SELECT to_regclass('transfers')")
            if await found.fetchone() == (None,):
                await connection.execute(SCHEMA.read_bytes(), prepare=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close()

    async def reachable(self) -> bool:
        """Does the database answer, before whoever probes this replica gives up?"""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._one("SELECT 1") == (1,)
        except (psycopg.Error, TimeoutError):
            return False

    async def balance(self, account: str) -> int | None:
        """The account's cents, or None where there is no such account."""
        row = await self._one("SELECT balance_cents FROM accounts WHERE account = %s", (account,))
        return None if row is None else int(row[0])

    async def total(self) -> int:
        """The cents on all customers' accounts."""
        row = await self._one("SELECT sum(balance_cents) FROM accounts")
        return int(row[0]) if row else 0

    async def reserve(self, order: Order, refusal: str) -> tuple[Transfer, bool]:
        """Book the order as reserved, or refused; False when its id was booked before."""
        new = end_to_end_id()
        what = (order.id, new, order.rail, order.account, order.payee, order.amount_cents)
        row = await self._one(RESERVE, (*what, order.fee_cents, refusal, self._pod, self._halved))
        assert row is not None
        transfer = _transfer(row)
        fresh = transfer.end_to_end_id == new
        if fresh and transfer.state == "received":
            await asyncio.sleep(HALF_SECONDS)
            await self._one("SELECT credit_suspense(%s)", (order.id,))
        return transfer, fresh

    async def sent(self, transfer: Transfer) -> None:
        """The payment may reach a bank from now on."""
        await self._one("SELECT mark_sent(%s)", (transfer.order.id,))

    async def renumber(self, transfer: Transfer) -> None:
        """Give the transfer another end-to-end id: only the defect pays-twice does."""
        await self._one("SELECT renumber(%s, %s)", (transfer.order.id, transfer.end_to_end_id))

    async def unknown(self, transfer: Transfer) -> str:
        """No attempt is in flight any more and none told the outcome; the state it then has."""
        return await self._state("SELECT mark_unknown(%s)", (transfer.order.id,))

    async def settle(self, transfer: Transfer, gateway: str) -> str:
        """The bank paid: out of suspense; the state it then has."""
        return await self._state("SELECT settle(%s, %s)", (transfer.order.id, gateway))

    async def fail(self, transfer: Transfer) -> str:
        """The bank did not and will not pay: back to the account; the state it then has."""
        return await self._state("SELECT fail(%s)", (transfer.order.id,))

    async def claim(self, count: int) -> list[Transfer]:
        """Up to so many transfers that nobody works on; no other replica gets them for 5 s."""
        async with self._pool.connection() as connection:
            found = await connection.execute(CLAIM, (IN_FLIGHT_SECONDS, CLAIM_SECONDS, count))
            return [_transfer(row) for row in await found.fetchall()]

    async def lines(self, since: float) -> AsyncIterator[bytes]:
        """Every transfer received since then (Unix seconds) as lines of JSON, in blocks."""
        async with self._snapshot() as connection, connection.cursor("lines") as cursor:
            await cursor.execute(LINES, (since,))
            while rows := await cursor.fetchmany(500):
                yield "".join(f"{row[0]}\n" for row in rows).encode()

    async def sum(self, since: float) -> int:
        """All postings of transfers received since then, in cents: one statement, one snapshot."""
        row = await self._one(SUM, (since,))
        return int(row[0]) if row else 0

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        async with self._pool.connection() as connection, connection.transaction():
            yield connection

    async def _one(self, query: str, values: Sequence[Any] = ()) -> Row | None:
        async with self._pool.connection() as connection:
            found = await connection.execute(query.encode(), values)
            row: Row | None = await found.fetchone()
            return row

    async def _state(self, query: str, values: Sequence[Any]) -> str:
        row = await self._one(query, values)
        return str(row[0]) if row else ""


def _transfer(row: Row) -> Transfer:
    return Transfer(Order(*row[:5]), *row[5:])
