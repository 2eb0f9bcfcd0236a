"""The promise that no cent is lost and none paid twice."""

from math import isfinite

from holdfast.judge.finding import Ground, Judged, finding
from holdfast.measure import Money, Sums, drifts, reconcile
from holdfast.model import Json, Observation
from holdfast.verdict import Verdict

_SHOWN = 20  # differences that are named; all of them are counted


def money(name: str, ground: Ground) -> Judged:
    """Every transfer id matched to its postings and to the bank side's own settlements.

    And, where the environment has `ledger.sums`: no look at them while the run was on that differs.
    """
    sums = _sums(ground)
    try:
        found = _compared(ground)
        reasons = _why_of_transfers(found)
    except ValueError as error:
        found, reasons = None, [f"a record is malformed: {error}"]
    observed = [*_transfers(found), *_drifts(sums)]
    why = "; ".join([*reasons, *_why_of_sums(sums, ground)])
    if sums and sums.drifts:
        return finding(name, ground, Verdict.BROKEN, why, *observed)
    verdict = found.verdict if found else Verdict.UNKNOWN
    judged = finding(name, ground, verdict, why, *observed)
    if verdict is Verdict.HELD and sums and not sums.read:
        return judged.unknown("nobody saw the ledger's sums while the run was on")
    if verdict is Verdict.HELD and (incomplete := ground.incomplete()):
        return judged.unknown(incomplete)
    return judged


def _compared(ground: Ground) -> Money | None:
    """Customers, ledger and bank side compared; None where one of the records is missing."""
    record = ground.record
    if record.transfers is None or record.settlements is None:
        return None
    paying = [one.name for one in ground.journeys.values() if one.money]
    ours = [one for name in paying for one in ground.samples.of_journey(name)]
    return reconcile(ours, record.transfers, record.settlements, _accountable(ground))


def _transfers(found: Money | None) -> list[Observation]:
    if found is None:
        return []
    return [
        Observation(
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
    ]


def _why_of_transfers(found: Money | None) -> list[str]:
    if found is None:
        return ["the ledger or the bank side's record could not be read"]
    kinds = sorted({one.kind for one in found.differences})
    why = f"{len(found.differences)} of {found.transfers} transfers differ"
    why += f" ({', '.join(kinds)})" if kinds else ""
    open_ones = len(found.unresolved)
    return [why, f"{open_ones} have no final state"] if open_ones else [why]


def _sums(ground: Ground) -> Sums | None:
    """What the looks at the ledger's sums tell; None where the environment names none."""
    record = ground.record
    books = record.plan["environment"].get("ledger") or {}
    return drifts(record.sums) if books.get("sums") or record.sums else None


def _drifts(sums: Sums | None) -> list[Observation]:
    if sums is None:
        return []
    told = f"{sums.read} of {sums.looks} looks were answered"
    return [
        Observation(
            "sums-that-drifted",
            len(sums.drifts) if sums.read else None,
            "sums",
            "ledger, while the run was on",
            samples=sums.read,
            why="" if 0 < sums.read == sums.looks else told,
            detail={"looks": sums.looks, "answered": sums.read, "drifts": sums.drifts[:_SHOWN]},
        )
    ]


def _why_of_sums(sums: Sums | None, ground: Ground) -> list[str]:
    why: list[str] = []
    if sums and sums.drifts:
        first = sums.drifts[0]
        at = ground.timeline.start.utc(first.looked_ns)
        why = [f"sum drifted mid-run: {first.sum} {first.cents:+d} at {at:%H:%M:%S.%f} UTC"]
        why[0] += f", the first of {len(sums.drifts)}" if len(sums.drifts) > 1 else ""
    if sums and sums.read < sums.looks:
        why.append(f"{sums.read} of {sums.looks} looks at the sums were answered")
    return why


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
