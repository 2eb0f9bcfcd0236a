"""The promise that no cent is lost and none paid twice."""

from math import isfinite

from holdfast.judge.finding import Ground, Judged, finding
from holdfast.measure import reconcile
from holdfast.model import Json, Observation
from holdfast.verdict import Verdict

_SHOWN = 20  # differences that are named; all of them are counted


def money(name: str, ground: Ground) -> Judged:
    """Every transfer id matched to its postings and to the bank side's own settlements."""
    record = ground.record
    if record.transfers is None or record.settlements is None:
        why = "the ledger or the bank side's record could not be read"
        return finding(name, ground, Verdict.UNKNOWN, why)
    paying = [one.name for one in ground.journeys.values() if one.money]
    ours = [one for name in paying for one in ground.samples.of_journey(name)]
    try:
        found = reconcile(ours, record.transfers, record.settlements, _accountable(ground))
    except ValueError as error:
        return finding(name, ground, Verdict.UNKNOWN, f"a record is malformed: {error}")
    observed = Observation(
        "transfers-that-differ",
        len(found.differences),
        "transfers",
        "customers, ledger, bank side",
        samples=found.transfers,
        detail={
            "differences": found.differences[:_SHOWN],
            "unresolved": found.unresolved[:_SHOWN],
            "of_others": found.foreign,
            "settled_while_reading": found.meanwhile,
        },
    )
    kinds = sorted({one.kind for one in found.differences})
    why = f"{len(found.differences)} of {found.transfers} transfers differ"
    why += f" ({', '.join(kinds)})" if kinds else ""
    why += f"; {len(found.unresolved)} have no final state" if found.unresolved else ""
    judged = finding(name, ground, found.verdict, why, observed)
    if found.verdict is Verdict.HELD and (incomplete := ground.incomplete()):
        return judged.unknown(incomplete)
    return judged


def _accountable(ground: Ground) -> set[str]:
    """The settlements of this run that the ledger has to know of, by number.

    Those that the bank side had before the ledger was read: others go on paying meanwhile. And not
    those of transfers that others made before this run began, which the ledger was not asked for.
    """
    record, when = ground.record, ground.timeline
    start_s = when.wall_s(when.start.mono_ns)
    before = record.settlements if record.settlements_before is None else record.settlements_before
    return {str(one.get("end_to_end_id")) for one in before or () if _settled_s(one) >= start_s}


def _settled_s(settlement: Json) -> float:
    """When the bank side settled it, in Unix seconds."""
    at = settlement.get("settled_at")
    if not isinstance(at, int | float) or not isfinite(at):
        raise ValueError(f"settled_at is not a time in {dict(settlement)}")
    return float(at)
