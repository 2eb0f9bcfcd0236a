"""The promise that a bad gateway is isolated and its backup carries the transfers."""

from collections.abc import Iterator
from dataclasses import replace

from holdfast.clock import SECOND
from holdfast.judge.finding import Ground, Judged, finding
from holdfast.judge.platform import ready_before
from holdfast.measure import (
    Breakers,
    Change,
    carried_by_backup,
    flaps,
    opened,
    returned_to_closed,
    states,
    upper_bound,
    value_at,
)
from holdfast.measure import floor as floor_s
from holdfast.model import Interval, Journey, Observation, Window
from holdfast.verdict import Verdict, worst

_CARRIED = 0.99  # of the calls that follow, trial calls apart (DESIGN section 1, failover)
_UNDER_WAY_S = 1.0  # beyond the call limit, until a call that was under way is surely counted


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
    ready = ready_before(ground)
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
    observations = (
        *(one for _, _, one in judged),
        _closed(ground, seen, (gateway, pods)),
        *_conduct(ground, seen, (gateway, pods)),
        *_backup(ground, gateway, changes),
        _amplified(name, ground, gateway),
    )
    why = "; ".join(words for _, words, _ in judged)
    return finding(name, ground, worst(verdict for verdict, _, _ in judged), why, *observations)


type _Part = tuple[Verdict, str, Observation]


def _opened(name: str, ground: Ground, gateway_changes: tuple[str, list[Change]]) -> _Part:
    """Seconds until the last replica's breaker opened, against the earliest that was possible."""
    gateway, changes = gateway_changes
    factor = float(ground.record.plan["objectives"][name]["limit"])
    floor = _floor(name, ground, gateway, changes)
    blind = [one.why for one in changes if not one.known]
    never = [one.pod for one in changes if one.known and one.seconds is None]
    last = _last(changes)
    detail = {"floor_s": floor, "by_pod": {one.pod: one.seconds for one in changes}}
    observed = Observation("breaker-opened", last, "s", "wallet's breakers", detail=detail)
    if never and not (ground.timeline.aborted or ground.timeline.ended_early):
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


def _floor(name: str, ground: Ground, gateway: str, changes: list[Change]) -> float | None:
    """The earliest that it could open: enough failures at the rate then, and their hang.

    As many calls of every replica, or of none, came of each request before as come of those that
    were planned from the fault to the opening: customers may have been fewer before.
    """
    fault, before, last = ground.timeline.fault, ground.timeline.served, _last(changes)
    settings = ground.record.plan["environment"]["breakers"][gateway]
    each = [ground.counts.calls(gateway, before, pod=one.pod) for one in changes]
    calls = sum(one or 0.0 for one in each)
    took_s = max(1.0, last.high if last else ground.timeline.hold.seconds)
    until = replace(before, start_ns=before.end_ns, end_ns=before.end_ns + round(took_s * SECOND))
    sent, due = (
        sum(ground.planned(window, one.name) for one in _paying(name, ground))
        for window in (before, until)
    )
    if not calls or not sent or not due or fault is None or any(one is None for one in each):
        return None
    rate = calls / sent * due / took_s / len(changes)
    limit = float(settings["call_limit"])
    delay = float(fault["asked"].get("latency_ms", limit * 1000)) / 1000
    hangs = fault["kind"] in ("gateway.slow", "gateway.throttle")
    return floor_s(int(settings["failures"]), rate, min(limit, delay), hangs=hangs)


def _carried(ground: Ground, gateway: str, changes: list[Change]) -> _Part:
    """The backup's share of calls once every breaker was open, trial calls apart.

    Held with those of replicas that came since the fault, broken without them: when their breakers
    had to open, nobody knows.
    """
    settings = ground.record.plan["environment"]["breakers"][gateway]
    calls, last = ground.counts.series("gateway_calls_count"), _last(changes)
    backup = settings["backup"]
    if calls is None or last is None or backup is None:
        observed = Observation("carried-by-backup", None, "share", "wallet's calls", why="unknown")
        return Verdict.UNKNOWN, "what the backup carried is not known", observed
    moved = _moved(ground, gateway, last)
    window = ground.timeline.wall_s(moved.start_ns), ground.timeline.wall_s(moved.end_ns)
    pods, began_s = {one.pod for one in changes}, ground.timeline.wall_s(ground.timeline.began_ns)
    mine = [one for one in calls if one.labels.get("pod") in pods]
    came = [  # and not what was replaced before the fault
        ground.counts.from_zero(one, moved)
        for one in calls
        if one.labels.get("pod") not in pods and one.times and began_s < one.times[0] <= window[1]
    ]
    carried = carried_by_backup([*mine, *came], gateway, backup, window)
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
    if carried.share >= _CARRIED:
        return Verdict.HELD, words, observed
    share = carried_by_backup(mine, gateway, backup, window).share
    surely = share is not None and share < _CARRIED
    return (Verdict.BROKEN if surely else Verdict.UNKNOWN), words, observed


def _moved(ground: Ground, gateway: str, last: Interval) -> Window:
    """From when calls that were under way as the last breaker opened have ended, to the undo."""
    call_limit = float(ground.record.plan["environment"]["breakers"][gateway]["call_limit"])
    later_s = last.high + call_limit + _UNDER_WAY_S
    start_ns = ground.timeline.began_ns + round(later_s * SECOND)
    return Window(start_ns, max(start_ns, ground.timeline.undo_ns))


def _lost(ground: Ground, changes: list[Change]) -> _Part:
    """Requests lost before every breaker was open; in all of the hold if one never was.

    Those that were under way when the fault came are among them: nobody else lost them.
    """
    hold, last = ground.timeline.hold, _last(changes)
    end_ns = hold.end_ns if last is None else hold.start_ns + round(last.high * SECOND)
    first_ns = hold.start_ns if ground.apart_ns else ground.cut_off_ns
    surely = Window(first_ns, min(end_ns, hold.end_ns))
    window = Window(ground.cut_off_ns, surely.end_ns + ground.apart_ns)
    paying = [one for one in ground.journeys.values() if one.money]
    tracks = {one.name: ground.samples.of_journey(one.name) for one in paying}
    lost, surely_lost = (
        sum(len(ground.missed(within, one)) for one in paying) for within in (window, surely)
    )
    sent = sum(len(track.due(window)) for track in tracks.values())
    allowed = int(ground.record.plan["extension"]["lost_requests"])
    observed = Observation(
        "lost-before-opening", lost, "requests", "customers", window=window, samples=sent
    )
    words = f"{lost} requests were lost before ({allowed} are allowed)"
    doubts = [ground.distrust(), *(ground.too_few(window, one.name) for one in paying)]
    if doubt := next(filter(None, doubts), ""):
        return Verdict.UNKNOWN, f"{words}, but {doubt}", observed
    if lost <= allowed:
        return Verdict.HELD, words, observed
    return (Verdict.BROKEN if surely_lost > allowed else Verdict.UNKNOWN), words, observed


def _closed(ground: Ground, seen: Breakers, of: tuple[str, set[str]]) -> Observation:
    """Seconds from the undo until the last breaker had closed for good: told, not judged."""
    gateway, pods = of
    undone_s = ground.timeline.wall_s(ground.timeline.undone_ns)
    end_s = ground.timeline.wall_s(ground.timeline.stop_ns)
    changes = returned_to_closed(seen, gateway, pods, undone_s, end_s)
    why = (
        "" if _last(changes) else "one had not closed, or is not known to have, when the run ended"
    )
    return Observation("breaker-closed", _last(changes), "s", "wallet's breakers", why=why)


def _conduct(ground: Ground, seen: Breakers, of: tuple[str, set[str]]) -> Iterator[Observation]:
    """How each breaker behaved until the undo: its states, and how often it closed in vain."""
    gateway, pods = of
    when = ground.timeline
    start_s, undo_s = when.wall_s(when.began_ns), when.wall_s(when.undo_ns)
    over_time = {
        pod: states(seen, gateway, pod, (start_s, when.wall_s(when.stop_ns)))
        for pod in sorted(pods)
    }
    changes = sum(max(0, len(one) - 1) for one in over_time.values())
    source = "wallet's breakers"
    yield Observation("breaker-states", changes, "changes", source, detail={"by_pod": over_time})
    each = {pod: flaps(seen, gateway, pod, (start_s, undo_s)) for pod in sorted(pods)}
    known = [one for one in each.values() if one is not None]
    total = sum(known) if len(known) == len(each) else None
    why = "" if total is not None else "a replica stopped reporting its breaker"
    detail = {"by_pod": each}
    yield Observation("breaker-flaps", total, "closings", source, why=why, detail=detail)


def _backup(ground: Ground, gateway: str, changes: list[Change]) -> Iterator[Observation]:
    """Did the backup keep what was promised of the gateway: calls that failed, calls too slow."""
    backup = ground.record.plan["environment"]["breakers"][gateway]["backup"]
    last = _last(changes)
    if backup is None or last is None:
        return
    window, counts = _moved(ground, gateway, last), ground.counts
    total, good = counts.calls(backup, window), counts.calls(backup, window, outcome="ok")
    for name, well in (
        ("backup-failed", good),
        *(
            (f"backup-slower-than-{limit:g}s", counts.fast_calls(backup, window, limit))
            for limit in _promised(ground)
        ),
    ):
        if not total or well is None:
            why = f"the calls to {backup} were not counted so"
            yield Observation(name, None, "share", "wallet's calls", window=window, why=why)
            continue
        bad, number = max(0, round(total - well)), round(total)
        bound = {"count": bad, "upper_bound_95": upper_bound(bad, number)}
        yield Observation(
            name, bad / number, "share", "wallet's calls", window, number, detail=bound
        )


def _promised(ground: Ground) -> list[float]:
    """The promises and targets of journeys that move money, in seconds."""
    paying = [one for one in ground.journeys.values() if one.money]
    return sorted({limit for one in paying for limit in (one.within, one.target) if limit})


def _amplified(name: str, ground: Ground, gateway: str) -> Observation:
    """Calls to both gateways for each transfer that the entrance counted: retries add to them.

    Calls are counted when they end, so that a hang counts late; trial calls are among them.
    """
    when, plan = ground.timeline, ground.record.plan
    backup = plan["environment"]["breakers"][gateway]["backup"]
    paying = _paying(name, ground)
    found: dict[str, float | None] = {}
    for phase, window in (("before", when.before), ("during", when.hold)):
        counted = [ground.counts.calls(one, window) for one in (gateway, backup) if one]
        sent = sum(ground.counts.entered(one, window) or 0 for one in paying)
        known = [one for one in counted if one is not None]
        found[phase] = sum(known) / sent if sent and known else None
    why = "" if found["during"] is not None else "no call, or no transfer, was counted"
    unit, source = "calls for each transfer", "wallet's calls, entrance"
    return Observation("calls-per-transfer", found["during"], unit, source, why=why, detail=found)


def _paying(name: str, ground: Ground) -> list[Journey]:
    """The journeys that move money, or the one that the objective names."""
    named = ground.record.plan["objectives"][name].get("journey")
    return [one for one in ground.journeys.values() if one.money and named in (one.name, "")]


def _last(changes: list[Change]) -> Interval | None:
    """When the last breaker opened; None when one did not, or nobody knows."""
    times = [one.seconds for one in changes]
    known = [one for one in times if one is not None]
    if not known or len(known) < len(times):
        return None
    return Interval(max(one.low for one in known), max(one.high for one in known))
