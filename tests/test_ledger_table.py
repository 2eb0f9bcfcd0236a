"""A ledger and a bank side that come as CSV files."""

import json
from pathlib import Path

import pytest

from holdfast.errors import Unreachable
from holdfast.measure import reconcile
from holdfast.probes.ledger import lines
from holdfast.verdict import Verdict
from tests.stories import told

TRANSFERS = (
    "id,end_to_end_id,rail,account,amount_cents,fee_cents,state,postings\n"
    'id-1,E1,pix,acc-0001,1000,10,settled,"[{""account"": ""acc-0001"", ""amount_cents"": -1010},'
    ' {""account"": ""settlement:pix"", ""amount_cents"": 1000},'
    ' {""account"": ""fees"", ""amount_cents"": 10}]"\n'
)
SETTLEMENTS = "end_to_end_id,gateway,amount_cents,settled_at\nE1,pix-primary,1000,1700000001.5\n"


def read(folder: Path, text: str) -> list[dict[str, object]]:
    path = folder / "table.csv"
    path.write_text(text)
    return [json.loads(line) for line in lines(f"csv:{path}", 0.0).splitlines()]


def test_both_sides_as_tables_add_up(tmp_path: Path) -> None:
    ledger, bank = read(tmp_path, TRANSFERS), read(tmp_path, SETTLEMENTS)
    assert bank == [
        {
            "end_to_end_id": "E1",
            "gateway": "pix-primary",
            "amount_cents": 1000,
            "settled_at": 1700000001.5,
        }
    ]
    assert reconcile([told(1)], ledger, bank).verdict is Verdict.HELD


@pytest.mark.parametrize(
    "text",
    [
        SETTLEMENTS + "E2,pix-primary,10.5,1700000002\n",
        SETTLEMENTS + "E2,pix-primary,1000,1700000002,more\n",
        SETTLEMENTS + "E2,pix-primary\n",
        SETTLEMENTS + ",pix-primary,1000,1700000002\n",
        SETTLEMENTS[:-1],
        SETTLEMENTS + "E2,pix-primary,1000,17000",
        "",
        "number,cents\nE1,1000\n",
        TRANSFERS.replace("]", ""),
    ],
)
def test_a_table_that_is_not_whole_is_not_read(tmp_path: Path, text: str) -> None:
    """Half of a bank's file would look like money that was lost."""
    with pytest.raises(Unreachable, match="no table of records"):
        read(tmp_path, text)


def test_a_table_that_is_not_there_is_not_empty(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No such file"):
        lines(f"csv:{tmp_path / 'absent.csv'}", 0.0)
