"""The rows of a ledger and of the banks' record, their shape checked.

Hundreds of thousands of them are read; what is wrong with one is looked for only when it is wrong.
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
    def is_right(self) -> bool:
        """Is it settled, and moved what it should? The common case, without making a dictionary."""
        net = self.net
        return (
            self.state == "settled"
            and len(net) == 3
            and net.get(self.account) == -(self.amount + self.fee) < 0
            and net.get(FEES) == self.fee > 0
            and net.get(f"settlement:{self.rail}") == self.amount
        ) or (self.state == "settled" and net == self.right)

    @property
    def right(self) -> dict[str, int]:
        """What a settled transfer moves."""
        moved = {self.account: -(self.amount + self.fee)}
        for account, cents in ((f"settlement:{self.rail}", self.amount), (FEES, self.fee)):
            moved[account] = moved.get(account, 0) + cents
        return _without_zeros(moved)


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


def settled(settlements: Iterable[Json]) -> Mapping[str, list[int]]:
    """What the banks settled, in cents, by the number of the transfer.

    Raises:
        ValueError: a row is not what it has to be.
    """
    paid: defaultdict[str, list[int]] = defaultdict(list)
    for raw in settlements:
        try:
            number, cents = raw["end_to_end_id"], raw["amount_cents"]
        except (KeyError, TypeError):
            number, cents = "", None
        if type(number) is not str or not number or type(cents) is not int:
            number, cents = _text(raw, "end_to_end_id"), _cents(raw, "amount_cents")
        paid[number].append(cents)
    return paid


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
            _net(postings),
        )
    except (KeyError, TypeError, AttributeError):
        row = None
    if row is None or not _is_well_formed(row):
        _refuse(raw)
        raise ValueError(f"malformed: {raw}")
    return row


def _net(postings: Any) -> dict[str, int]:
    net: dict[str, int] = {}
    for posting in postings:
        account, cents = posting["account"], posting["amount_cents"]
        if type(account) is not str or not account or type(cents) is not int:
            raise TypeError
        net[account] = net.get(account, 0) + cents
    return _without_zeros(net) if 0 in net.values() else net


def _without_zeros(moved: dict[str, int]) -> dict[str, int]:
    return {account: cents for account, cents in moved.items() if cents}


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
