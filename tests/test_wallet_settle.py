"""The settling loop: every transfer comes to an end, and the end is what the banks say."""

import pytest

from lab.wallet.transfer import Order
from tests.wallet_case import Wallet, play, wallet

pytest_plugins = ["tests.wallet_fixtures"]

AGED = "UPDATE transfers SET changed_at = changed_at - interval '6 seconds'"


def test_unknown_to_us_but_paid_is_settled(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            here.moods["ted"].now = "pays silently"
            code, body = await here.transfer("key-1", "ted")
            assert (code, body["state"]) == (202, "unknown")
            assert await here.settling_round() == 1
            assert (await here.booked())["state"] == "settled"
            assert (await here.transfer("key-1", "ted"))[0] == 201
            assert here.paid() == [(body["end_to_end_id"], "ted", 1234)]
            assert await here.balance() == 100_000_000 - 2084

    play(story())


def test_unknown_and_not_paid_is_voided_and_the_money_goes_back(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            here.moods["ted"].now = "silent"
            _, body = await here.transfer("key-1", "ted")
            assert await here.settling_round() == 1
            assert (await here.booked())["state"] == "failed"
            assert await here.balance() == 100_000_000
            assert here.banks.record.settle(body["end_to_end_id"], "ted", 1234) is None
            assert await here.settling_round() == 0

    play(story())


@pytest.mark.parametrize("sent", [True, False])
def test_what_a_dead_replica_left_is_ended_after_six_seconds(database: str, sent: bool) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await _left_behind(here, sent=sent)
            assert await here.settling_round() == 0
            await here.sql(AGED)
            assert await here.settling_round() == 1
            assert (await here.booked())["state"] == "failed"
            assert await here.balance() == 100_000_000

    play(story())


def test_what_a_dead_replica_had_paid_is_settled(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            end_to_end_id = await _left_behind(here, sent=True)
            here.banks.record.settle(end_to_end_id, "pix-backup", 1234)
            await here.sql(AGED)
            await here.settling_round()
            assert (await here.booked())["state"] == "settled"
            assert await here.sql("SELECT gateway FROM transfers") == [("pix-backup",)]

    play(story())


def test_a_replica_that_wakes_up_after_the_void_can_pay_no_more(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            end_to_end_id = await _left_behind(here, sent=True)
            await here.sql(AGED)
            await here.settling_round()
            permit = here.replica.gateways.admit("pix-primary")
            assert permit is not None
            payment = {"end_to_end_id": end_to_end_id, "amount_cents": 1234}
            outcome = await here.replica.gateways.pay("pix-primary", permit, payment, _nothing())
            assert outcome == "rejected"
            assert here.paid() == []

    play(story())


def test_two_replicas_never_take_the_same_transfer(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as one, wallet(database) as other:
            one.moods["ted"].now = "silent"
            await one.transfer("key-1", "ted")
            claimed = await one.replica.ledger.claim(50)
            assert [transfer.order.id for transfer in claimed] == ["key-1"]
            assert await other.replica.ledger.claim(50) == []

    play(story())


def test_while_the_record_is_away_nothing_is_decided(database: str) -> None:
    async def story() -> None:
        async with wallet(database, bank_record="http://127.9.0.21:9") as here:
            here.moods["ted"].now = "pays silently"
            await here.transfer("key-1", "ted")
            assert await here.settling_round() == 1
            assert (await here.booked())["state"] == "unknown"

    play(story())


def test_with_the_defect_a_transfer_that_died_in_its_middle_is_never_ended(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.sql(
                "SELECT reserve('key-1', 'E1', 'pix', 'acc-0001', 'ext-0001', 1234, 10, '', 'dead',"
                " true)"
            )
            await here.sql(AGED)
            assert await here.settling_round() == 0
            booked = await here.booked()
            assert booked["state"] == "received"
            assert booked["postings"] == [{"account": "acc-0001", "amount_cents": -1244}]

    play(story())


def test_with_the_defect_a_transfer_that_lives_is_whole_after_half_a_second(database: str) -> None:
    async def story() -> None:
        async with wallet(database, "money-lost") as here:
            assert (await here.transfer())[0] == 201
            booked = await here.booked()
            assert booked["state"] == "settled"
            assert sum(posting["amount_cents"] for posting in booked["postings"]) == 0

    play(story())


async def _left_behind(here: Wallet, *, sent: bool) -> str:
    """What a replica leaves that dies after it reserved, or sent; the end-to-end id."""
    order = Order("key-1", "pix", "acc-0001", "ext-0001", 1234)
    transfer, _ = await here.replica.ledger.reserve(order, "")
    if sent:
        await here.replica.ledger.sent(transfer)
    return transfer.end_to_end_id


async def _nothing() -> None:
    pass
