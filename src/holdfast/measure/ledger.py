"""The rows of a ledger and of the banks' record, their shape checked.

What is wrong with one is looked for only when it is wrong.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from holdfast.model import Json

FEES = "fees"
FINAL = {"settled", "failed", "refused"}
PENDING = {"received", "reserved", "sent", "unknown"}
_STATES = FINAL | PENDING


class Row(NamedTuple):
    """One transfer of the ledger, its shape checked; `net`: what each account gained, in cents."""

    id: str
    end_to_end_id: str
    rail: str
    account: str
    amount: int
    fee: int
    state: str
    net: Mapping[str, int]

    @property
    def right(self) -> Mapping[str, int]:
        """What a settled transfer moves."""
        return moved(self.account, self.rail, self.amount, self.fee)


class Ledger:
    """Every transfer, by its id and by the number that banks know it by.

    Raises:
        ValueError: a row is not what it has to be.
    """

    def __init__(self, rows: Iterable[Json]) -> None:
        self.by_id: defaultdict[str, list[Row]] = defaultdict(list)
        self.by_end: defaultdict[str, list[Row]] = defaultdict(list)
        self.pending: set[str] = set()
        for raw in rows:
            row = _row(raw)
            self.by_id[row.id].append(row)
            self.by_end[row.end_to_end_id].append(row)
            if row.state in PENDING:
                self.pending.add(row.id)


def settled(raw: Json) -> tuple[str, int]:
    """The number of a transfer that a bank settled, and the cents.

    Raises:
        ValueError: the row is not what it has to be.
    """
    try:
        number, cents = raw["end_to_end_id"], raw["amount_cents"]
    except (KeyError, TypeError):
        number, cents = "", None
    if type(number) is not str or not number or type(cents) is not int:
        return _text(raw, "end_to_end_id"), _cents(raw, "amount_cents")
    return number, cents


def moved(account: str, rail: str, amount: int, fee: int) -> dict[str, int]:
    """What a settled transfer moves: by account, what each gains, in cents."""
    payment = f"settlement:{rail}"
    gains = {account: -(amount + fee), payment: amount, FEES: fee}
    if len(gains) < 3:  # two of the accounts are one
        gains = {account: -(amount + fee)}
        for name, cents in ((payment, amount), (FEES, fee)):
            gains[name] = gains.get(name, 0) + cents
    return _without_zeros(gains) if 0 in gains.values() else gains


def net(postings: Any) -> dict[str, int]:
    """What postings move: by account, what each gains, in cents; whose gain is 0 is left out.

    Raises:
        TypeError: one of them is not what it has to be.
        KeyError: a member is missing.
    """
    gains: dict[str, int] = {}
    for posting in postings:
        account, cents = posting["account"], posting["amount_cents"]
        if type(account) is not str or not account or type(cents) is not int:
            raise TypeError
        gains[account] = gains.get(account, 0) + cents
    return _without_zeros(gains) if 0 in gains.values() else gains


def _row(raw: Json) -> Row:
    """A row of the ledger; looked at piece by piece only when it is not as it has to be."""
    try:
        postings = raw["postings"]
        row = Row(
            raw["id"],
            raw["end_to_end_id"],
            raw["rail"],
            raw["account"],
            raw["amount_cents"],
            raw["fee_cents"],
            raw["state"],
            net(postings),
        )
    except (KeyError, TypeError, AttributeError):
        row = None
    if row is None or not _is_well_formed(row):
        _refuse(raw)
        raise ValueError(f"malformed: {raw}")
    return row


def _without_zeros(gains: dict[str, int]) -> dict[str, int]:
    return {account: cents for account, cents in gains.items() if cents}


def _is_well_formed(row: Row) -> bool:
    id_, number, rail, account, amount, fee, state, _ = row
    return (
        type(id_) is type(number) is type(rail) is type(account) is type(state) is str
        and type(amount) is type(fee) is int
        and state in _STATES
        and "" not in (id_, number, rail, account)
    )


def _refuse(raw: Json) -> None:
    """Say what is wrong with a row of the ledger."""
    postings = raw.get("postings") if isinstance(raw, Mapping) else None
    if not isinstance(postings, list | tuple):
        raise ValueError(f"a ledger row without postings: {raw}")
    for posting in postings:
        _text(posting, "account")
        _cents(posting, "amount_cents")
    for name in ("id", "end_to_end_id", "rail", "account", "state"):
        _text(raw, name)
    _cents(raw, "amount_cents")
    _cents(raw, "fee_cents")
    if raw["state"] not in _STATES:
        raise ValueError(f"a transfer in a state that nobody knows: {raw['state']}")


def _text(raw: Json, name: str) -> str:
    value = raw.get(name) if isinstance(raw, dict | Mapping) else None  # a dict is known at once
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing in {raw}")
    return value


def _cents(raw: Json, name: str) -> int:
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is not a whole number of cents in {raw}")
    return value
