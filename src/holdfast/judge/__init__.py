"""Record → observations and findings. Pure: no network, no clock, no disk.

Anyone can recompute every verdict from the run folder. What could not be measured is unknown; a
fault that was not shown makes every finding unknown, whatever customers saw.
"""

from dataclasses import dataclass, field
from math import isfinite

from holdfast.judge import (
    customers,
    failover,
    money,
    platform,
    prediction,
    reaction,
    timeline,
    witness,
)
from holdfast.judge.counts import Counts
from holdfast.judge.finding import Ground, Judged
from holdfast.judge.observed import OBSERVE
from holdfast.judge.proof import Proof
from holdfast.judge.timeline import Timeline
from holdfast.model import Finding, Observation, Record
from holdfast.verdict import Verdict, worst

__all__ = ["Judgement", "judge"]

_HOW = {
    "recovery": customers.recovery,
    "availability": customers.availability,
    "latency": customers.latency,
    "success": customers.success,
    "failover": failover.failover,
    "restart": platform.restart,
    "money": money.money,
}
_EXIT = {Verdict.HELD: 0, Verdict.BROKEN: 1, Verdict.UNKNOWN: 3}
_NO_PASS = 3  # a control run in which nothing broke


@dataclass(frozen=True)
class Judgement:
    """What a run says: its findings, what they rest on, and the exit code that follows."""

    timeline: Timeline
    counts: Counts = field(compare=False, repr=False)
    proofs: tuple[Proof, ...]
    observations: tuple[Observation, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict
    exit_code: int


def judge(record: Record) -> Judgement:
    """Judge a finished run."""
    when = timeline.read(record)
    ground = Ground.of(record, when)
    proofs = witness.witness(record, when, ground.counts)
    judged = [_one(name, ground, proofs) for name in record.plan["objectives"]]
    findings = tuple(one.finding for one in judged)
    verdict = worst(one.verdict for one in findings)
    observations = (
        *ground.observations(),
        *prediction.observe(ground),
        *reaction.observe(ground),
        *(o for one in judged for o in one.observations),
    )
    return Judgement(
        when,
        ground.counts,
        proofs,
        observations,
        findings,
        verdict,
        _exit_code(record, when, verdict),
    )


def _one(name: str, ground: Ground, proofs: tuple[Proof, ...]) -> Judged:
    """Judge one objective, then hold it against the reasons why nothing can be known."""
    objective = ground.record.plan["objectives"][name]
    judged = _HOW[str(objective["kind"])](name, ground)
    doubts = [] if isfinite(float(objective["limit"])) else ["its limit is no number"]
    if missing := [proof.name for proof in proofs if proof.shown is not True]:
        doubts.append(f"the fault was not shown ({', '.join(missing)})")
    if doubts:
        return judged.unknown("; ".join(doubts))
    if judged.finding.verdict is Verdict.BROKEN:
        return judged
    if ground.timeline.aborted:
        return judged.unknown(f"the run was aborted: {ground.timeline.aborted}")
    if ground.timeline.remains:
        return judged.unknown(f"the fault may remain: {ground.timeline.remains}")
    if ground.timeline.ended_early:
        return judged.unknown(f"the run ended early: {ground.timeline.ended_early}")
    return judged


def _exit_code(record: Record, when: Timeline, verdict: Verdict) -> int:
    """5 a fault may remain, 4 aborted, 1 broken, 3 unknown, 0 held: in this order.

    A control run never ends with 0: a pipeline would take it for a pass.
    """
    if when.remains:
        return 5
    if when.aborted:
        return 4
    observed = record.plan.get("control") == OBSERVE  # a pass only when a probe was its witness
    control = (record.plan.get("control") and not observed) or when.without_fault
    return _NO_PASS if control and verdict is Verdict.HELD else _EXIT[verdict]
