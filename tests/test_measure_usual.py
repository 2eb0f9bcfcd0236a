"""What is right at first sight is taken out, and nothing else is."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.measure import Money, reconcile
from holdfast.measure.money import compare
from holdfast.measure.usual import everything, unusual
from holdfast.model import Sample
from tests.stories import postings, settlement, told, transfer
from tests.test_measure_money import Rows, history

type Books = tuple[list[Sample], Rows, Rows]

THROUGH_SUSPENSE = postings(
    ("acc-0001", -1010),
    ("suspense", 1010),
    ("suspense", -1010),
    ("settlement:pix", 1000),
    ("fees", 10),
)
ANOTHER_NUMBER = transfer(1, end_to_end_id=f"E{2:031}")
FLOAT = {"account": "fees", "amount_cents": 10.0}
TO_NOWHERE = postings(("acc-0001", -1010), ("settlement:None", 1000), ("fees", 10))
TO_NO_RAIL = postings(("acc-0001", -1010), ("settlement:", 1000), ("fees", 10))
FREE = {"fee_cents": 0, "postings": postings(("acc-0001", -1000), ("settlement:pix", 1000))}


@pytest.mark.parametrize(
    "row", [transfer(1), transfer(1, postings=THROUGH_SUSPENSE), transfer(1, **FREE)]
)
def test_a_transfer_that_is_right_needs_no_second_look(row: dict[str, Any]) -> None:
    rest = unusual([told(1)], [row], [settlement(1)])
    assert (rest.asked, rest.ledger.by_id, rest.paid) == ({}, {}, {})
    assert (rest.right, rest.foreign) == (1, 0)


def test_a_transfer_of_others_that_is_right_needs_none_either() -> None:
    rest = unusual([], [transfer(1)], [settlement(1)])
    assert (rest.ledger.by_id, rest.paid, rest.right, rest.foreign) == ({}, {}, 0, 1)


@pytest.mark.parametrize(
    ("samples", "ledger", "bank"),
    [
        ([told(1, "timeout", 0)], [transfer(1)], [settlement(1)]),
        ([told(1), told(1)], [transfer(1)], [settlement(1)]),
        ([told(1)], [transfer(1), transfer(1)], [settlement(1)]),
        ([told(1)], [transfer(1), transfer(1, end_to_end_id="E2")], [settlement(1)]),
        ([told(1)], [transfer(1), transfer(2, end_to_end_id=f"E{1:031}")], [settlement(1)]),
        ([told(1)], [transfer(1), ANOTHER_NUMBER], [settlement(1), settlement(2)]),
        ([told(1)], [transfer(1)], [settlement(1), settlement(1)]),
        ([told(1)], [transfer(1)], [settlement(1), settlement(1), settlement(1)]),
        ([told(1)], [transfer(1)], [settlement(1, 999)]),
        ([replace(told(1), amount_cents=999)], [transfer(1)], [settlement(1)]),
        ([replace(told(1), account="acc-0002")], [transfer(1)], [settlement(1)]),
        ([told(1)], [transfer(1, state="failed")], [settlement(1)]),
    ],
)
def test_what_is_not_right_at_once_is_looked_at(
    samples: list[Sample], ledger: Rows, bank: Rows
) -> None:
    rest = unusual(samples, ledger, bank)
    assert (rest.right, rest.foreign) == (0, 0)
    assert "id-1" in rest.ledger.by_id


@pytest.mark.parametrize(
    ("row", "paid"),
    [
        (transfer(1, amount_cents=1000.0), settlement(1)),
        (transfer(1, fee_cents=10.0), settlement(1)),
        (transfer(1, postings=[*THROUGH_SUSPENSE[:4], FLOAT]), settlement(1)),
        (transfer(1), settlement(1) | {"amount_cents": 1000.0}),
        (transfer(1, id=1), settlement(1)),
        (transfer(1, id=""), settlement(1)),
        (transfer(1, rail="", postings=TO_NO_RAIL), settlement(1)),
        (transfer(1, rail=None, postings=TO_NOWHERE), settlement(1)),
    ],
)
def test_what_equals_but_is_no_whole_number_or_text_is_refused(
    row: dict[str, Any], paid: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"whole number|is missing"):
        reconcile([told(1)], [row], [paid])


# ── the same answer as when everything is looked at ───────────────────────────────────────────────

ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        10,
        999,
        1000,
        1010,
        10.0,
        1000.0,
        "",
        "fees",
        "suspense",
        "pix",
    ),
    *(
        "acc-0001",
        "acc-0002",
        "settlement:pix",
        "settled",
        "failed",
        "sent",
        "id-1",
        "id-2",
        [],
        {},
    ),
    *(f"E{1:031}", f"E{2:031}", "ok", "wrong"),
    *(THROUGH_SUSPENSE, FREE["postings"], postings(), postings(("acc-0001", 0))),
]


def answer(found: Any) -> Money | str:
    """The outcome, or that it was refused."""
    try:
        money: Money = found()
    except ValueError:
        return "refused"
    return money


@st.composite
def changed(draw: st.DrawFn) -> Books:
    """A history in which up to four things were changed, taken away or written twice."""
    samples, ledger, bank = history(draw(st.integers(0, 500)), length=8)
    for _ in range(draw(st.integers(0, 4))):
        rows: list[Any] = draw(st.sampled_from([samples, ledger, bank]))
        if not rows:
            continue
        at = draw(st.integers(0, len(rows) - 1))
        how = draw(st.sampled_from(["change", "change", "drop", "again", "posting"]))
        if how == "drop":
            del rows[at]
        elif how == "again":
            rows.append(rows[at])
        elif rows is samples:
            rows[at] = _another_sample(draw, rows[at])
        else:
            rows[at] = _another_row(draw, rows[at], how)
    return samples, ledger, bank


def _another_sample(draw: st.DrawFn, one: Sample) -> Sample:
    name = draw(st.sampled_from(["id", "account", "outcome", "code", "amount_cents"]))
    kind = type(getattr(one, name))
    return replace(one, **{name: draw(st.sampled_from([v for v in ODD if type(v) is kind]))})


def _another_row(draw: st.DrawFn, row: dict[str, Any], how: str) -> dict[str, Any]:
    old = row.get("postings")
    if how == "posting" and old and isinstance(old[0], dict):
        at = draw(st.integers(0, len(old) - 1))
        name = draw(st.sampled_from([*old[at]]))
        new = [*old]
        new[at] = old[at] | {name: draw(st.sampled_from(ODD))}
        return row | {"postings": new}
    name = draw(st.sampled_from([*row]))
    if draw(st.booleans()):
        return row | {name: draw(st.sampled_from(ODD))}
    return {key: value for key, value in row.items() if key != name}


@settings(max_examples=500)
@given(changed(), st.booleans())
def test_the_answer_is_that_of_looking_at_everything(books: Books, with_before: bool) -> None:
    before = [f"E{number:031}" for number in range(4)] if with_before else None
    quick = answer(lambda: reconcile(*books, before))
    assert quick == answer(lambda: compare(everything(*books), before))
