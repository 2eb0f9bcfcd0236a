"""The watchdog: undoes the fault when the runner cannot, and ends the run when it must not go on.

`python -m holdfast.watchdog RUN`, with a pipe from the runner as standard input. The pipe closes
when the runner ends, however it ends; whatever is left is undone then, for as long as that takes.
Meanwhile it renews the lock, keeps the deadline and samples the guards; on a breach it says so in
the run's events, sends the runner exactly one SIGTERM, and undoes by itself unless the runner began
to within two seconds.
"""

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from holdfast import context, customers, heal, lock
from holdfast.clock import SECOND, begun, deadline, now_ns, sleep
from holdfast.context import Context
from holdfast.errors import HoldfastError
from holdfast.guard import Sampler
from holdfast.supervision import BEAT_S

_BEGIN_S = 2.0  # the runner's time to begin undoing once it was told to
_UNDO_S = heal.RETRY_S + heal.HEAL_S + 5  # its time to end it
_SAMPLE_EVERY_S = 5.0
_BACK_OFF_MAX_S = 30.0
_FIRST_S = 2.0  # of tries before the lock is given back, from when on the reaper helps
_HAND_OVER_S = 45.0  # after its end began, a run with faults left is the reaper's: 2 s and _UNDO_S
_GRACE_S = 8.0  # beyond the longest hold: the last look at the fault, and the way to the undo


class Every(threading.Thread):
    """Does one thing at intervals, apart from the heartbeat, which nothing may hold up."""

    def __init__(
        self, seconds: float, work: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True)
        self._seconds = seconds
        self._work = work
        self._failed = failed
        self._over = threading.Event()

    def run(self) -> None:
        """Until told to stop; a guard that broke down guards nothing, which is told."""
        try:
            due = deadline(self._seconds)
            while not self._over.wait((due - now_ns()) / SECOND):
                due = deadline(self._seconds)  # from start to start: a slow answer delays no other
                self._work()
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody watches any more
            self._failed(f"the watchdog's {self._work.__name__} broke down: {error!r}")

    def stop(self) -> None:
        """No more."""
        self._over.set()


class Watchdog:
    """Watches one run. `breach` is why it must end; empty as long as it may go on."""

    def __init__(self, here: Context, now: Callable[[], int] = now_ns) -> None:
        self._here = here
        self._now = now
        self._renewed_ns = now()
        self.breach_ns = 0
        self._ends_ns: int | None = None
        self._sampler = Sampler(
            here.environment,
            _expected_alerts(here),
            lambda since_ns: customers.recent(here.run, since_ns),
        )
        self.breach = ""

    def renew(self) -> None:
        """Renew the lock; losing it, or the lever, is a breach at once, silence after 10 s.

        Whoever renews it keeps the reaper away: not for longer than its own undo may take.
        """
        if self._fails() and heal.left(self._here.run):
            return
        try:
            lock.check(self._here.run, self._here.environment)
            self._renewed_ns = self._now()
        except lock.Lost as error:
            self.end(str(error))
        except HoldfastError as error:
            if self._now() - self._renewed_ns > lock.GIVE_UP_S * SECOND:
                self.end(f"the lock could not be renewed for 10 s: {error}")

    def keep_lock(self) -> None:
        """What is renewed too slowly is lost, too: others may take it after 15 s."""
        if self._now() - self._renewed_ns > lock.GIVE_UP_S * SECOND:
            self.end("the lock could not be renewed for 10 s: no answer came in time")

    def sample(self) -> None:
        """Ask the guards."""
        self.end(self._sampler.look())

    def keep_deadline(self) -> None:
        """A fault that is held for longer than the policy allows ends now."""
        if self._ends_ns is None:
            if heal.left(self._here.run):
                longest = self._here.environment.policy.max_hold + _GRACE_S
                self._ends_ns = deadline(longest)
        elif now_ns() > self._ends_ns:
            self.end("the fault was held for longer than the policy allows")

    def end(self, why: str) -> None:
        """The run must not go on; the first reason counts, an empty one is none."""
        if why and not self.breach:
            self.breach, self.breach_ns = why, self._now()

    def _fails(self) -> bool:
        """Must it have ended for so long that everything should be undone by now?"""
        return bool(self.breach) and self._now() - self.breach_ns > _HAND_OVER_S * SECOND


def watch(here: Context, runner: int) -> None:
    """Until the runner is gone, or must not go on; then see to it that nothing is left."""
    dog = Watchdog(here)
    chores = [
        Every(lock.RENEW_S, dog.renew, dog.end),
        Every(_SAMPLE_EVERY_S, dog.sample, dog.end),
        Every(0.5, dog.keep_deadline, dog.end),
        Every(0.5, dog.keep_lock, dog.end),
    ]
    for chore in chores:
        chore.start()
    gone = _beat_until(lambda: bool(dog.breach))
    if not gone:
        _abort(here, runner, dog.breach)
        gone = _beat_until(lambda: _began(here, dog.breach_ns), seconds=_BEGIN_S)
    if not gone and _began(here, dog.breach_ns):
        gone = _beat_until(lambda: not heal.pending(here.run), seconds=_UNDO_S)
    while not gone:
        heal.undo_all(here.run, here.environment, by="watchdog")
        gone = _beat_until(lambda: False, seconds=_UNDO_S)
    for chore in chores:
        chore.stop()
    _finish(here)


def _finish(here: Context) -> None:
    """The runner is gone: undo what is left, and try again for ever; others may help meanwhile."""
    wait = 0.5
    while True:
        failures = heal.undo_all(here.run, here.environment, by="watchdog", retry_s=_FIRST_S)
        with contextlib.suppress(Exception):  # whatever lock.json holds, the undo goes on
            lock.release(here.run, here.environment)
        if not failures:
            return
        sleep(wait)
        wait = min(2 * wait, _BACK_OFF_MAX_S)


def _beat_until(condition: Callable[[], bool], seconds: float = float("inf")) -> bool:
    """Heartbeats until the condition holds or the time is over; True when the runner is gone."""
    began = now_ns()
    while not condition() and now_ns() - began < seconds * SECOND:
        try:
            os.write(1, b".")
        except BlockingIOError:
            pass  # nobody reads: the runner is stopped or busy, and will find them
        except OSError:
            return True
        ready, _, _ = select.select([0], [], [], BEAT_S)
        if ready and not os.read(0, 1024):
            return True
    return False


def _abort(here: Context, runner: int, why: str) -> None:
    """Write down why, and tell the runner once."""
    heal.say(here.run, {"event": "abort", "why": why, "by": "watchdog"})
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(runner, signal.SIGTERM)


def _began(here: Context, since_ns: int) -> bool:
    """Has an undo begun since then? An earlier one was of an earlier fault."""
    events = here.run.sound("events.jsonl")[0]
    return any(one["event"] == "undo_began" and one["mono_ns"] > since_ns for one in events)


def _expected_alerts(here: Context) -> list[str]:
    return [str(one) for one in here.plan().get("extension", {}).get("expects_alerts", [])]


def main() -> None:
    """Watch a run: the arguments are its folder and the runner's process id."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.set_blocking(1, False)
    folder, parent = sys.argv[1], int(sys.argv[2])
    here = context.of({context.KEY: str(Path(folder))})
    runner = os.pidfd_open(os.getppid())
    if os.getppid() != parent:  # it died before we could look
        _finish(here)
        return
    begun(lambda: _warm(here))  # the runner need not wait for that
    watch(here, runner)


def _warm(here: Context) -> None:
    """Import and connect now what an undo will need, so that it takes milliseconds then."""
    with contextlib.suppress(HoldfastError):
        heal.Systems(here.environment).cluster.uid()


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # the runner waits for its end: to take all modules apart takes 0.2 s
