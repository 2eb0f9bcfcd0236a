"""When a phase grows: only while a second look could still pass."""

import pytest

from holdfast.documents import ObjectiveFile
from holdfast.model import Sample
from holdfast.run.looks import first_look
from tests.stories import told


def objective(kind: str, journey: str, limit: float = 0.001) -> ObjectiveFile:
    return ObjectiveFile.model_validate(
        {"kind": kind, "promise": "", "limit": limit, "unit": "", "source": "", "journey": journey}
    )


SUCCESS = {"success": objective("success", "pix")}


def settled(n: int, failed: int) -> list[Sample]:
    """So many transfers, the last of which failed."""
    return [told(number, "ok" if number < n - failed else "wrong") for number in range(n)]


@pytest.mark.parametrize(
    ("n", "failed", "grows"),
    [
        (2_995, 0, False),  # held
        (2_994, 0, True),
        (2_500, 1, True),  # 1 of 5,000 passes, as 0 of 2,500 did not
        (3_000, 1, False),  # 0 of 3,000 would have passed: nothing is left for 1 of 6,000
        (4_000, 2, True),
        (4_000, 3, False),
        (3_000, 7, False),  # broken
        (1_000, 0, False),  # too few even for twice as long
        (0, 0, False),
    ],
)
def test_a_phase_grows_only_while_it_could_still_pass(n: int, failed: int, grows: bool) -> None:
    assert first_look("before", SUCCESS, settled(n, failed)) == {
        "event": "look",
        "phase": "before",
        "grows": grows,
        "counts": {"success": {"n": n, "failed": failed}},
    }


def test_one_journey_that_is_undecided_is_enough() -> None:
    both = {**SUCCESS, "balance-success": objective("success", "balance")}
    look = first_look("after", both, settled(2_995, 0))
    assert look["counts"]["balance-success"] == {"n": 0, "failed": 0}
    assert not look["grows"]
    lax = {**both, "lax": objective("success", "pix", limit=0.0006)}
    assert first_look("after", lax, settled(2_995, 0))["grows"]


def test_without_a_promise_of_success_no_phase_grows() -> None:
    slow = {"pix-latency": objective("latency", "pix")}
    look = first_look("before", slow, settled(100, 0))
    assert (look["grows"], look["counts"]) == (False, {})
