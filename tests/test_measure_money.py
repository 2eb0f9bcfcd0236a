"""The reconciliation: every planted defect is found, and nothing else."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.measure import Money, reconcile
from holdfast.model import Sample
from holdfast.verdict import Verdict
from tests.stories import postings, settlement, told, transfer

type Rows = list[dict[str, Any]]
NOTHING = postings()
RETURNED = postings(
    ("acc-0001", -1010), ("suspense", 1010), ("suspense", -1010), ("acc-0001", 1010)
)


def check(samples: list[Sample], ledger: Rows, bank: Rows) -> Money:
    return reconcile(samples, ledger, bank)


def kinds(money: Money) -> list[str]:
    return [one.kind for one in money.differences]


def test_three_settled_transfers_add_up() -> None:
    money = check(
        [told(1), told(2), told(3)],
        [transfer(1), transfer(2), transfer(3)],
        [settlement(1), settlement(2), settlement(3)],
    )
    assert money == Money((), 3, (), 0)
    assert money.verdict is Verdict.HELD


def test_a_reservation_that_was_released_is_right() -> None:
    through = postings(
        ("acc-0001", -1010),
        ("suspense", 1010),
        ("suspense", -1010),
        ("settlement:pix", 1000),
        ("fees", 10),
    )
    assert check([told(1)], [transfer(1, postings=through)], [settlement(1)]).differences == ()


@pytest.mark.parametrize("code", [502, 503, 504, 202, 0])
def test_what_customers_could_not_know_may_have_happened_or_not(code: int) -> None:
    outcome = "wrong" if code else "timeout"
    settled = check([told(1, outcome, code)], [transfer(1)], [settlement(1)])
    failed = transfer(1, state="failed", postings=RETURNED)
    assert settled.verdict is Verdict.HELD
    assert check([told(1, outcome, code)], [failed], []).verdict is Verdict.HELD


@pytest.mark.parametrize(("code", "verdict"), [(201, Verdict.BROKEN), (200, Verdict.HELD)])
def test_an_answer_that_says_made_is_a_promise_even_with_a_body_that_is_not_good(
    code: int, verdict: Verdict
) -> None:
    """Of this journey, 201 is the status of a good answer."""
    sent, made = [told(1), told(2, "wrong", code)], {"pix": [201], "balance": [200]}
    assert reconcile(sent, [transfer(1)], [settlement(1)], accepted=made).verdict is verdict
    there = reconcile(sent, [transfer(1), transfer(2)], [settlement(1), settlement(2)], None, made)
    assert there.verdict is Verdict.HELD


def test_a_request_that_never_arrived_left_nothing() -> None:
    assert check([told(1, "connect", 0)], [], []).verdict is Verdict.HELD


def test_a_refusal_moved_nothing() -> None:
    refused = transfer(1, state="refused", postings=NOTHING)
    assert check([told(1, "wrong", 422)], [refused], []).verdict is Verdict.HELD


DEFECTS: dict[str, tuple[Sample, Rows, Rows, str, int]] = {
    "told settled, not in the ledger": (told(1), [], [], "lost", 1000),
    "told settled, money returned": (
        told(1),
        [transfer(1, state="failed", postings=RETURNED)],
        [],
        "lost",
        1000,
    ),
    "accepted, then forgotten": (told(1, "wrong", 202), [], [], "lost", 1000),
    "settled without any posting": (
        told(1),
        [transfer(1, postings=NOTHING)],
        [settlement(1)],
        "lost",
        1010,
    ),
    "settled twice by the bank": (
        told(1),
        [transfer(1)],
        [settlement(1), settlement(1)],
        "paid twice",
        1000,
    ),
    "posted twice": (
        told(1),
        [transfer(1, postings=transfer(1)["postings"] * 2)],
        [settlement(1)],
        "paid twice",
        1010,
    ),
    "refused, but settled": (
        told(1, "wrong", 422),
        [transfer(1)],
        [settlement(1)],
        "failed but applied",
        1000,
    ),
    "failed, but the money stayed away": (
        told(1, "wrong", 502),
        [transfer(1, state="failed", postings=postings(("acc-0001", -1010), ("suspense", 1010)))],
        [],
        "failed but applied",
        1010,
    ),
    "taken, and posted nowhere": (
        told(1),
        [transfer(1, postings=postings(("acc-0001", -1010)))],
        [settlement(1)],
        "debit only",
        1010,
    ),
    "taken, the pod died, the transfer stays open": (
        told(1, "reset", 0),
        [transfer(1, state="reserved", postings=postings(("acc-0001", -1010)))],
        [],
        "debit only",
        1010,
    ),
    "posted, and taken from nobody": (
        told(1),
        [transfer(1, postings=postings(("settlement:pix", 1000), ("fees", 10)))],
        [settlement(1)],
        "credit only",
        1010,
    ),
    "less arrived than was taken": (
        told(1),
        [
            transfer(
                1, postings=postings(("acc-0001", -1010), ("settlement:pix", 999), ("fees", 10))
            )
        ],
        [settlement(1)],
        "wrong amount",
        1,
    ),
    "the fee was booked as payment": (
        told(1),
        [transfer(1, postings=postings(("acc-0001", -1010), ("settlement:pix", 1010)))],
        [settlement(1)],
        "wrong amount",
        10,
    ),
    "another amount than was asked for": (
        told(1),
        [
            transfer(
                1,
                amount_cents=900,
                postings=postings(("acc-0001", -910), ("settlement:pix", 900), ("fees", 10)),
            )
        ],
        [settlement(1, 900)],
        "wrong amount",
        100,
    ),
    "another customer's account": (
        told(1),
        [
            transfer(
                1,
                account="acc-0002",
                postings=postings(("acc-0002", -1010), ("settlement:pix", 1000), ("fees", 10)),
            )
        ],
        [settlement(1)],
        "wrong amount",
        1000,
    ),
    "left in suspense": (
        told(1),
        [transfer(1, postings=postings(("acc-0001", -1010), ("suspense", 1010)))],
        [settlement(1)],
        "wrong amount",
        1010,
    ),
    "the bank paid another amount": (
        told(1),
        [transfer(1)],
        [settlement(1, 1001)],
        "wrong amount",
        1,
    ),
    "settled, the bank knows nothing": (
        told(1),
        [transfer(1)],
        [],
        "settled without settlement record",
        1000,
    ),
    "failed, but the bank paid": (
        told(1, "wrong", 502),
        [transfer(1, state="failed", postings=RETURNED)],
        [settlement(1)],
        "settlement without settled transfer",
        1000,
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found(name: str) -> None:
    sample, ledger, bank, kind, cents = DEFECTS[name]
    money = check([sample, told(2)], [*ledger, transfer(2)], [*bank, settlement(2)])
    assert [(one.kind, one.cents) for one in money.differences] == [(kind, cents)]
    assert money.verdict is Verdict.BROKEN


def test_a_failover_under_another_number_is_a_settlement_that_nothing_accounts_for() -> None:
    money = check([told(1)], [transfer(1)], [settlement(1), settlement(901)])
    assert kinds(money) == ["settlement without settled transfer"]
    assert money.differences[0].id == settlement(901)["end_to_end_id"]


def test_one_transfer_twice_in_the_ledger_is_paid_twice() -> None:
    money = check([told(1)], [transfer(1), transfer(1)], [settlement(1)])
    assert "paid twice" in kinds(money)
    assert money.verdict is Verdict.BROKEN


def test_a_second_row_that_failed_is_recorded_twice() -> None:
    failed = transfer(1, state="failed", postings=RETURNED)
    assert kinds(check([told(1)], [transfer(1), failed], [settlement(1)])) == ["recorded twice"]


def test_two_transfers_under_one_number_need_two_settlements() -> None:
    shared = transfer(2, end_to_end_id=transfer(1)["end_to_end_id"])
    money = check([told(1), told(2)], [transfer(1), shared], [settlement(1)])
    assert kinds(money) == ["settled without settlement record"]


@pytest.mark.parametrize("state", ["received", "reserved", "sent", "unknown"])
def test_a_transfer_that_is_not_final_leaves_it_unknown(state: str) -> None:
    held = postings(("acc-0001", -1010), ("suspense", 1010))
    money = check([told(1, "timeout", 0)], [transfer(1, state=state, postings=held)], [])
    assert money.differences == ()
    assert money.unresolved == ("id-1",)
    assert money.verdict is Verdict.UNKNOWN


def test_nothing_compared_is_unknown() -> None:
    assert check([], [], []).verdict is Verdict.UNKNOWN


def test_transfers_of_others_are_counted_and_have_to_balance() -> None:
    money = check([told(1)], [transfer(1), transfer(7)], [settlement(1), settlement(7)])
    assert (money.foreign, money.verdict) == (1, Verdict.HELD)
    half = transfer(7, postings=postings(("acc-0001", -1010)))
    assert kinds(check([told(1)], [transfer(1), half], [settlement(1), settlement(7)])) == [
        "debit only"
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "perhaps"}, "a state that nobody knows"),
        ({"postings": None}, "without postings"),
        ({"amount_cents": 10.5}, "whole number of cents"),
        ({"fee_cents": True}, "whole number of cents"),
        ({"end_to_end_id": ""}, "end_to_end_id is missing"),
        ({"id": None}, "id is missing"),
        ({"postings": [{"account": "acc-0001"}]}, "amount_cents is not"),
        ({"postings": ["acc-0001"]}, "account is missing"),
    ],
)
def test_a_ledger_that_cannot_be_read_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check([told(1)], [transfer(1, **change)], [])


def test_a_bank_record_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="amount_cents is not"):
        check([told(1)], [transfer(1)], [{"end_to_end_id": "E1"}])


# ── others, who go on paying ──────────────────────────────────────────────────────────────────────


def test_what_others_settled_while_the_ledger_was_read_is_no_difference() -> None:
    """The bank side is read before the ledger and after it: only the first reading accuses."""
    bank = [settlement(1), settlement(2)]
    money = reconcile([told(1)], [transfer(1)], bank, [settlement(1)["end_to_end_id"]])
    assert (money.verdict, money.late) == (Verdict.HELD, (settlement(2)["end_to_end_id"],))


def test_a_settlement_that_was_there_before_the_ledger_was_read_needs_a_transfer() -> None:
    bank = [settlement(1), settlement(2)]
    before = [one["end_to_end_id"] for one in bank]
    money = reconcile([told(1)], [transfer(1)], bank, before)
    assert kinds(money) == ["settlement without settled transfer"]


def test_a_transfer_that_others_settle_while_the_ledger_is_read_is_looked_up_afterwards() -> None:
    """It is settled in the ledger, and the first reading of the bank side does not have it."""
    money = reconcile([told(1)], [transfer(1), transfer(2)], [settlement(1), settlement(2)], ["E1"])
    assert money.verdict is Verdict.HELD


# ── random histories ──────────────────────────────────────────────────────────────────────────────

CLEAN: list[tuple[str, int, str, bool]] = [  # outcome, code, state in the ledger, settled by a bank
    ("ok", 201, "settled", True),
    ("wrong", 202, "settled", True),
    ("wrong", 202, "failed", False),
    ("wrong", 422, "refused", False),
    ("wrong", 502, "failed", False),
    ("wrong", 502, "settled", True),
    ("timeout", 0, "settled", True),
    ("timeout", 0, "failed", False),
    ("reset", 0, "settled", True),
    ("reset", 0, "", False),
    ("connect", 0, "", False),
]


def history(seed: int, length: int = 60) -> tuple[list[Sample], Rows, Rows]:
    """A correct history with every kind of outcome in it."""
    chance = random.Random(seed)
    samples, ledger, bank = [], [], []
    for number in range(length):
        outcome, code, state, settled = chance.choice(CLEAN)
        samples.append(told(number, outcome, code))
        if state:
            posted = {
                "settled": transfer(number)["postings"],
                "failed": chance.choice([RETURNED, NOTHING]),
                "refused": NOTHING,
            }[state]
            ledger.append(transfer(number, state=state, postings=posted))
        if settled:
            bank.append(settlement(number))
    for rows in (samples, ledger, bank):
        chance.shuffle(rows)
    return samples, ledger, bank


def test_two_hundred_clean_histories_raise_no_alarm() -> None:
    verdicts = {check(*history(seed)).verdict for seed in range(200)}
    assert verdicts == {Verdict.HELD}


def lose(_: Rows, bank: Rows) -> None:
    bank.pop()


def pay_twice(_: Rows, bank: Rows) -> None:
    bank.append(dict(bank[0]))


def pay_under_another_number(_: Rows, bank: Rows) -> None:
    bank.append(settlement(9_999))


def drop_a_posting(ledger: Rows, _: Rows) -> None:
    row = next(one for one in ledger if one["state"] == "settled")
    row["postings"] = row["postings"][1:]


def drift(ledger: Rows, _: Rows) -> None:
    row = next(one for one in ledger if one["state"] == "settled")
    row["postings"] = postings(("acc-0001", -1009), ("settlement:pix", 999), ("fees", 10))


def forget(ledger: Rows, _: Rows) -> None:
    ledger.remove(next(one for one in ledger if one["state"] == "settled"))


@pytest.mark.parametrize(
    "defect", [lose, pay_twice, pay_under_another_number, drop_a_posting, drift, forget]
)
def test_each_defect_is_found_in_every_history(defect: Callable[[Rows, Rows], None]) -> None:
    for seed in range(50):
        samples, ledger, bank = history(seed)
        defect(ledger, bank)
        assert check(samples, ledger, bank).verdict is Verdict.BROKEN
