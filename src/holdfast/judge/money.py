"""The promise that no cent is lost and none paid twice."""

from collections.abc import Collection

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground, Judged, finding
from holdfast.measure import Money, Settling, Sums, drifts, reconcile
from holdfast.model import Json, Observation, Sample
from holdfast.verdict import Verdict

_SHOWN = 20  # differences that are named; all of them are counted


def money(name: str, ground: Ground) -> Judged:
    """Every transfer id matched to its postings and to the bank side's own settlements.

    And, where the environment has `ledger.sums`: no look at them while the run was on that differs.
    """
    sums = _sums(ground)
    paying = [one.name for one in ground.journeys.values() if one.money]
    ours = [one for name in paying for one in ground.samples.of_journey(name)]
    try:
        settling = _settling(ground, ours)
        found = _compared(ground, ours, settling) if settling else None
        reasons = _why_of_transfers(found)
    except ValueError as error:
        settling, found, reasons = None, None, [f"a record is malformed: {error}"]
    observed = [*_transfers(found, settling), *_drifts(sums)]
    why = "; ".join([*reasons, *_why_of_sums(sums, ground)])
    if sums and sums.drifts:
        return finding(name, ground, Verdict.BROKEN, why, *observed)
    verdict = found.verdict if found else Verdict.UNKNOWN
    judged = finding(name, ground, verdict, why, *observed)
    if verdict is not Verdict.HELD or found is None or settling is None:
        return judged
    doubts = [settling.doubt(found.late), _beside(settling), ground.incomplete()]
    if sums and (when := sums.unseen(ground.timeline.before, ground.timeline.hold)):
        doubts.append(f"nobody saw the ledger's sums {when}")
    why = "; ".join(one for one in doubts if one)
    return judged.unknown(why) if why else judged


def _settling(ground: Ground, ours: Collection[Sample]) -> Settling | None:
    """What the bank side settled when; None where one of the records is missing."""
    record, when = ground.record, ground.timeline
    if record.transfers is None or record.settlements is None:
        return None
    span_s = (when.wall_s(when.start.mono_ns), when.end.wall_ns / SECOND)
    return Settling(ours, record.transfers, record.settlements, span_s, _read_s(ground))


def _read_s(ground: Ground) -> float:
    """When both sides began to be read, in Unix seconds: while the last scrape was waited for.

    At the run's end where nothing says so, or another time, as when they are collected again.
    """
    when, read_wall_ns = ground.timeline, ground.record.books.get("read_wall_ns")
    end_s = when.end.wall_ns / SECOND
    if type(read_wall_ns) is not int:
        return end_s
    return min(max(read_wall_ns / SECOND, when.wall_s(when.stop_ns)), end_s)


def _compared(ground: Ground, ours: Collection[Sample], settling: Settling) -> Money:
    """Customers, ledger and bank side compared."""
    record = ground.record
    transfers, settlements = record.transfers or (), record.settlements or ()
    before = settlements if record.settlements_before is None else record.settlements_before
    accepted = {name: _accepted(one) for name, one in record.plan["journeys"].items()}
    known = settling.accountable(before)
    return reconcile(ours, transfers, settlements, known, accepted)


def _accepted(journey: Json) -> set[int]:
    """The codes that say of a transfer that it was made, whatever else the answer holds.

    Of several steps those of the last, unless an earlier one is answered so, too.
    """
    if journey["good"]:
        return set(journey["good"]["status"])
    *earlier, last = (set(one["good"]["status"]) for one in journey["steps"])
    return last.difference(*earlier)


def _beside(settling: Settling) -> str:
    """Words for transfers on our customers' accounts that none of them asked for."""
    if not (beside := settling.beside()):
        return ""
    return (
        f"{len(beside)} transfers settled on our customers' accounts that none of them asked for"
        f" ({beside[0]}): paid again, or somebody else uses these accounts"
    )


def _transfers(found: Money | None, settling: Settling | None) -> list[Observation]:
    if found is None or settling is None:
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
                "settled_while_reading": settling.meanwhile(found.late),
                "not_asked_for": settling.beside()[:_SHOWN],
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
