"""Requests in columns: the same as they were, by journey and by when they were due."""

import csv
import io
import random
from dataclasses import astuple

from hypothesis import given
from hypothesis import strategies as st

from holdfast.model import Sample, Window
from holdfast.samples import Samples

INSTANTS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=3)
SAMPLES = st.lists(
    st.builds(
        Sample,
        st.sampled_from(["pix", "balance"]),
        INSTANTS,
        INSTANTS,
        INSTANTS,
        st.sampled_from(["ok", "wrong", "timeout"]),
        st.integers(0, 599),
        TEXT,
        TEXT,
        st.integers(0, 10**9),
    ),
    max_size=30,
)


def sample(due: int, done: int = 0, outcome: str = "ok", journey: str = "pix") -> Sample:
    return Sample(journey, due, due, done or due + 1, outcome, 200)


@given(SAMPLES)
def test_what_goes_in_comes_out(samples: list[Sample]) -> None:
    found = Samples.of(samples)
    assert sorted(map(astuple, found)) == sorted(map(astuple, samples))
    assert len(found) == len(samples)
    assert all(one in found for one in samples)
    assert Samples.of(found) is found


@given(SAMPLES, st.randoms())
def test_the_order_they_come_in_does_not_matter(
    samples: list[Sample], chance: random.Random
) -> None:
    """But for what nobody judges by: ids, accounts, codes and amounts of requests that coincide."""
    shuffled = [*samples]
    chance.shuffle(shuffled)
    for journey in ("pix", "balance"):
        there, here = (Samples.of(one).of_journey(journey) for one in (shuffled, samples))
        assert list(there.scheduled_ns) == list(here.scheduled_ns)
        assert list(there.done_ns) == list(here.done_ns)
        assert there.outcome == here.outcome


def test_each_journey_is_in_the_order_its_requests_were_due() -> None:
    found = Samples.of([sample(3), sample(1), sample(2, journey="balance")])
    assert [one.scheduled_ns for one in found.of_journey("pix")] == [1, 3]
    assert found.of_journey("pix").at(1) == sample(3)
    assert list(found.of_journey("nothing")) == []


def test_a_window_holds_its_start_and_not_its_end() -> None:
    track = Samples.of(map(sample, range(10))).of_journey("pix")
    assert track.due(Window(3, 6)) == range(3, 6)
    assert len(track.due(Window(20, 30))) == len(track.due(Window(6, 3))) == 0


def test_bad_is_what_failed_or_was_late() -> None:
    those = [sample(0), sample(1, 2_000_000_001), sample(2, 2_000_000_003), sample(3, 4, "wrong")]
    track = Samples.of(those).of_journey("pix")
    assert list(track.bad(2.0)) == [0, 0, 1, 1]
    assert track.bad_due(Window(0, 3), 2.0) == [2]
    assert track.latency(1) == 2.0


def test_rows_that_were_cut_off_are_left_out() -> None:
    whole = ["pix", "1", "2", "3", "ok", "201", "id-1", "acc", "5"]
    torn = [[], ["pix"], whole[:-1], [*whole, "6"], [*whole[:-1], "x"], [*whole[:-1], "9" * 30]]
    rows = [whole, *torn, whole]
    assert [one.amount_cents for one in Samples(rows)] == [5, 5]


class Dribble(io.StringIO):
    """A file of which a few characters come at a time."""

    def read(self, size: int | None = -1) -> str:
        return super().read(min(7, size or 7))


def read(text: str) -> list[Sample]:
    """What the text of a file says, however much of it comes at a time."""
    whole, dribbled = (Samples.read(kind(text, "\n")) for kind in (io.StringIO, Dribble))
    assert list(whole) == list(dribbled)
    return list(whole)


def read_by_csv(text: str) -> list[Sample]:
    lines = (line for line in io.StringIO(text, "\n") if line.endswith("\n"))
    return list(Samples(csv.reader(lines)))


ROW = "pix,1,2,3,ok,201,id-1,acc,5\n"
LINES = st.sampled_from(
    [
        ROW,
        "balance,4,5,6,ok,200,,,0\n",
        'pix,1,2,3,ok,201,"a,b",acc,5\n',
        'pix,1,2,3,ok,201,"a\nb",acc,5\n',
        'pix,1,2,3,ok,201,"a\n',
        ROW.replace("\n", "\r\n"),
        "pix,1,2,3,ok,201,id-1,acc,x\n",
        "pix,1,2,3,ok,201,id-1,acc,5,pix\n",
        "1,2,3,ok,201,id-1,acc,5\n",
        "pix,1,2",
        "\n",
        "\n\n",
    ]
)


@given(st.lists(LINES, max_size=8))
def test_a_file_is_read_as_csv_whatever_is_in_it(lines: list[str]) -> None:
    text = "".join(lines)
    assert read(text) == read_by_csv(text)


def test_a_row_too_long_and_a_row_too_short_do_not_make_two_whole_ones() -> None:
    assert read(ROW + ROW[:-1] + ",pix\n" + ROW[4:] + ROW) == [*read(ROW), *read(ROW)]
    assert [one.amount_cents for one in read(ROW + ROW[:-1])] == [5]
