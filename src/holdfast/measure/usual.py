"""Transfers that are right on all three sides, taken out in one pass: nearly all of them.

Only the rest is looked at in detail. What is taken out changes nothing of that: no other request,
row of the ledger or settlement goes by its id or its number.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from holdfast.measure.ledger import Ledger, moved, net, settled
from holdfast.model import Json, Sample

_FIELDS = itemgetter(
    "id", "end_to_end_id", "rail", "account", "amount_cents", "fee_cents", "state", "postings"
)


@dataclass(frozen=True)
class Rest:
    """What has to be looked at: requests by id, the ledger, cents that banks settled by number.

    `right` of our customers' transfers were taken out, and `foreign` ones of others.
    """

    asked: Mapping[str, list[Sample]]
    ledger: Ledger
    paid: Mapping[str, list[int]]
    right: int = 0
    foreign: int = 0


def everything(
    samples: Iterable[Sample], ledger: Iterable[Json], settlements: Iterable[Json]
) -> Rest:
    """All of it: nothing is taken out.

    Raises:
        ValueError: a row of the ledger or of the settlements is not what it has to be.
    """
    return Rest(_lists(*_by_id(samples)), Ledger(ledger), _lists(*_by_number(settlements)))


def unusual(
    samples: Collection[Sample], ledger: Collection[Json], settlements: Collection[Json]
) -> Rest:
    """What is not right at first sight; all of it, when two rows of the ledger go by one name.

    Raises:
        ValueError: a row of the ledger or of the settlements is not what it has to be.
    """
    asked, again = _by_id(samples)
    paid, often = _by_number(settlements)
    right: dict[str, str] = {}
    left: list[Json] = []
    for raw in ledger:
        number = _number_of_right(raw, asked, paid)
        id_ = raw["id"] if number else ""
        if not number or id_ in again or id_ in right:
            left.append(raw)
        else:
            right[id_] = number
            del paid[number]
    rest = Ledger(left)
    if not (right.keys().isdisjoint(rest.by_id) and rest.by_end.keys().isdisjoint(right.values())):
        return everything(samples, ledger, settlements)
    ours = sum(asked.pop(id_, None) is not None for id_ in right)
    return Rest(_lists(asked, again), rest, _lists(paid, often), ours, len(right) - ours)


def _number_of_right(raw: Json, asked: Mapping[str, Sample], paid: Mapping[str, int]) -> str:
    """The number of a transfer that is settled as its customer was told, by ledger and bank."""
    try:
        id_, number, rail, account, amount, fee, state, postings = _FIELDS(raw)
        is_right = (
            state == "settled"
            and paid.get(number) == amount  # so the number is text, and the only one
            and type(amount) is type(fee) is int
            and type(id_) is type(rail) is type(account) is str
            and id_
            and rail
            and account
            and net(postings) == moved(account, rail, amount, fee)
        )
        if is_right and (one := asked.get(id_)):
            is_right = (one.outcome, one.account, one.amount_cents) == ("ok", account, amount)
    except (KeyError, TypeError):
        is_right = False  # what is wrong with it, is said where it is looked at in detail
    return number if is_right else ""


def _by_id(samples: Iterable[Sample]) -> tuple[dict[str, Sample], dict[str, list[Sample]]]:
    """The requests by id: those that were made once, and those made again."""
    once: dict[str, Sample] = {}
    again: dict[str, list[Sample]] = {}
    for one in samples:
        id_ = one.id
        if not id_:
            continue
        if id_ in again:
            again[id_].append(one)
        elif id_ in once:
            again[id_] = [once.pop(id_), one]
        else:
            once[id_] = one
    return once, again


def _by_number(settlements: Iterable[Json]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """The cents by number: what was settled once, and what several times."""
    once: dict[str, int] = {}
    often: dict[str, list[int]] = {}
    for raw in settlements:
        number, cents = settled(raw)
        if number in often:
            often[number].append(cents)
        elif number in once:
            often[number] = [once.pop(number), cents]
        else:
            once[number] = cents
    return once, often


def _lists[T](once: Mapping[str, T], again: Mapping[str, list[T]]) -> dict[str, list[T]]:
    return {name: [one] for name, one in once.items()} | dict(again)
