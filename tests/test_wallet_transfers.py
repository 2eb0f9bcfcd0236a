"""Transfers through real gateways on loopback: who pays, how often, and what the books say."""

import asyncio

import pytest

from lab.wallet.breaker import Limits
from tests.wallet_case import LIMITS, play, wallet

pytest_plugins = ["tests.wallet_fixtures"]

NOBODY_THERE = {"pix-primary": "http://127.9.0.21:9"}
NEVER_OPEN = Limits(minimum=20, slow_seconds=0.2, call_limit=0.4)
OPENS_AT_ONCE = Limits(window=1, minimum=1, slow_seconds=0.2, call_limit=0.4)


def test_a_pix_transfer_is_paid_by_the_primary_and_costs_ten_cents(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            code, body = await here.transfer()
            assert code == 201
            assert len(body["end_to_end_id"]) == 32
            assert body["end_to_end_id"].startswith("E")
            assert body == {
                "end_to_end_id": body["end_to_end_id"],
                "state": "settled",
                "gateway": "pix-primary",
                "fee_cents": 10,
            }
            assert here.paid() == [(body["end_to_end_id"], "pix-primary", 1234)]
            assert await here.balance() == 100_000_000 - 1244

    play(story())


def test_a_ted_transfer_costs_eight_fifty(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            code, body = await here.transfer("key-1", "ted")
            assert (code, body["gateway"], body["fee_cents"]) == (201, "ted", 850)
            assert await here.balance() == 100_000_000 - 1234 - 850

    play(story())


def test_every_step_is_booked_twice(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.transfer()
            assert (await here.booked())["postings"] == [
                {"account": "acc-0001", "amount_cents": -1244},
                {"account": "suspense", "amount_cents": 1244},
                {"account": "suspense", "amount_cents": -1244},
                {"account": "settlement:pix", "amount_cents": 1234},
                {"account": "fees", "amount_cents": 10},
            ]

    play(story())


@pytest.mark.parametrize("mood", ["pays silently", "silent", "breaks", "fails"])
def test_the_backup_carries_what_the_primary_does_not_answer_and_money_moves_once(
    database: str, mood: str
) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            here.moods["pix-primary"].now = mood
            code, body = await here.transfer()
            assert (code, body["gateway"]) == (201, "pix-backup")
            payer = "pix-primary" if mood == "pays silently" else "pix-backup"
            assert here.paid() == [(body["end_to_end_id"], payer, 1234)]

    play(story())


def test_with_the_defect_a_failover_pays_twice(database: str) -> None:
    async def story() -> None:
        async with wallet(database, "pays-twice") as here:
            here.moods["pix-primary"].now = "pays silently"
            code, body = await here.transfer()
            assert (code, body["gateway"]) == (201, "pix-backup")
            first, second = here.paid()
            assert [first[1], second[1]] == ["pix-primary", "pix-backup"]
            assert second[0] == body["end_to_end_id"] != first[0]
            assert await here.balance() == 100_000_000 - 1244

    play(story())


def test_the_defect_changes_nothing_while_the_primary_answers(database: str) -> None:
    async def story() -> None:
        async with wallet(database, "pays-twice") as here:
            await here.transfer()
            assert len(here.paid()) == 1

    play(story())


def test_a_primary_that_is_not_there_is_no_ambiguity(database: str) -> None:
    async def story() -> None:
        async with wallet(database, gateways=NOBODY_THERE) as here:
            code, body = await here.transfer()
            assert (code, body["gateway"]) == (201, "pix-backup")
            assert await here.metric(_calls("pix-primary", "refused")) == 1

    play(story())


def test_pix_without_any_answer_is_unknown_and_the_money_waits_in_suspense(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            here.moods["pix-primary"].now = "silent"
            here.moods["pix-backup"].now = "breaks"
            code, body = await here.transfer()
            assert (code, body["state"], body["gateway"]) == (202, "unknown", "")
            booked = await here.booked()
            assert booked["state"] == "unknown"
            assert booked["postings"] == [
                {"account": "acc-0001", "amount_cents": -1244},
                {"account": "suspense", "amount_cents": 1244},
            ]

    play(story())


def test_money_goes_back_when_ted_was_never_sent(database: str) -> None:
    async def story() -> None:
        async with wallet(database, gateways={"ted": "http://127.9.0.21:9"}) as here:
            code, body = await here.transfer("key-1", "ted")
            assert (code, body["state"]) == (502, "failed")
            assert await here.balance() == 100_000_000
            assert (await here.booked())["postings"] == [
                {"account": "acc-0001", "amount_cents": -2084},
                {"account": "suspense", "amount_cents": 2084},
                {"account": "suspense", "amount_cents": -2084},
                {"account": "acc-0001", "amount_cents": 2084},
            ]

    play(story())


def test_an_open_breaker_sends_pix_to_the_backup_without_a_call(database: str) -> None:
    async def story() -> None:
        async with wallet(database, limits=OPENS_AT_ONCE) as here:
            here.moods["pix-primary"].now = "fails"
            await here.transfer("key-1")
            await here.transfer("key-2")
            assert here.moods["pix-primary"].asked == 1
            assert here.moods["pix-backup"].asked == 2
            assert await here.metric(_state("pix-primary", "open")) == 1
            assert await here.metric(_state("pix-primary", "closed")) == 0

    play(story())


def test_an_open_breaker_before_ted_fails_at_once_and_gives_the_money_back(database: str) -> None:
    async def story() -> None:
        async with wallet(database, limits=OPENS_AT_ONCE) as here:
            here.moods["ted"].now = "fails"
            assert (await here.transfer("key-1", "ted"))[0] == 202
            assert await here.transfer("key-2", "ted") == (
                502,
                {"state": "failed", "end_to_end_id": (await here.booked("key-2"))["end_to_end_id"]},
            )
            assert here.moods["ted"].asked == 1
            assert await here.balance() == 100_000_000 - 2084  # the first is still unknown

    play(story())


def test_ten_failed_calls_open_the_breaker_and_with_the_defect_none_do(
    database: str,
) -> None:
    async def story() -> None:
        for defects, asked in (((), 10), (("breaker-stuck",), 20)):
            async with wallet(database, *defects) as here:
                here.moods["pix-primary"].now = "fails"
                for number in range(20):
                    await here.transfer(f"{defects}-{number}")
                assert here.moods["pix-primary"].asked == asked

    play(story())


def test_a_hanging_gateway_does_not_make_calls_wait_for_each_other(database: str) -> None:
    async def story() -> None:
        async with wallet(database, limits=NEVER_OPEN) as here:
            here.moods["pix-primary"].now = "silent"
            keys = [f"key-{number}" for number in range(19)]
            async with asyncio.timeout(4 * LIMITS.call_limit):
                answers = await asyncio.gather(*(here.transfer(key) for key in keys))
            assert {code for code, _ in answers} == {201}

    play(story())


def test_a_payment_that_the_bank_rejects_fails_and_is_not_tried_elsewhere(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            end_to_end_id = (await here.transfer())[1]["end_to_end_id"]
            permit = here.replica.gateways.admit("pix-primary")
            assert permit is not None
            payment = {"end_to_end_id": end_to_end_id, "amount_cents": 1235}
            outcome = await here.replica.gateways.pay(
                "pix-primary", permit, payment, asyncio.sleep(0)
            )
            assert outcome == "rejected"
            assert not outcome.failed
            assert not outcome.ambiguous

    play(story())


def _calls(gateway: str, outcome: str) -> str:
    return (
        "wallet_gateway_call_duration_seconds_count"
        f'{{gateway="{gateway}",outcome="{outcome}",trial="false"}}'
    )


def _state(gateway: str, state: str) -> str:
    return f'wallet_breaker_state{{gateway="{gateway}",state="{state}"}}'
