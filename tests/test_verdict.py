"""Three values, and no rounding up."""

from itertools import permutations

import pytest

from holdfast.verdict import Verdict, worst

HELD, UNKNOWN, BROKEN = Verdict.HELD, Verdict.UNKNOWN, Verdict.BROKEN


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((HELD, HELD), HELD),
        ((HELD, UNKNOWN), UNKNOWN),
        ((HELD, BROKEN), BROKEN),
        ((UNKNOWN, BROKEN), BROKEN),
        ((HELD, UNKNOWN, BROKEN), BROKEN),
    ],
)
def test_broken_outranks_unknown_and_unknown_outranks_held(
    verdicts: tuple[Verdict, ...], expected: Verdict
) -> None:
    assert {worst(order) for order in permutations(verdicts)} == {expected}


def test_of_nothing_at_all_nothing_is_known() -> None:
    assert worst([]) is UNKNOWN


def test_they_are_written_as_words() -> None:
    assert [str(one) for one in Verdict] == ["held", "unknown", "broken"]
