"""Three proofs that the fault took effect, from sources other than the injector.

*Exposed*: before the fault its target carried customers' traffic. *Struck*: afterwards that same
traffic shows the fault. *Lasting*: it was read back all along, and as the last act before the undo.
"""

from collections.abc import Iterable
from itertools import pairwise
from math import inf

from holdfast.clock import SECOND
from holdfast.judge import observed
from holdfast.judge.counts import APART_S, Counts
from holdfast.judge.proof import Proof
from holdfast.judge.timeline import Timeline
from holdfast.model import Json, Record, Window

_AFTER_S = 1.0  # traffic that was under way when the fault took effect does not speak of it
_GONE_S = 3.0  # the entrance may need so long to notice that an upstream is gone
_READ_EVERY_S = 5.0
_READ_SLACK_S = 5.0  # one read-back may be late by so much before the proof has a hole
_LAST_ACT_S = 5.0  # the last read-back may precede the undo by at most so much
_SHOWN = 0.8  # of the delay that was asked for (DESIGN rule 6)
_THROTTLE_SLACK = 1.25  # bytes buffered on the way are counted in the second after


def witness(record: Record, timeline: Timeline, counts: Counts) -> tuple[Proof, ...]:
    """The three proofs for the run's fault; none for a run that was to have no fault."""
    fault = timeline.fault
    if timeline.without_fault:
        return ()
    if observed.is_observed(record):
        return observed.proofs(record, timeline.stop_ns)
    if fault is None:
        return tuple(
            Proof(name, False, "no fault took effect") for name in ("exposed", "struck", "lasting")
        )
    if timeline.clock_moved:
        why = f"the wall clock moved by {timeline.drift_s:.3f} s: counters cannot be aligned"
        blind = [Proof(name, None, why) for name in ("exposed", "struck")]
        return (*blind, _lasting(record, timeline))
    if str(fault["kind"]).startswith("gateway."):
        return (
            _gateway_exposed(counts, timeline, fault),
            _gateway_struck(counts, timeline, fault, record.plan),
            _lasting(record, timeline),
        )
    return (
        _pods_exposed(counts, fault),
        _pods_struck(counts, timeline, fault),
        _lasting(record, timeline),
    )


def _gateway_exposed(counts: Counts, timeline: Timeline, fault: Json) -> Proof:
    """Customers' calls up to the fault; bytes in all of the phase before it.

    Toxiproxy counts the bytes of a connection when it closes, which may be long after a call.
    """
    recent = counts.recent("gateway_calls_count")
    for proxy in sorted({str(target["proxy"]) for target in fault["targets"]}):
        carried = counts.proxy_bytes(proxy, timeline.before)
        calls = counts.customers_calls(proxy, recent)
        if carried is None or calls is None:
            return Proof("exposed", None, f"the counters of {proxy} before the fault are missing")
        if calls <= 0:
            why = f"no call of customers to {proxy} succeeded in the {_last(recent)}"
            return Proof("exposed", False, why)
        if carried <= 0:
            return Proof(
                "exposed",
                False,
                f"before the fault the wallet counted {calls:.0f} calls to {proxy}, and"
                f" {carried:.0f} bytes went through its proxy: they did not rise together",
            )
        hit = len({target.get("toxiproxy") for target in fault["targets"]})
        seen = counts.instances(proxy, timeline.before)
        if seen < hit:
            why = f"only {seen} of {hit} instances of Toxiproxy carried traffic of {proxy}"
            return Proof("exposed", False, why)
        why = (
            f"{calls:.0f} calls to {proxy} succeeded in the {_last(recent)}, and {carried:.0f}"
            " bytes went through its proxy"
        )
    return Proof("exposed", True, why)


def _last(recent: Window) -> str:
    return f"last {recent.seconds:.0f} s before the fault"


def _gateway_struck(counts: Counts, timeline: Timeline, fault: Json, plan: Json) -> Proof:
    proxy = str(fault["targets"][0]["proxy"])
    during = _from(int(fault["returned_ns"]), _AFTER_S, timeline.hold)
    calls, good = counts.calls(proxy, during), counts.calls(proxy, during, outcome="ok")
    if calls is None or good is None:
        return Proof("struck", None, f"the wallet's count of calls to {proxy} is missing")
    if fault["kind"] == "gateway.slow":
        return _slowed(counts, proxy, during, (fault, plan))
    if fault["kind"] == "gateway.throttle":
        return _throttled(counts, proxy, (timeline.before, during), fault)
    failed = calls - good
    shown = failed > 0 and good == 0
    why = f"after the fault {failed:.0f} calls to {proxy} failed and {good:.0f} succeeded"
    return Proof("struck", shown, why)


def _slowed(counts: Counts, proxy: str, during: Window, asked_and_plan: tuple[Json, Json]) -> Proof:
    """The mean call took longer than before by 80 % of the delay, or of what a caller waits for."""
    fault, plan = asked_and_plan
    asked = float(fault["asked"]["latency_ms"]) / 1000
    breaker = plan["environment"]["breakers"].get(proxy)
    limit = float(breaker["call_limit"]) if breaker else inf
    mean, number = counts.mean_call_s(proxy, during)
    if mean is None:
        return Proof("struck", None, f"no call to {proxy} was counted after the fault")
    usual, _ = counts.mean_call_s(proxy, counts.recent("gateway_calls_count"))
    if usual is None:
        return Proof("struck", None, f"how long a call to {proxy} took before is not known")
    cut_short = usual + asked > limit
    gave_up = f"; callers give up after {limit:g} s" if cut_short else ""
    why = (
        f"after the fault {number:.0f} calls to {proxy} took {mean:.2f} s on average, where"
        f" {asked:g} s were added to {usual:.2f} s{gave_up}"
    )
    shown = mean - usual >= _SHOWN * (min(usual + asked, limit) - usual)
    return Proof("struck", shown and (not cut_short or usual < _SHOWN * limit), why)


def _throttled(counts: Counts, proxy: str, windows: tuple[Window, Window], fault: Json) -> Proof:
    asked = float(fault["asked"]["rate_kbps"]) * 1000  # Toxiproxy's rate is in KB/s
    before, during = (counts.proxy_rate(proxy, window) for window in windows)
    if before is None or during is None:
        return Proof("struck", None, f"the bytes through {proxy} are missing")
    why = f"{before:.0f} B/s went through {proxy} before the fault, {during:.0f} B/s after it"
    return Proof("struck", before > asked >= during / _THROTTLE_SLACK, why)


def _pods_exposed(counts: Counts, fault: Json) -> Proof:
    uids, recent = _uids(fault), counts.recent("entrance_count")
    served = [counts.served(uid, recent) for uid in uids]
    if not uids or any(one is None for one in served):
        return Proof("exposed", None, "the entrance did not count what the targets served")
    why = (
        f"in the {_last(recent)} the entrance had"
        f" {sum(one or 0.0 for one in served):.0f} requests answered by the targets"
    )
    return Proof("exposed", all(one for one in served), why)


def _pods_struck(counts: Counts, timeline: Timeline, fault: Json) -> Proof:
    """The entrance's counters of the targets are present, and flat: no answer, not even a bad one.

    What the entrance itself says in the place of an upstream that does not answer is none.
    """
    during = _from(int(fault["returned_ns"]), _GONE_S, timeline.hold)
    if during.seconds < APART_S:
        return Proof("struck", None, f"the hold was too short: {timeline.hold.seconds:.1f} s")
    answered = [counts.answered(uid, during) for uid in _uids(fault)]
    if not answered or any(one is None for one in answered):
        why = "the entrance's counters of the targets vanished, or were not read often enough"
        return Proof("struck", None, why)
    total = sum(one or 0.0 for one in answered)
    why = f"from {_GONE_S:g} s after the fault the targets answered {total:.0f} more requests"
    return Proof("struck", total == 0, why)


def _lasting(record: Record, timeline: Timeline) -> Proof:
    # a look that ended after the undo began may have seen the undo
    looks = [one for one in record.readbacks if int(one["mono_ns"]) <= timeline.undo_ns]
    if not looks:
        return Proof("lasting", None, "the fault was never read back")
    wrong = [one for one in looks if one.get("in_place") is False]
    blind = [one for one in looks if one.get("in_place") is None]
    if wrong:
        return Proof("lasting", False, f"it was not there any more: {wrong[0]['missing']}")
    if blind:
        return Proof("lasting", None, f"it could not be read back: {blind[0]['error']}")
    instants = [timeline.began_ns, *(int(one["looked_ns"]) for one in looks)]
    hole = max(b - a for a, b in pairwise(instants)) / SECOND
    last = (timeline.undo_ns - instants[-1]) / SECOND
    if hole > _READ_EVERY_S + _READ_SLACK_S or last > _LAST_ACT_S:
        why = f"read back {len(looks)} times, with {hole:.1f} s unseen and {last:.1f} s at the end"
        return Proof("lasting", None, why)
    return Proof(
        "lasting", True, f"read back {len(looks)} times, the last {last:.1f} s before the undo"
    )


def _uids(fault: Json) -> list[str]:
    return [str(one["uid"]) for one in fault["targets"] if "pod" in one]


def _from(instant_ns: int, later_s: float, hold: Window) -> Window:
    start = min(instant_ns + round(later_s * SECOND), hold.end_ns)
    return Window(start, hold.end_ns)


def shown(proofs: Iterable[Proof]) -> bool:
    """Are all three shown?"""
    return all(proof.shown is True for proof in proofs)
