"""The path of one transfer: received → reserved → sent → settled, failed or, for a while, unknown.

A timeout or a broken connection leaves open whether the bank paid. The next gateway is asked with
the same end-to-end id, so the banks settle once; where that fails too, the settling loop finds out.
"""

from dataclasses import dataclass, replace

from lab.wallet import fraud
from lab.wallet.audit import Audit
from lab.wallet.gateways import Gateways, Outcome
from lab.wallet.ledger import Ledger
from lab.wallet.metrics import Metrics
from lab.wallet.settings import RAILS
from lab.wallet.transfer import Order, Transfer, end_to_end_id


class OtherOrderError(Exception):
    """The idempotency key belongs to an order that asked for something else."""


@dataclass(frozen=True)
class Attempts:
    """What asking the gateways came to: the transfer, who paid, whether someone may have."""

    transfer: Transfer
    paid_by: str = ""
    ambiguous: bool = False


class Transfers:
    """Makes transfers for one replica."""

    def __init__(
        self,
        ledger: Ledger,
        gateways: Gateways,
        metrics: Metrics,
        audit: Audit,
        *,
        pays_twice: bool = False,
    ) -> None:
        self._ledger = ledger
        self._gateways = gateways
        self._metrics = metrics
        self._audit = audit
        self._pays_twice = pays_twice

    async def make(self, order: Order) -> Transfer:
        """Carry the order out once, however often it is asked for.

        Raises:
            OtherOrderError: the key is known from an order that asked for something else.
            psycopg.Error: the books cannot be reached.
        """
        refusal = "fraud" if fraud.suspicious(order) else ""
        transfer, fresh = await self._ledger.reserve(order, refusal)
        if transfer.order != order:
            raise OtherOrderError(order.id)
        if not fresh:
            return transfer
        self._audit.step(transfer, "received")
        if transfer.state == "refused":
            return self._refused(transfer)
        self._audit.step(transfer, "reserved")
        return await self._ended(await self._send(transfer))

    async def _send(self, transfer: Transfer) -> Attempts:
        ambiguous = False
        for gateway in RAILS[transfer.order.rail]:
            if ambiguous and self._pays_twice:
                transfer = await self._renumbered(transfer)
            outcome = await self._attempt(transfer, gateway)
            if outcome is Outcome.OK:
                return Attempts(transfer, gateway)
            if outcome is Outcome.REJECTED:
                break
            ambiguous = ambiguous or (outcome is not None and outcome.ambiguous)
        return Attempts(transfer, ambiguous=ambiguous)

    async def _attempt(self, transfer: Transfer, gateway: str) -> Outcome | None:
        permit = self._gateways.admit(gateway)
        if permit is None:
            self._audit.step(transfer, "held back", gateway, "breaker open")
            return None
        payment = {
            "end_to_end_id": transfer.end_to_end_id,
            "amount_cents": transfer.order.amount_cents,
        }
        first = self._ledger.sent(transfer)
        outcome = await self._gateways.pay(gateway, permit, payment, first)
        self._audit.step(transfer, "sent", gateway, outcome)
        return outcome

    async def _renumbered(self, transfer: Transfer) -> Transfer:
        new = replace(transfer, end_to_end_id=end_to_end_id())
        await self._ledger.renumber(new)
        return new

    async def _ended(self, attempts: Attempts) -> Transfer:
        transfer = attempts.transfer
        if attempts.paid_by:
            state = await self._ledger.settle(transfer, attempts.paid_by)
        elif attempts.ambiguous:
            state = await self._ledger.unknown(transfer)
        else:
            state = await self._ledger.fail(transfer)
        self._audit.step(transfer, state, attempts.paid_by)
        self._metrics.ended(transfer.order.rail, attempts.paid_by, state)
        if state == "settled":
            self._metrics.fees.inc(transfer.fee_cents)
        return replace(transfer, state=state, gateway=attempts.paid_by)

    def _refused(self, transfer: Transfer) -> Transfer:
        self._audit.step(transfer, "refused", outcome=transfer.reason)
        self._metrics.ended(transfer.order.rail, "", "refused")
        if transfer.reason == "fraud":
            self._metrics.frauds.inc()
        return transfer
