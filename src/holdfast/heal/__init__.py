"""The undo of every fault: written down before the harm, as data from a closed list.

A heal goes from `intent` (written, nothing sent) over `injecting` and `active` to `undoing` and
`undone`. Whatever is written down and not undone can be undone from any process, as often as
wanted, from each of these states. `conflict` (somebody else changed it since: left alone) and
`stuck` (it could not be done, or does not read back) stay pending. What cannot be undone is
`irreversible`, and has a check of its recovery instead.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from holdfast import marks as names
from holdfast.clock import SECOND, deadline, now_ns, sleep, ticks, until, utc_now, within
from holdfast.documents import Environment
from holdfast.errors import (
    Conflict,
    FaultNotApplied,
    FaultRemains,
    HoldfastError,
    Unreachable,
)
from holdfast.heal import found
from holdfast.heal.log import EVENTS, HEALS, damaged, note, pending, say, unanswered, write
from holdfast.heal.operations import NEVER, by_hand, operation
from holdfast.heal.systems import Systems
from holdfast.model import Heal, plain
from holdfast.redact import redacted
from holdfast.store import Run
from holdfast.store.chain import free

__all__ = [
    "Failure",
    "Systems",
    "by_hand",
    "damaged",
    "found",
    "injecting",
    "intend",
    "pending",
    "say",
    "undo_all",
]

HEAL_S = 20.0  # one attempt at one heal, with its read-back
RETRY_S = 15.0  # how long heals of systems that do not answer are tried again, in all
MARK_LASTS = timedelta(hours=1)  # what is still there by then belongs to no run that is alive
_AGAIN_S = 0.5
_TURN_S = 2.0  # an executor that holds the others up for longer is taken for hung
_AT_ONCE = 64
IN_FLIGHT_S = 5.0  # a call that was sent may still arrive for so long after its sender is dead


@dataclass(frozen=True)
class Failure:
    """A heal that could not be made or does not read back, and why."""

    heal: Heal
    why: HoldfastError

    def __str__(self) -> str:
        arguments = ", ".join(f"{name} {value}" for name, value in self.heal.arguments.items())
        return f"{self.heal.operation} ({arguments}): {self.why}"


def open_systems(environment: Environment) -> Systems:
    """The systems that the environment names; none is asked yet."""
    return Systems(environment)


def toxic_name(run: Run, kind: str) -> str:
    """The name of this run's toxic of that kind: it says whose it is, and until when."""
    return names.toxic(run.id, kind, expires())


def marks(run: Run, undo: str, token: str) -> dict[str, str]:
    """The annotations that say whose a change of a node is, how to undo it, and until when."""
    return {
        names.RUN: run.id,
        names.OWNER: names.owner(),
        names.UNDO: undo,
        names.EXPIRES: f"{expires():%Y-%m-%dT%H:%M:%SZ}",
        names.TOKEN: token,
    }


def expires() -> datetime:
    """When a mark that is set now is out of date, in UTC."""
    return utc_now() + MARK_LASTS


def intend(run: Run, name: str, arguments: Mapping[str, Any]) -> Heal:
    """Write down how to undo what comes next; it is on disk when this returns.

    `none` is for what cannot be undone; its arguments say what that is, and what shows recovery.

    Raises:
        InvalidInput: not an operation of the closed list, or not its arguments.
        FaultNotApplied: it cannot be written down, and so must not be done.
    """
    heal = Heal(uuid.uuid4().hex[:12], name, dict(arguments))
    if name != "none":
        operation(heal)
    meant = json.dumps(plain(heal.arguments))
    if redacted(meant) != meant:
        raise FaultNotApplied(
            str(run.path(HEALS)),
            "the undo cannot be recorded: it names what is kept out of records as a secret",
            "Rename the target, or keep another secret",
        )
    try:
        write(run, heal, "irreversible" if name == "none" else "intent")
    except OSError as error:
        raise FaultNotApplied(
            str(run.path(HEALS)), f"the undo cannot be recorded: {error.strerror}", "Make room"
        ) from None
    return heal


@contextlib.contextmanager
def injecting(run: Run, environment: Environment, heals: Sequence[Heal]) -> Iterator[None]:
    """The fault is made in this block: everywhere, or, when that fails, nowhere."""
    try:
        for heal in heals:
            write(run, heal, "injecting")
        yield
        for heal in heals:
            write(run, heal, "active")
    except OSError as error:
        undo_all(run, environment)
        raise FaultNotApplied(
            str(run.folder), f"the run cannot be recorded: {error.strerror}", "Make room"
        ) from None
    except HoldfastError as error:
        if not isinstance(error, Unreachable):  # each call was answered: none is on its way
            for heal in heals:
                note(run, heal, "injecting", answered="yes")
        undo_all(run, environment)
        raise


def undo_all(
    run: Run, environment: Environment, *, by: str = "runner", retry_s: float = RETRY_S
) -> list[Failure]:
    """Undo everything that is pending, newest first; a failure does not stop the others.

    Heals of systems that do not answer are tried again for `retry_s` seconds. The run's events say
    who began it and how it ended.
    """
    if settled(run, by):
        return []
    say(run, {"event": "undo_began", "by": by})
    with _turn(run):
        systems, give_up = open_systems(environment), deadline(retry_s)
        heals, unreadable = _known(run, systems)
        late, lost = unanswered(run), damaged(run)

        def one(heal: Heal) -> Failure | None:
            unsure = lost or heal.id in late
            return _undo(run, heal, lambda: _again(_own(run, heal), systems, unsure), give_up)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            outcomes = [*pool.map(one, heals)]
    failures = [*unreadable, *(one for one in outcomes if one)]
    if failures:
        why = "; ".join(str(one) for one in failures)
        ids = [one.heal.id for one in failures]
        say(run, {"event": "undo_failed", "by": by, "heals": ids, "why": why})
    else:
        say(run, {"event": "undo_verified", "by": by})
    return failures


def settled(run: Run, by: str) -> bool:
    """Is nothing left? Of a run that broke off it is written down, so that judging knows it."""
    if left(run):
        return False
    if by != "runner" and _broke_off(run):
        say(run, {"event": "undo_verified", "by": by})
    return True


def undo(heal: Heal, systems: Systems, in_flight_s: float = IN_FLIGHT_S) -> str:
    """Undo one heal and read it back; answers with what was found.

    For `in_flight_s` seconds a call of the injector may still arrive: 0 once each was answered.

    Raises:
        Conflict, FaultRemains, Unreachable: it could not be made, and why.
    """
    known = operation(heal)
    return within(HEAL_S, lambda: known.undo(systems, in_flight_s, **heal.arguments))


def _again(heal: Heal, systems: Systems, late: bool) -> str:
    """Undo it; what a call does that is not answered yet, and may be on its way, is undone too."""
    in_flight_s = IN_FLIGHT_S if late else 0.0
    for _ in ticks(in_flight_s, every=_AGAIN_S):
        if (how := undo(heal, systems, in_flight_s)) != NEVER:
            break
    return how


def _own(run: Run, heal: Heal) -> Heal:
    """The heal, if what it takes away carries this run's mark: a log may come from anywhere.

    Raises:
        Conflict: it does not.
    """
    named = str(heal.arguments.get("toxic") or heal.arguments.get("marker") or "")
    mark = names.of_toxic(named)
    if run.id != (mark.run if mark else heal.arguments.get("run")) and operation(heal):
        raise Conflict(
            f"{heal.operation} of run {run.id}",
            f"what it would take away does not carry its mark: {named or dict(heal.arguments)}",
            "Ask whose it is; `holdfast undo RUN --by-hand` prints the lines",
        )
    return heal


def left(run: Run) -> bool:
    """Is anything pending, or can nobody tell?"""
    try:
        return bool(pending(run)) or damaged(run)
    except HoldfastError:
        return True


def _broke_off(run: Run) -> bool:
    """Did the record end in the middle, and does nothing say yet that no fault is left?"""
    events = run.sound(EVENTS)[0]
    ends = ("end", "undo_verified")
    return not any(one.get("name") in ends or one["event"] in ends for one in events)


def _known(run: Run, systems: Systems) -> tuple[list[Heal], list[Failure]]:
    """What has to be undone, newest first, and what keeps it from being known."""
    try:
        heals, damage = pending(run)[::-1], damaged(run)
    except HoldfastError as error:
        return [], [Failure(Heal("?", "read heals.jsonl", {}), error)]
    if not damage:
        return heals, []
    seen, not_asked = found.everything(systems)
    unreadable = [Failure(Heal("?", "read heals.jsonl", {}), error) for error in not_asked]
    listed = {(one.operation, str(dict(one.arguments))) for one in heals}
    mine = [one.heal for one in seen if one.run == run.id]
    extra = [one for one in mine if (one.operation, str(dict(one.arguments))) not in listed]
    return [*heals, *extra], unreadable


def _undo(run: Run, heal: Heal, attempt: Callable[[], str], give_up_ns: int) -> Failure | None:
    note(run, heal, "undoing")
    while True:
        try:
            how = attempt()
        except (Unreachable, TimeoutError) as error:
            if now_ns() + _AGAIN_S * SECOND < give_up_ns:
                sleep(_AGAIN_S)
                continue
            return _failed(run, heal, error)
        except Exception as error:  # noqa: BLE001  # a surprise in one undo must not stop the others
            return _failed(run, heal, error)
        note(run, heal, "undone", how=how)
        return None


def _failed(run: Run, heal: Heal, error: Exception) -> Failure:
    why = error if isinstance(error, HoldfastError) else _surprise(heal, error)
    note(run, heal, "conflict" if isinstance(why, Conflict) else "stuck", why=str(why))
    return Failure(heal, why)


def _surprise(heal: Heal, error: Exception) -> HoldfastError:
    return FaultRemains(heal.operation, f"{type(error).__name__}: {error}", "Undo it by hand")


@contextlib.contextmanager
def _turn(run: Run) -> Iterator[None]:
    """One executor at a time, as long as none is hung: each undo compares before it sets anyway."""
    try:
        fd = os.open(run.path("undo.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # a full disk must not keep anybody from healing
        yield
        return
    try:
        until(lambda: free(fd), seconds=_TURN_S, every=0.02)
        yield
    finally:
        os.close(fd)
