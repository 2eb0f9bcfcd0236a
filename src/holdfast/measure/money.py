"""No cent lost, none paid twice: customers' records, ledger and banks' settlements, matched by id.

Sound only once nothing moves any more: every transfer reached a final state, or it is unresolved.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from holdfast.measure.ledger import FINAL, PENDING, Row
from holdfast.measure.usual import Rest, unusual
from holdfast.model import Json, Sample
from holdfast.verdict import Verdict

REFUSED_CODES = frozenset({400, 401, 403, 404, 422})  # these say: this transfer will never be made


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

    `foreign` counts transfers in the ledger that are none of our customers'; `late` holds the
    numbers of settlements of which the ledger knows nothing, and was not to know (`Settling`).
    """

    differences: tuple[Difference, ...]
    transfers: int
    unresolved: tuple[str, ...]
    foreign: int = 0
    late: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Broken when anything differs; unknown when something is open or nothing was compared."""
        if self.differences:
            return Verdict.BROKEN
        return Verdict.UNKNOWN if self.unresolved or not self.transfers else Verdict.HELD


def reconcile(
    samples: Collection[Sample],
    ledger: Collection[Json],
    settlements: Collection[Json],
    settled_before: Collection[str] | None = None,
    accepted: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> Money:
    """Match every transfer that customers sent with its postings and with the banks' record.

    The banks' record has to be read after the ledger, or what settles in between looks lost. For
    the same reason, others' transfers may be in it that are not yet in the ledger: give as
    `settled_before` the numbers that a record read before the ledger held. One of those that no
    ledger row accounts for is money that left without a transfer, so that record must not reach
    further back than the ledger. `accepted` are, by journey, the codes of answers that mean, like
    202, that the transfer will be in the ledger, even when nothing else of the answer was right.

    Raises:
        ValueError: a row of the ledger or of the settlements is not what it has to be.
    """
    return compare(unusual(samples, ledger, settlements), settled_before, accepted)


def compare(
    rest: Rest,
    settled_before: Collection[str] | None = None,
    accepted: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> Money:
    """Match what was not right at first sight, each request, row and settlement by itself."""
    sent, paid = rest.asked, rest.paid
    rows, by_end = rest.ledger.by_id, rest.ledger.by_end
    nobody = paid.keys() - by_end.keys()
    late = nobody - set(settled_before) if nobody and settled_before is not None else set()
    differences = [
        *(
            found
            for id_, asked in sent.items()
            for found in _told(asked, rows.get(id_, []), accepted)
        ),
        *(found for same in rows.values() for found in _posted(same)),
        *(found for end, same in by_end.items() for found in _settled(same, paid.get(end, ()))),
        *(_unaccounted(number, paid[number]) for number in nobody - late),
    ]
    return Money(
        tuple(sorted(set(differences), key=lambda one: (one.kind, one.id, one.why))),
        rest.right + len(sent),
        tuple(sorted(id_ for id_ in rest.ledger.pending if id_ in sent)),
        rest.foreign + sum(len(rows[id_]) for id_ in rows.keys() - sent.keys()),
        tuple(sorted(late)),
    )


def _told(
    asked: Sequence[Sample], rows: Sequence[Row], accepted: Mapping[str, Collection[int]]
) -> Iterator[Difference]:
    """Does the ledger agree with what the customer was told?"""
    first = asked[0]
    states = {row.state for row in rows}
    if any(one.outcome == "ok" for one in asked):
        if "settled" not in states and not states & PENDING:
            what = "is not in the ledger" if not rows else f"is {min(states)} in the ledger"
            yield Difference("lost", first.id, first.amount_cents, f"told settled, but it {what}")
    elif not rows and any(_accepted(one, accepted) for one in asked):
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


def _accepted(one: Sample, accepted: Mapping[str, Collection[int]]) -> bool:
    return one.code == 202 or one.code in accepted.get(one.journey, ())


def _posted(rows: Sequence[Row]) -> Iterator[Difference]:
    """Are the postings of one id those of its state?"""
    if len(rows) > 1:
        kind = "paid twice" if sum(row.state == "settled" for row in rows) > 1 else "recorded twice"
        why = f"{len(rows)} transfers of this id in the ledger"
        yield Difference(kind, rows[0].id, rows[0].amount, why)
    for row in rows:
        yield from _one_posted(row)


def _one_posted(row: Row) -> Iterator[Difference]:
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


def _unaccounted(number: str, amounts: Sequence[int]) -> Difference:
    """A settlement of which the ledger knows nothing."""
    why = "the bank settled it, the ledger has no such transfer"
    return Difference("settlement without settled transfer", number, sum(amounts), why)


def _settled(rows: Sequence[Row], amounts: Sequence[int]) -> Iterator[Difference]:
    """Exactly one settlement for each settled transfer, and none for any other."""
    first = rows[0]
    settled = [row for row in rows if row.state == "settled"]
    if len(settled) > len(amounts):
        why = f"{len(settled)} settled in the ledger, {len(amounts)} settled by the bank"
        kind = "settled without settlement record"
        yield Difference(kind, first.id, sum(row.amount for row in settled), why)
    if len(amounts) > max(1, len(settled)):
        why = f"the bank settled {first.end_to_end_id} {len(amounts)} times"
        yield Difference("paid twice", first.id, sum(amounts[1:]), why)
    if amounts and not settled and all(row.state in FINAL for row in rows):
        why = f"{first.state} in the ledger, but the bank settled it"
        yield Difference("settlement without settled transfer", first.id, sum(amounts), why)
    for row, amount in zip(settled, amounts, strict=False):
        if row.amount != amount:
            why = f"{row.amount} in the ledger, {amount} settled by the bank"
            yield Difference("wrong amount", row.id, abs(row.amount - amount), why)
