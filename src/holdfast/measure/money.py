"""No cent lost, none paid twice: customers' records, ledger and banks' settlements, matched by id.

Sound only once nothing moves any more: every transfer reached a final state, or it is unresolved.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.model import Json, Sample
from holdfast.verdict import Verdict

SUSPENSE, FEES = "suspense", "fees"
REFUSED_CODES = frozenset({400, 401, 403, 404, 422})  # these say: this transfer will never be made

_FINAL = {"settled", "failed", "refused"}
_PENDING = {"received", "reserved", "sent", "unknown"}


@dataclass(frozen=True)
class Difference:
    """One thing that does not add up: its kind, the transfer's id, the cents, one sentence."""

    kind: str
    id: str
    cents: int
    why: str


@dataclass(frozen=True)
class Money:
    """The outcome: what differs, how many transfers were compared, which are not final yet.

    `foreign` counts transfers in the ledger that are none of our customers'.
    """

    differences: tuple[Difference, ...]
    transfers: int
    unresolved: tuple[str, ...]
    foreign: int = 0

    @property
    def verdict(self) -> Verdict:
        """Broken when anything differs; unknown when something is open or nothing was compared."""
        if self.differences:
            return Verdict.BROKEN
        return Verdict.UNKNOWN if self.unresolved or not self.transfers else Verdict.HELD


@dataclass(frozen=True)
class _Row:
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
    def right(self) -> dict[str, int]:
        """What a settled transfer moves."""
        moved = Counter({self.account: -(self.amount + self.fee)})
        moved[f"settlement:{self.rail}"] += self.amount
        moved[FEES] += self.fee
        return {account: cents for account, cents in moved.items() if cents}


def reconcile(
    samples: Iterable[Sample], ledger: Iterable[Json], settlements: Iterable[Json]
) -> Money:
    """Match every transfer that customers sent with its postings and with the banks' record.

    `settlements` must not reach further back than `ledger`: one that no ledger row accounts for is
    money that left without a transfer.

    Raises:
        ValueError: a row of the ledger or of the settlements is not what it has to be.
    """
    sent: defaultdict[str, list[Sample]] = defaultdict(list)
    for one in samples:
        if one.id:
            sent[one.id].append(one)
    rows: defaultdict[str, list[_Row]] = defaultdict(list)
    for raw in ledger:
        row = _row(raw)
        rows[row.id].append(row)
    paid: defaultdict[str, list[int]] = defaultdict(list)
    for raw in settlements:
        paid[_text(raw, "end_to_end_id")].append(_cents(raw, "amount_cents"))
    differences = [
        *(found for id_, asked in sent.items() for found in _told(asked, rows.get(id_, []))),
        *(found for same in rows.values() for found in _posted(same)),
        *_banks(rows.values(), paid),
    ]
    unresolved = [id_ for id_ in sent if any(row.state in _PENDING for row in rows.get(id_, []))]
    return Money(
        tuple(sorted(set(differences), key=lambda one: (one.kind, one.id, one.why))),
        len(sent),
        tuple(sorted(unresolved)),
        sum(len(same) for id_, same in rows.items() if id_ not in sent),
    )


def _told(asked: Sequence[Sample], rows: Sequence[_Row]) -> Iterator[Difference]:
    """Does the ledger agree with what the customer was told?"""
    first = asked[0]
    states = {row.state for row in rows}
    if any(one.outcome == "ok" for one in asked):
        if "settled" not in states and not states & _PENDING:
            what = "is not in the ledger" if not rows else f"is {min(states)} in the ledger"
            yield Difference("lost", first.id, first.amount_cents, f"told settled, but it {what}")
    elif any(one.code == 202 for one in asked) and not rows:
        why = "told that it was accepted, but it is not in the ledger"
        yield Difference("lost", first.id, first.amount_cents, why)
    elif any(one.code in REFUSED_CODES for one in asked) and "settled" in states:
        why = f"told {first.code}, but it is settled in the ledger"
        yield Difference("failed but applied", first.id, first.amount_cents, why)
    for row in rows:
        if (row.account, row.amount) != (first.account, first.amount_cents):
            why = (
                f"asked for {first.amount_cents} from {first.account}, "
                f"the ledger has {row.amount} from {row.account}"
            )
            off = abs(row.amount - first.amount_cents) or row.amount
            yield Difference("wrong amount", first.id, off, why)


def _posted(rows: Sequence[_Row]) -> Iterator[Difference]:
    """Are the postings of one id those of its state?"""
    if len(rows) > 1:
        kind = "paid twice" if sum(row.state == "settled" for row in rows) > 1 else "recorded twice"
        why = f"{len(rows)} transfers of this id in the ledger"
        yield Difference(kind, rows[0].id, rows[0].amount, why)
    for row in rows:
        yield from _one_posted(row)


def _one_posted(row: _Row) -> Iterator[Difference]:
    total = sum(row.net.values())
    gained = sum(cents for account, cents in row.net.items() if account != row.account)
    taken = -row.net.get(row.account, 0)
    if total:
        kind = "wrong amount"
        if not gained:
            kind = "debit only"
        elif not taken:
            kind = "credit only"
        why = f"{taken} taken from {row.account}, {gained} posted elsewhere, state {row.state}"
        yield Difference(kind, row.id, abs(total), why)
    elif row.state == "settled" and row.net != row.right:
        twice = {account: 2 * cents for account, cents in row.right.items()}
        kind = "wrong amount"
        if row.net == twice:
            kind = "paid twice"
        elif not row.net:
            kind = "lost"
        off = sum(
            abs(row.net.get(name, 0) - row.right.get(name, 0))
            for name in row.net.keys() | row.right.keys()
        )
        why = f"posted {dict(row.net)}, right is {row.right}"
        yield Difference(kind, row.id, off // 2, why)
    elif row.state in ("failed", "refused") and row.net:
        why = f"{row.state}, but posted {dict(row.net)}"
        yield Difference("failed but applied", row.id, abs(taken) or abs(gained), why)


def _banks(
    rows: Iterable[Sequence[_Row]], paid: Mapping[str, Sequence[int]]
) -> Iterator[Difference]:
    """Exactly one settlement for each settled transfer, and none for any other."""
    by_end: defaultdict[str, list[_Row]] = defaultdict(list)
    for same in rows:
        for row in same:
            by_end[row.end_to_end_id].append(row)
    for end_to_end_id, amounts in paid.items():
        if end_to_end_id not in by_end:
            why = "the bank settled it, the ledger has no such transfer"
            kind = "settlement without settled transfer"
            yield Difference(kind, end_to_end_id, sum(amounts), why)
    for end_to_end_id, same in by_end.items():
        yield from _settled(same, paid.get(end_to_end_id, ()))


def _settled(rows: Sequence[_Row], amounts: Sequence[int]) -> Iterator[Difference]:
    first = rows[0]
    settled = [row for row in rows if row.state == "settled"]
    if len(settled) > len(amounts):
        why = f"{len(settled)} settled in the ledger, {len(amounts)} settled by the bank"
        kind = "settled without settlement record"
        yield Difference(kind, first.id, sum(row.amount for row in settled), why)
    if len(amounts) > max(1, len(settled)):
        why = f"the bank settled {first.end_to_end_id} {len(amounts)} times"
        yield Difference("paid twice", first.id, sum(amounts[1:]), why)
    if amounts and not settled and all(row.state in _FINAL for row in rows):
        why = f"{first.state} in the ledger, but the bank settled it"
        yield Difference("settlement without settled transfer", first.id, sum(amounts), why)
    for row, amount in zip(settled, amounts, strict=False):
        if row.amount != amount:
            why = f"{row.amount} in the ledger, {amount} settled by the bank"
            yield Difference("wrong amount", row.id, abs(row.amount - amount), why)


def _row(raw: Json) -> _Row:
    net: dict[str, int] = {}
    postings = raw.get("postings")
    if not isinstance(postings, list | tuple):
        raise ValueError(f"a ledger row without postings: {dict(raw)}")
    for posting in postings:
        account = _text(posting, "account")
        net[account] = net.get(account, 0) + _cents(posting, "amount_cents")
    state = _text(raw, "state")
    if state not in _FINAL | _PENDING:
        raise ValueError(f"a transfer in a state that nobody knows: {state}")
    return _Row(
        _text(raw, "id"),
        _text(raw, "end_to_end_id"),
        _text(raw, "rail"),
        _text(raw, "account"),
        _cents(raw, "amount_cents"),
        _cents(raw, "fee_cents"),
        state,
        {account: cents for account, cents in net.items() if cents},
    )


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
