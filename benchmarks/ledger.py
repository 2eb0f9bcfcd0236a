"""What it costs to follow every cent of so many transfers, and which defects are found.

A clean history raises no alarm: 200 of them, with unknown outcomes and retries. Into each, every
one of nine defects is planted once. That the total is conserved tells of four of them only.
"""

import argparse
import gc
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from benchmarks.judging import peak
from holdfast.clock import SECOND, now_ns
from holdfast.measure import reconcile
from holdfast.verdict import Verdict
from tests.stories import postings, settlement, told, transfer
from tests.test_measure_money import history

GOAL_US = 5.0  # a transfer; issue 5
HISTORIES = 200

type Rows = list[dict[str, Any]]
type Defect = Callable[[dict[str, Any], Rows, Rows], None]


def lost(row: dict[str, Any], ledger: Rows, bank: Rows) -> None:
    """Told settled, and gone on both sides."""
    ledger.remove(row)
    bank.remove(next(one for one in bank if one["end_to_end_id"] == row["end_to_end_id"]))


def twice(row: dict[str, Any], ledger: Rows, bank: Rows) -> None:
    """The same transfer again, on both sides."""
    ledger.append(dict(row))
    bank.append(dict(next(one for one in bank if one["end_to_end_id"] == row["end_to_end_id"])))


def twice_by_another_id(_: dict[str, Any], __: Rows, bank: Rows) -> None:
    """A retry that the bank took for another transfer."""
    bank.append(settlement(9_999_999))


def failed_but_applied(row: dict[str, Any], _: Rows, __: Rows) -> None:
    """Failed, and the money is gone."""
    row["state"] = "failed"


def compensating_drift(row: dict[str, Any], _: Rows, __: Rows) -> None:
    """A cent more taken and a cent more in fees: the sum is right."""
    amount, fee = row["amount_cents"], row["fee_cents"]
    row["postings"] = postings(
        (row["account"], -(amount + fee + 1)),
        (f"settlement:{row['rail']}", amount),
        ("fees", fee + 1),
    )


def debit_only(row: dict[str, Any], _: Rows, __: Rows) -> None:
    """Taken, and nothing posted elsewhere."""
    row["postings"] = postings((row["account"], -(row["amount_cents"] + row["fee_cents"])))


def credit_only(row: dict[str, Any], _: Rows, __: Rows) -> None:
    """Posted elsewhere, and nothing taken."""
    row["postings"] = postings((f"settlement:{row['rail']}", row["amount_cents"]))


def wrong_amount(row: dict[str, Any], _: Rows, bank: Rows) -> None:
    """The bank settled a cent less."""
    paid = next(one for one in bank if one["end_to_end_id"] == row["end_to_end_id"])
    paid["amount_cents"] -= 1


def single_drift(row: dict[str, Any], _: Rows, __: Rows) -> None:
    """A cent too much in one account."""
    row["postings"] = [*row["postings"], *postings((row["account"], 1))]


DEFECTS: dict[str, Defect] = {
    "lost": lost,
    "paid twice, same id": twice,
    "paid twice, new id": twice_by_another_id,
    "failed but applied": failed_but_applied,
    "compensating drift": compensating_drift,
    "debit only": debit_only,
    "credit only": credit_only,
    "wrong amount": wrong_amount,
    "drift of one account": single_drift,
}


def found(defect: Defect) -> int:
    """In how many histories it is found."""
    hits = 0
    for seed in range(HISTORIES):
        samples, ledger, bank = history(seed)
        sure = {one.id for one in samples if one.outcome == "ok"}
        settled = [one for one in ledger if one["state"] == "settled" and one["id"] in sure]
        defect(random.Random(seed).choice(settled), ledger, bank)
        hits += reconcile(samples, ledger, bank).verdict is Verdict.BROKEN
    return hits


def child(number: int) -> None:
    """Reconcile so many transfers, and print what it took as JSON."""
    samples = [told(one) for one in range(number)]
    ledger = [transfer(one) for one in range(number)]
    bank = [settlement(one) for one in range(number)]
    gc.collect()
    gc.freeze()  # what is given is not its work
    before, began_ns = peak(), now_ns()
    verdict = reconcile(samples, ledger, bank).verdict
    took_us = (now_ns() - began_ns) / SECOND * 1e6 / number
    print(json.dumps({"us": took_us, "mib": peak() - before, "held": verdict is Verdict.HELD}))


def cost(number: int) -> list[str]:
    """One row: the best of three, each in a process of its own."""
    command = [sys.executable, __file__, "--child", str(number)]
    answers = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    best = min(answers, key=lambda one: float(one["us"]))
    assert all(one["held"] for one in answers)
    verdict = machine.against(best["us"], GOAL_US)
    return [f"{number:,}", f"{best['us']:.2f} us", f"{best['mib']:.0f} MiB", verdict]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/ledger.py",
    )
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    rows = [cost(number) for number in (10_000, 100_000)]
    print(machine.table(["transfers", "each", "memory more", "goal"], rows))
    alarms = sum(reconcile(*history(seed)).verdict is not Verdict.HELD for seed in range(HISTORIES))
    print(f"\nfalse alarms: {alarms} of {HISTORIES} clean histories\n")
    hits = {name: found(defect) for name, defect in DEFECTS.items()}
    each = [[name, f"{number} of {HISTORIES}"] for name, number in hits.items()]
    print(machine.table(["planted defect", "found"], each))
    print(machine.line())
    missed = alarms or min(hits.values()) < HISTORIES or any(row[-1] == "MISSED" for row in rows)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
