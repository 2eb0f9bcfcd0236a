"""What a customer asks for, and what the books know of it."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

BANK = "27865757"  # this wallet's number among the banks: eight digits of every end-to-end id
FEE_CENTS = {"pix": 10, "ted": 850}


@dataclass(frozen=True)
class Order:
    """What the customer asks for; `id` is the idempotency key."""

    id: str
    rail: str
    account: str
    payee: str
    amount_cents: int

    @property
    def fee_cents(self) -> int:
        """What the customer pays on top: 0.10 for PIX, 8.50 for TED."""
        return FEE_CENTS[self.rail]


@dataclass(frozen=True)
class Transfer:
    """A transfer as the books hold it."""

    order: Order
    end_to_end_id: str
    fee_cents: int
    state: str
    gateway: str = ""
    reason: str = ""


def end_to_end_id() -> str:
    """A new one: E, the bank, the minute in UTC, eleven characters by chance: 32 in all."""
    return f"E{BANK}{datetime.now(UTC):%Y%m%d%H%M}{secrets.token_hex(6)[:11]}"
