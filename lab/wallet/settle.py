"""The settling loop: ends transfers that nobody works on any more, by asking the bank side.

Such a transfer timed out everywhere, or its replica died. The record is asked to void the payment,
which it does unless the payment was made; after that it can never be made: there is no race.
"""

import asyncio
import logging

import aiohttp
import psycopg

from lab.wallet.audit import Audit
from lab.wallet.ledger import Ledger
from lab.wallet.metrics import Metrics
from lab.wallet.transfer import Transfer

EVERY_SECONDS = 1.0
AT_ONCE = 50

log = logging.getLogger(__name__)


class Settler:
    """One replica's settling loop. `record` is the base URL of the banks' settlement record."""

    def __init__(
        self, ledger: Ledger, session: aiohttp.ClientSession, record: str, metrics: Metrics
    ) -> None:
        self._ledger = ledger
        self._session = session
        self._record = record
        self._metrics = metrics

    async def run(self, audit: Audit) -> None:
        """Go round once a second, for ever; what cannot be reached is tried again."""
        while True:
            try:
                self._metrics.balance.set(await self._ledger.total())
                await self.round(audit)
            except psycopg.Error as error:
                log.warning("settling: %r", error)
            await asyncio.sleep(EVERY_SECONDS)

    async def round(self, audit: Audit) -> int:
        """End what can be ended now, and leave the rest to a later round; how many it tried."""
        claimed = await self._ledger.claim(AT_ONCE)
        ends = (self._end(transfer, audit) for transfer in claimed)
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if error is not None:
                log.warning("settling one: %r", error)
        return len(claimed)

    async def _end(self, transfer: Transfer, audit: Audit) -> None:
        gateway = await self._paid_by(transfer)
        if gateway:
            state = await self._ledger.settle(transfer, gateway)
        else:
            state = await self._ledger.fail(transfer)
        audit.step(transfer, state, gateway, "found by the settling loop")
        self._metrics.ended(transfer.order.rail, gateway, state)
        if gateway:
            self._metrics.fees.inc(transfer.fee_cents)

    async def _paid_by(self, transfer: Transfer) -> str:
        """Which gateway paid; empty when the payment is void from now on."""
        url = f"{self._record}/payments/{transfer.end_to_end_id}/void"
        async with self._session.post(url) as response:
            answer = await response.json()
            if response.status == 409 and answer["state"] == "settled":
                return str(answer["gateway"])
            response.raise_for_status()
            return ""
