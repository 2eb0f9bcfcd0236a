"""The banks' side: one settlement for an end-to-end id, and none after it was voided."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.wallet.banks import Banks, Record
from tests.wallet_case import listening, play

pytestmark = pytest.mark.integration

ID = "E2786575720260101120000000000001"


def test_money_moves_once_for_an_id_whichever_gateway_is_asked() -> None:
    record = Record()
    first = record.settle(ID, "pix-primary", 100)
    assert record.settle(ID, "pix-backup", 100) == first
    assert [one.gateway for one in record.since(0)] == ["pix-primary"]


def test_a_voided_payment_can_never_be_made() -> None:
    record = Record()
    assert record.void(ID) is None
    assert record.settle(ID, "ted", 100) is None
    assert record.state(ID) == ("voided", None)
    assert record.since(0) == []


def test_a_payment_that_was_made_cannot_be_voided() -> None:
    record = Record()
    settlement = record.settle(ID, "ted", 100)
    assert record.void(ID) == settlement
    assert record.state(ID) == ("settled", settlement)


async def _ask(url: str, body: Any = None) -> tuple[int, Any]:
    method = "POST" if body is not None else "GET"
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, url, json=body) as answer,
    ):
        return answer.status, await answer.json()


def test_the_doors_speak_as_agreed() -> None:
    async def story() -> None:
        banks, runners = Banks(), list[web.AppRunner]()
        gateway = await listening(banks.gateway("pix-primary"), runners)
        record = await listening(banks.record_door(), runners)
        try:
            payment = {"end_to_end_id": ID, "amount_cents": 100}
            assert (await _ask(f"{gateway}/payments/{ID}"))[0] == 404
            code, body = await _ask(f"{gateway}/payments", payment)
            assert (code, body["state"], body["gateway"]) == (201, "settled", "pix-primary")
            assert (await _ask(f"{gateway}/payments", payment)) == (code, body)
            assert (await _ask(f"{record}/payments/{ID}")) == (200, body)
            assert (await _ask(f"{record}/payments/{ID}/void", {})) == (409, body)
            other = ID[:-1] + "2"
            assert (await _ask(f"{gateway}/payments/{other}/void", {}))[1] == {"state": "voided"}
            refused = await _ask(f"{gateway}/payments", {**payment, "end_to_end_id": other})
            assert refused == (410, {"state": "voided"})
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in runners))

    play(story())


@pytest.mark.parametrize(
    "payment",
    [{}, [], {"end_to_end_id": "E1", "amount_cents": 1}, {"end_to_end_id": ID, "amount_cents": 0}],
)
def test_a_payment_that_makes_no_sense_is_rejected(payment: Any) -> None:
    async def story() -> None:
        banks, runners = Banks(), list[web.AppRunner]()
        gateway = await listening(banks.gateway("ted"), runners)
        try:
            code, body = await _ask(f"{gateway}/payments", payment)
            assert (code, body) == (422, {"state": "rejected"})
            assert banks.record.since(0) == []
        finally:
            await asyncio.gather(*(runner.cleanup() for runner in runners))

    play(story())
