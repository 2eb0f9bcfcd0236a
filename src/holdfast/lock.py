"""One run at a time: a Lease of Kubernetes, with a fencing token that rises with each holder.

A lease is no lock by itself: a holder that was paused may wake up and act. So it is renewed, which
only its holder can do, immediately before each write of a fault, and the token is written on every
node, where the admission policy of `deploy/` compares it. Toxiproxy compares nothing: there a gap
of one call's own time limit remains. Expiry is never read from a timestamp: who wants to take over
watches for 15 s, by its own clock, whether anybody renews.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from holdfast.clock import SECOND, now_ns, ticks, until, utc_now
from holdfast.cluster.leases import Lease, Leases
from holdfast.documents import Environment
from holdfast.errors import HoldfastError, InvalidInput, Refused
from holdfast.marks import STOP, owner
from holdfast.store import LOCK, Run

NAME = "holdfast"
REAPER = "holdfast-reaper"
LASTS_S = 15  # after so long without a renewal others may take it
RENEW_S = 1.0  # the emergency lever is seen by it, and has to act within a second or two
GIVE_UP_S = 10.0  # without a renewal for so long the holder undoes: before others may act
FILE = LOCK  # in the run's folder
REAPER_S = 8.0  # the reaper renews its own lease every 2 s

_LOOK_S = 0.5
_SEEN_S = 3.0  # who renews every second is seen to, within so long
_TRIES = 5


@dataclass(frozen=True)
class Held:
    """The lease as this run took it."""

    holder: str
    uid: str
    transitions: int

    @property
    def token(self) -> str:
        """The fencing token."""
        return f"{self.uid}/{self.transitions}"

    def has(self, lease: Lease) -> bool:
        """Is the lease still this run's? One that was made anew has another uid."""
        return (lease.holder, lease.token) == (self.holder, self.token)


class Lost(Refused):
    """This run does not hold the lock any more: it must not inject, and has to undo."""


class Watched:
    """Whether a lease is being renewed, by what was seen of it and by this process's own clock."""

    def __init__(self, now: Callable[[], int] = now_ns) -> None:
        self._now = now
        self._version = ""
        self._changed_ns = now()
        self.renewed = False

    def alive(self, lease: Lease | None) -> bool:
        """Does somebody hold it who renewed it within the last 15 s, as far as can be seen?"""
        if lease is None or not lease.holder:
            self._version = ""
            return False
        if lease.version != self._version:
            self.renewed = bool(self._version)
            self._version, self._changed_ns = lease.version, self._now()
        return self._now() - self._changed_ns < LASTS_S * SECOND


def acquire(run: Run, environment: Environment) -> Held:
    """Take the lock for a run; it is written into its folder.

    Raises:
        Refused: names who holds it, or why nothing may run; nothing was touched.
    """
    leases, watched, lease = _leases(environment), Watched(), None
    mine = f"{run.id} {owner()}"
    for _ in ticks(LASTS_S + 1.0, every=_LOOK_S):
        lease = leases.get(NAME)
        _refuse_stopped(lease)
        if lease and watched.alive(lease):
            if watched.renewed or _recent(lease):
                break
            continue
        taken = (lease or Lease()).taken(mine, LASTS_S)
        if now := leases.replace(NAME, taken) if lease else leases.create(NAME, taken):
            held = Held(now.holder, now.uid, now.transitions)
            run.write_json(FILE, asdict(held))
            return held
    raise _taken(lease)


def held(run: Run) -> Held | None:
    """The lock as the run took it; None when it never did."""
    if not run.path(FILE).exists():
        return None
    data = run.read_json(FILE)
    return Held(str(data["holder"]), str(data["uid"]), int(data["transitions"]))


def check(run: Run, environment: Environment) -> Held:
    """Renew the lock, and so know that this run holds it now: right before each write.

    Raises:
        Lost: somebody else holds it, or it was made anew, or somebody stopped all work.
        Unreachable: nobody can tell, which is no yes.
    """
    mine = held(run)
    if mine is None:
        raise Lost("the lock", "this run never took it", "Start it with `holdfast run`")
    leases = _leases(environment)
    for _ in range(_TRIES):
        lease = leases.get(NAME)
        if lease is None or not mine.has(lease):
            now = lease.holder if lease else "nobody: the lease is gone"
            raise Lost("the lock", f"it is held by {now or 'nobody'} now", "Nothing was injected")
        if why := stopped(lease):
            raise Lost("the lock", f"somebody stopped all work: {why}", "Wait for `--lift`")
        if leases.replace(NAME, lease.renew()):
            return mine
    raise Lost("the lock", "it could not be renewed", "Nothing was injected")


def release(run: Run, environment: Environment) -> None:
    """Give it back, if this run still has it."""
    mine = held(run)
    leases = _leases(environment)
    for _ in range(_TRIES):
        lease = leases.get(NAME)
        if (
            mine is None
            or lease is None
            or (lease.holder, lease.token) != (mine.holder, mine.token)
        ):
            return
        if leases.replace(NAME, replace(lease, holder="")):
            return


def stop(environment: Environment, reason: str) -> str:
    """Stop all work and refuse new work, for a reason; answers with who holds the lock now.

    Raises:
        InvalidInput: the reason is blank; nothing was touched.
    """
    if not reason.strip():
        raise InvalidInput(
            "--reason",
            "it is blank, and everybody is shown it",
            "Write who needs it, and why: --reason 'incident 4711'",
        )
    return _note(environment, {STOP: reason})


def lift(environment: Environment) -> str:
    """Let work begin again; answers with who holds the lock now."""
    return _note(environment, {})


def stopped(lease: Lease | None) -> str:
    """Why somebody stopped all work; empty when nobody did. The lever needs no reason to count."""
    if lease is None or STOP not in lease.annotations:
        return ""
    return lease.annotations[STOP].strip() or "for no reason that was written down"


def look(environment: Environment) -> str:
    """That the lock may be taken, as a sentence; takes nothing.

    Raises:
        Refused: somebody has it, or somebody stopped all work.
    """
    lease = _leases(environment).get(NAME)
    _refuse_stopped(lease)
    if lease and lease.holder and _recent(lease):
        raise _taken(lease)
    return f"nobody has it (last: {lease.holder})" if lease and lease.holder else "nobody has it"


def living(environment: Environment) -> str:
    """The id of the run that has the lock and renewed it lately; or none.

    By its own timestamp, or by what is seen: its clock may be another. Who asks this leaves that
    run alone: enough for a person, who sees what is left.
    """
    leases = _leases(environment)
    if (first := leases.get(NAME)) is None or not first.holder:
        return ""
    holder, version = first.holder, first.version

    def renewed() -> bool:
        now = leases.get(NAME)
        return now is not None and now.holder == holder and now.version != version

    seen = _recent(first) or until(renewed, seconds=_SEEN_S, every=_LOOK_S)
    return run_of(first) if seen else ""


def look_for_reaper(environment: Environment) -> str:
    """That the reaper is seen to renew its own lease, as a sentence.

    Raises:
        Refused: it is not.
    """
    leases = _leases(environment)
    first = leases.get(REAPER)

    def renewed() -> bool:
        now = leases.get(REAPER)
        return first is not None and now is not None and now.version != first.version

    if first is None or not until(renewed, seconds=REAPER_S, every=_LOOK_S):
        raise Refused(
            f"lease {REAPER} in {environment.kubernetes.namespace}",
            "no reaper renews it, so nobody would undo a fault if this host were lost",
            "Apply deploy/, or set `policy.reaper: off` where nobody is harmed",
        )
    return "seen to be alive"


def run_of(lease: Lease | None) -> str:
    """The id of the run that holds a lease; empty when none does."""
    return lease.holder.partition(" ")[0] if lease else ""


def _leases(environment: Environment) -> Leases:
    return Leases(environment.kubernetes.kubeconfig, environment.kubernetes.namespace)


def _note(environment: Environment, noted: dict[str, str]) -> str:
    leases = _leases(environment)
    for _ in range(_TRIES):
        lease = leases.get(NAME)
        if lease is None:
            if not noted or leases.create(NAME, Lease(annotations=noted)):
                return ""
            continue
        others = {key: value for key, value in lease.annotations.items() if key != STOP}
        if leases.replace(NAME, replace(lease, annotations=others | noted)):
            return lease.holder
    raise HoldfastError("the lock", "others write it all the time", "Try again")


def _recent(lease: Lease) -> bool:
    """By the holder's own timestamp: enough to refuse, never enough to take over."""
    try:
        age = utc_now() - datetime.fromisoformat(lease.renewed)
    except ValueError:
        return False
    return abs(age.total_seconds()) < LASTS_S  # a clock that was set back makes nobody alive


def _refuse_stopped(lease: Lease | None) -> None:
    if why := stopped(lease):
        raise Refused(
            "the lock",
            f"somebody stopped all work: {why}",
            "When that is over: holdfast stop --lift --reason ...",
        )


def _taken(lease: Lease | None) -> Refused:
    return Refused(
        "the lock",
        f"run {lease.holder if lease else '?'} has it, and one run at a time is allowed",
        "Wait for its end, or ask whoever runs it; a run that died loses it after 15 s",
    )
