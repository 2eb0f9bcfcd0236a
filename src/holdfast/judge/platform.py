"""The promises that the platform keeps by itself: failover, restart, money."""

from collections.abc import Iterator
from math import inf, isfinite

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground, Judged, finding
from holdfast.measure import (
    Breakers,
    Change,
    carried_by_backup,
    flaps,
    opened,
    reconcile,
    returned_to_closed,
    value_at,
)
from holdfast.measure import floor as floor_s
from holdfast.model import Interval, Json, Observation, Window
from holdfast.verdict import Verdict, worst

_CARRIED = 0.99  # of the calls that follow, trial calls apart (DESIGN section 1, failover)
_UNDER_WAY_S = 1.0  # beyond the call limit, until a call that was under way is surely counted
_UNSEEN_S = 10.0  # replicas that nobody looked at for so long may not have stayed ready
_SHOWN = 20  # differences that are named; all of them are counted


def restart(name: str, ground: Ground) -> Judged:
    """Seconds until as many replicas were ready as before, and stayed so until the hold's end."""
    when = ground.timeline
    if when.fault is None:
        return finding(name, ground, Verdict.UNKNOWN, "no fault took effect")
    looks = list(_looks(ground))
    before = _ready_before(ground)
    during = [one for one in looks if one[0] >= when.began_ns]
    if not before or not during:
        why = "the pods were not seen before and after the fault"
        return finding(name, ground, Verdict.UNKNOWN, why)
    value, why = _restored(before, during, when.began_ns)
    observed = Observation(
        "replicas-restored", value, "s", "Kubernetes, pods seen every second", samples=len(looks)
    )
    limit = float(ground.record.plan["objectives"][name]["limit"])
    unseen_s = (_watched_until(ground) - during[-1][1]) / SECOND
    if value.high <= limit and unseen_s > _UNSEEN_S:
        verdict, why = Verdict.UNKNOWN, f"{why}, but nobody looked for the last {unseen_s:.0f} s"
    elif value.high <= limit:
        verdict = Verdict.HELD
    elif value.low >= limit and not (when.aborted or when.ended_early):
        verdict = Verdict.BROKEN
    else:
        verdict = Verdict.UNKNOWN
    return finding(name, ground, verdict, why, observed)


def failover(name: str, ground: Ground) -> Judged:
    """Opened near its floor, the backup carried what followed, and few customers lost a request."""
    fault, counts = ground.timeline.fault, ground.counts
    state, entered = counts.series("breaker_state"), counts.series("breaker_entered")
    if fault is None or state is None or not fault["kind"].startswith("gateway."):
        why = "no gateway was broken, or its breakers' states were not collected"
        return finding(name, ground, Verdict.UNKNOWN, why)
    gateway = str(fault["targets"][0]["proxy"])
    seen = Breakers(state, entered or [])
    start_s = ground.timeline.wall_s(ground.timeline.began_ns)
    pods = {
        one.labels["pod"]
        for one in state
        if one.has(gateway=gateway) and "pod" in one.labels and value_at(one, start_s) is not None
    }
    ready = _ready_before(ground)
    if not pods or len(pods) != ready:
        why = f"{len(pods)} of {ready} replicas reported their breaker of {gateway}"
        return finding(name, ground, Verdict.UNKNOWN, why)
    end_s = ground.timeline.wall_s(ground.timeline.undo_ns)
    changes = opened(seen, gateway, pods, start_s, end_s)
    judged = [
        _opened(name, ground, (gateway, changes)),
        _carried(ground, gateway, changes),
        _lost(ground, changes),
    ]
    observations = (*(one for _, _, one in judged), _closed(ground, seen, (gateway, pods)))
    why = "; ".join(words for _, words, _ in judged)
    return finding(name, ground, worst(verdict for verdict, _, _ in judged), why, *observations)


type _Part = tuple[Verdict, str, Observation]


def _opened(name: str, ground: Ground, gateway_changes: tuple[str, list[Change]]) -> _Part:
    """Seconds until the last replica's breaker opened, against the earliest that was possible."""
    gateway, changes = gateway_changes
    factor = float(ground.record.plan["objectives"][name]["limit"])
    floor = _floor(ground, gateway, len(changes))
    blind = [one.why for one in changes if not one.known]
    never = [one.pod for one in changes if one.known and one.seconds is None]
    last = _last(changes)
    detail = {"floor_s": floor, "by_pod": {one.pod: one.seconds for one in changes}}
    observed = Observation("breaker-opened", last, "s", "wallet's breakers", detail=detail)
    if never and not ground.timeline.aborted:
        words = f"the breaker of {gateway} never opened in {', '.join(never)}"
        return Verdict.BROKEN, words, observed
    if blind or never or last is None or floor is None:
        return Verdict.UNKNOWN, "; ".join(blind) or "its floor is not known", observed
    words = (
        f"opened after {last.high:.2f} s; at the mean rate its floor is {floor:.2f} s, and"
        f" {factor:g} times that is promised"
    )
    if last.high <= factor * floor:
        return Verdict.HELD, words, observed
    return (Verdict.BROKEN if last.low > factor * floor else Verdict.UNKNOWN), words, observed


def _floor(ground: Ground, gateway: str, pods: int) -> float | None:
    """The earliest that it could open: enough failures at the rate before, and their hang."""
    fault, before = ground.timeline.fault, ground.timeline.before
    settings = ground.record.plan["environment"]["breakers"][gateway]
    calls = ground.counts.calls(gateway, before)
    if not calls or fault is None:
        return None
    rate = calls / before.seconds / pods
    limit = float(settings["call_limit"])
    delay = float(fault["asked"].get("latency_ms", limit * 1000)) / 1000
    hangs = fault["kind"] in ("gateway.slow", "gateway.throttle")
    return floor_s(int(settings["failures"]), rate, min(limit, delay), hangs=hangs)


def _carried(ground: Ground, gateway: str, changes: list[Change]) -> _Part:
    """The backup's share of calls once every breaker was open, trial calls apart."""
    settings = ground.record.plan["environment"]["breakers"][gateway]
    calls, last = ground.counts.series("gateway_calls_count"), _last(changes)
    backup = settings["backup"]
    if calls is None or last is None or backup is None:
        observed = Observation("carried-by-backup", None, "share", "wallet's calls", why="unknown")
        return Verdict.UNKNOWN, "what the backup carried is not known", observed
    start = ground.timeline.wall_s(ground.timeline.began_ns) + last.high
    start += float(settings["call_limit"]) + _UNDER_WAY_S
    window = start, ground.timeline.wall_s(ground.timeline.undo_ns)
    pods = {one.pod for one in changes}  # one that was replaced before the fault says nothing
    mine = [one for one in calls if one.labels.get("pod") in pods]
    carried = carried_by_backup(mine, gateway, backup, window)
    observed = Observation(
        "carried-by-backup",
        carried.share,
        "share",
        "wallet's calls",
        samples=round(carried.primary + carried.backup),
        why=carried.why,
        detail={"trial_calls": carried.trials},
    )
    if carried.share is None:
        return Verdict.UNKNOWN, carried.why, observed
    words = f"then {backup} carried {carried.share:.2%} ({carried.trials:.0f} trial calls apart)"
    return (Verdict.HELD if carried.share >= _CARRIED else Verdict.BROKEN), words, observed


def _lost(ground: Ground, changes: list[Change]) -> _Part:
    """Requests lost before every breaker was open; in all of the hold if one never was."""
    hold, last = ground.timeline.hold, _last(changes)
    end_ns = hold.end_ns if last is None else hold.start_ns + round(last.high * SECOND)
    window = Window(hold.start_ns, min(end_ns, hold.end_ns))
    paying = [one for one in ground.journeys.values() if one.money]
    tracks = {one.name: ground.samples.of_journey(one.name) for one in paying}
    lost = sum(len(tracks[one.name].bad_due(window, one.within)) for one in paying)
    sent = sum(len(track.due(window)) for track in tracks.values())
    allowed = int(ground.record.plan["extension"]["lost_requests"])
    observed = Observation(
        "lost-before-opening", lost, "requests", "customers", window=window, samples=sent
    )
    words = f"{lost} requests were lost before ({allowed} are allowed)"
    doubts = [ground.distrust(), *(ground.too_few(window, one.name) for one in paying)]
    if doubt := next(filter(None, doubts), ""):
        return Verdict.UNKNOWN, f"{words}, but {doubt}", observed
    return (Verdict.HELD if lost <= allowed else Verdict.BROKEN), words, observed


def _closed(ground: Ground, seen: Breakers, of: tuple[str, set[str]]) -> Observation:
    """Seconds from the undo until the last breaker had closed for good: told, not judged."""
    gateway, pods = of
    undone_s = ground.timeline.wall_s(ground.timeline.undone_ns)
    end_s = ground.timeline.wall_s(ground.timeline.stop_ns)
    changes = returned_to_closed(seen, gateway, pods, undone_s, end_s)
    hold = ground.timeline.wall_s(ground.timeline.began_ns), undone_s
    detail = {
        "closings_in_the_hold": {pod: flaps(seen, gateway, pod, hold) for pod in sorted(pods)}
    }
    why = (
        "" if _last(changes) else "one had not closed, or is not known to have, when the run ended"
    )
    return Observation(
        "breaker-closed", _last(changes), "s", "wallet's breakers", why=why, detail=detail
    )


def _last(changes: list[Change]) -> Interval | None:
    """When the last breaker opened; None when one did not, or nobody knows."""
    times = [one.seconds for one in changes]
    known = [one for one in times if one is not None]
    if not known or len(known) < len(times):
        return None
    return Interval(max(one.low for one in known), max(one.high for one in known))


def money(name: str, ground: Ground) -> Judged:
    """Every transfer id matched to its postings and to the bank side's own settlements."""
    record = ground.record
    if record.transfers is None or record.settlements is None:
        why = "the ledger or the bank side's record could not be read"
        return finding(name, ground, Verdict.UNKNOWN, why)
    paying = [one.name for one in ground.journeys.values() if one.money]
    ours = [one for name in paying for one in ground.samples.of_journey(name)]
    try:
        found = reconcile(ours, record.transfers, _since_start(ground))
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


def _since_start(ground: Ground) -> list[Json]:
    """The settlements, without those of transfers that others made before this run began."""
    start_s = ground.timeline.wall_s(ground.timeline.start.mono_ns)
    known = {row.get("end_to_end_id") for row in ground.record.transfers or ()}
    return [
        one
        for one in ground.record.settlements or ()
        if one.get("end_to_end_id") in known or _settled_s(one) >= start_s
    ]


def _settled_s(settlement: Json) -> float:
    """When the bank side settled it, in Unix seconds."""
    at = settlement.get("settled_at")
    if not isinstance(at, int | float) or not isfinite(at):
        raise ValueError(f"settled_at is not a time in {dict(settlement)}")
    return float(at)


def _ready_before(ground: Ground) -> int | None:
    """The most replicas that were ready before the fault; None when nobody looked.

    A look that began before the fault and ended after it may have missed what the fault took.
    """
    began_ns = ground.timeline.began_ns
    return max((ready for _, ended, ready in _looks(ground) if ended <= began_ns), default=None)


def _looks(ground: Ground) -> Iterator[tuple[int, int, int]]:
    """When each look began and ended, and how many pods that were not killed were ready."""
    when = ground.timeline
    targets: list[Json] = list(when.fault["targets"]) if when.fault else []
    killed = {str(target["uid"]) for target in targets if "uid" in target}
    for look in ground.record.pods:
        if "pods" not in look or int(look["mono_ns"]) > _watched_until(ground):
            continue
        after = int(look["looked_ns"]) >= when.began_ns
        ready = [pod for pod in look["pods"] if pod["ready"]]
        count = len([pod for pod in ready if not after or pod["uid"] not in killed])
        yield int(look["looked_ns"]), int(look["mono_ns"]), count


def _watched_until(ground: Ground) -> int:
    """What an undo may have helped to restore was not restored by the platform."""
    when = ground.timeline
    return when.hold.end_ns if when.fault and when.fault["reversible"] else when.stop_ns


def _restored(
    wanted: int, looks: list[tuple[int, int, int]], began_ns: int
) -> tuple[Interval, str]:
    """Between which two looks the number of ready replicas came back for good."""
    short = [number for number, look in enumerate(looks) if look[2] < wanted]
    if short and short[-1] == len(looks) - 1:
        seen = (looks[-1][0] - began_ns) / SECOND
        return Interval(seen, inf), f"{looks[-1][2]} of {wanted} replicas ready after {seen:.1f} s"
    first = short[-1] + 1 if short else 0
    low = (looks[short[-1]][0] - began_ns) / SECOND if short else 0.0
    high = (looks[first][1] - began_ns) / SECOND
    return Interval(low, high), f"{wanted} replicas were ready again within {high:.1f} s"
