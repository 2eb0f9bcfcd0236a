"""The fault matrix is whole: 45 rows, each shown by tests, and the page says which."""

from benchmarks.matrix import ON_THE_LAB, PAGE, page, rows, shown


def test_there_are_45_rows() -> None:
    assert [number for number, _, _ in rows()] == list(range(1, 46))


def test_every_row_is_shown_and_no_mark_is_of_another() -> None:
    assert set(shown()) == set(range(1, 46))


def test_what_needs_real_systems_is_shown_on_them() -> None:
    found = {number for number, tests in shown().items() if any("lab/" in one for one in tests)}
    assert found >= ON_THE_LAB


def test_the_page_is_up_to_date() -> None:
    """If not: python benchmarks/matrix.py --write"""
    assert PAGE.read_text() == page()
