"""The books: a key makes one transfer, money is neither made nor lost, replicas start together."""

import asyncio
import json

import pytest

from lab.wallet.ledger import Ledger
from lab.wallet.transfer import Order
from tests.wallet_case import Wallet, play, wallet

pytest_plugins = ["tests.wallet_fixtures"]


def order(key: str = "key-1", cents: int = 1234, account: str = "acc-0001") -> Order:
    return Order(key, "pix", account, "ext-0001", cents)


def test_the_same_key_again_answers_as_before_and_moves_no_money(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            first = await here.transfer()
            assert first[0] == 201
            assert await here.transfer() == first
            assert len(here.paid()) == 1
            assert await here.balance() == 100_000_000 - 1244

    play(story())


@pytest.mark.parametrize(
    "other", [{"amount_cents": 1235}, {"payee": "ext-0002"}, {"account": "acc-0002"}]
)
def test_the_same_key_for_another_order_is_a_conflict(
    database: str, other: dict[str, object]
) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.transfer()
            assert (await here.transfer("key-1", "pix", **other))[0] == 409
            assert (await here.transfer("key-1", "ted"))[0] == 409
            assert len(await here.lines()) == 1

    play(story())


def test_twenty_at_once_with_one_key_make_one_transfer(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            answers = await asyncio.gather(*(here.transfer() for _ in range(20)))
            assert {body["end_to_end_id"] for _, body in answers} == {here.paid()[0][0]}
            assert {code for code, _ in answers} <= {201, 202}
            assert len(here.paid()) == 1
            assert await here.balance() == 100_000_000 - 1244

    play(story())


def test_a_refused_transfer_leaves_no_postings(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            for key, reason, more in (
                ("large", "fraud", {"amount_cents": 1_000_001}),
                ("mule", "fraud", {"payee": "mule-0007"}),
                ("stranger", "account", {"account": "acc-1001"}),
            ):
                refused = (422, {"state": "refused", "reason": reason})
                assert await here.transfer(key, "pix", **more) == refused
                assert await here.transfer(key, "pix", **more) == refused
                assert (await here.booked(key))["postings"] == []
                assert (await here.booked(key))["state"] == "refused"
            assert here.paid() == []
            assert await here.metric("wallet_fraud_refusals_total") == 2

    play(story())


def test_an_account_is_never_overdrawn(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.sql("UPDATE accounts SET balance_cents = 5000 WHERE account = 'acc-0001'")
            keys = [f"key-{number}" for number in range(10)]
            answers = await asyncio.gather(*(here.transfer(key) for key in keys))
            assert [code for code, _ in answers].count(201) == 4  # four take 49.76
            assert [body for code, body in answers if code == 422] == [
                {"state": "refused", "reason": "funds"}
            ] * 6
            assert await here.balance() == 5000 - 4 * 1244

    play(story())


def test_money_is_neither_made_nor_lost(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            here.moods["ted"].now = "fails"
            rails = ["pix"] * 20 + ["ted"] * 3
            calls = (
                here.transfer(f"key-{n}", rail, account=f"acc-{n:04}", amount_cents=100 + n)
                for n, rail in enumerate(rails, 1)
            )
            await asyncio.gather(*calls)
            await here.settling_round()
            for line in await here.lines():
                assert sum(posting["amount_cents"] for posting in line["postings"]) == 0
            (customers,) = await here.sql("SELECT 100000000000 - sum(balance_cents) FROM accounts")
            outside = await here.sql(
                "SELECT sum(amount_cents) FROM postings WHERE account NOT LIKE 'acc-%'"
            )
            assert [customers] == outside
            assert await here.sql(
                "SELECT sum(amount_cents) FROM postings WHERE account = 'suspense'"
            ) == [(0,)]

    play(story())


def test_a_step_out_of_order_changes_nothing_and_gives_the_state(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            books = here.replica.ledger
            transfer, _ = await books.reserve(order(), "")
            assert await books.fail(transfer) == "failed"
            assert await books.settle(transfer, "pix-primary") == "failed"
            assert await books.unknown(transfer) == "failed"
            await books.sent(transfer)
            assert await books.fail(transfer) == "failed"
            assert await here.balance() == 100_000_000
            assert len((await here.booked())["postings"]) == 4

    play(story())


def test_the_books_name_what_was_received_since_an_instant(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.transfer("key-1")
            ((now,),) = await here.sql("SELECT extract(epoch FROM clock_timestamp())::float8")
            await here.transfer("key-2")
            assert [line["id"] for line in await here.lines()] == ["key-1", "key-2"]
            assert [line["id"] for line in await here.lines(now)] == ["key-2"]
            assert (await here.get("/ledger/transfers?since=yesterday"))[0] == 400
            assert (await here.get("/ledger/transfers?since=nan"))[0] == 400

    play(story())


def test_many_transfers_are_told_in_blocks(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.sql(
                "INSERT INTO transfers (id, end_to_end_id, rail, account, payee, amount_cents,"
                " fee_cents, state, pod) SELECT 'k' || n, 'E' || n, 'pix', 'acc-0001', 'ext-0001',"
                " 1, 10, 'refused', 'p' FROM generate_series(1, 1201) AS n"
            )
            assert len(await here.lines()) == 1201

    play(story())


def test_three_replicas_that_start_at_once_make_one_schema(database: str) -> None:
    async def story() -> None:
        ledgers = [Ledger(database, f"wallet-{number}") for number in range(3)]
        try:
            await asyncio.gather(*(ledger.open() for ledger in ledgers))
            assert await ledgers[0].total() == 1000 * 100_000_000
            for ledger in ledgers:
                assert await ledger.balance("acc-1000") == 100_000_000
        finally:
            await asyncio.gather(*(ledger.close() for ledger in ledgers))

    play(story())


# ── sums while money moves ────────────────────────────────────────────────────────────────────────


async def sums(here: Wallet, over: asyncio.Event) -> set[int]:
    """Every sum of all postings that is seen until it is over."""
    seen = set()
    while not over.is_set():
        code, text = await here.get("/ledger/sums?since=0")
        assert code == 200
        seen.add(json.loads(text)["postings_cents"])
        await asyncio.sleep(0.01)
    return seen


async def seen_while_money_moves(here: Wallet) -> set[int]:
    """Transfers that settle, fail and are refused, and the sums that are seen meanwhile."""
    over = asyncio.Event()
    looking = asyncio.create_task(sums(here, over))
    for mood in ("well", "fails"):
        here.moods["pix-primary"].now = here.moods["pix-backup"].now = mood
        keys = [f"{mood}-{number}" for number in range(10)]
        await asyncio.gather(*(here.transfer(key) for key in keys))
        await here.transfer(f"{mood}-poor", "pix", amount_cents=10**12)
        await here.settling_round()
    over.set()
    return await looking


def test_a_healthy_ledger_never_drifts(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            assert await seen_while_money_moves(here) == {0}
            assert {line["state"] for line in await here.lines()} >= {"settled", "refused"}

    play(story())


def test_with_the_defect_money_is_nowhere_for_half_a_second(database: str) -> None:
    """Every transfer is whole in the end: only who looks meanwhile sees it."""

    async def story() -> None:
        async with wallet(database, "money-lost") as here:
            seen = await seen_while_money_moves(here)
            assert min(seen) <= -1244
            assert max(seen) == 0
            assert json.loads((await here.get("/ledger/sums"))[1]) == {"postings_cents": 0}

    play(story())


def test_sums_are_of_transfers_since_then(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.transfer()
            await here.sql("DELETE FROM postings WHERE number = 1")
            assert json.loads((await here.get("/ledger/sums?since=0"))[1]) == {
                "postings_cents": 1244
            }
            later = "/ledger/sums?since=9999999999"
            assert json.loads((await here.get(later))[1]) == {"postings_cents": 0}
            assert (await here.get("/ledger/sums?since=x"))[0] == 400

    play(story())
