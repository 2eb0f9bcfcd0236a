"""Plan → journal, through Chaos Toolkit: customers, steady state, fault, hold, undo, and after.

Chaos Toolkit runs in the main thread with the rollback strategy `always`. Our own heal follows it
in every case, with signals held off: a first SIGINT or SIGTERM ends the run and heals, later ones
change nothing.
"""

import contextlib
import copy
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from holdfast import customers, heal, lock, supervision
from holdfast.clock import SECOND, begun, now_ns, sleep, ticks
from holdfast.context import KEY, Context
from holdfast.errors import HoldfastError, Refused
from holdfast.model import Sample
from holdfast.plan import GROWTH, Plan
from holdfast.probes import ledger
from holdfast.run.interrupts import Signals
from holdfast.run.looks import first_look
from holdfast.run.watch import Sums, Watch
from holdfast.store import RESERVE, RESERVE_BYTES, Run

type Tell = Callable[[str, float], None]

SETTLE_S = 30.0  # how long unknown transfers may take to reach a final state
_SCRAPE_S = 15.0  # where the environment's `periods:` do not name `scrape`


def run(plan: Plan, root: Path, tell: Tell) -> Context:
    """Make the run's folder, and run the plan. `tell` hears each phase and its expected seconds.

    How it ended is in the run's events: an abort, an undo that failed, or neither.
    """
    folder = Run.create(root, plan.experiment.name)
    here = Context(folder, plan.environment)
    aborted = ""
    with Signals() as signals, _supervised(plan, here, signals) as load:
        watches = Watch(here, load, signals.interrupt), Sums(here, signals.interrupt)
        for watch in watches:
            watch.start()
        try:
            _phases(plan, here, load, signals, tell)
        except KeyboardInterrupt:
            aborted = signals.why
        except HoldfastError as error:
            aborted = str(error)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not leave a fault behind
            aborted = f"a defect in holdfast: {error!r}"
        finally:
            signals.hold_off()
            _heal(here)
            for watch in watches:
                watch.stop()
            finish(here, load, aborted, tell)
    return here


@contextlib.contextmanager
def _supervised(plan: Plan, here: Context, signals: Signals) -> Iterator[customers.Customers]:
    """With the lock, customers, and a watchdog that undoes whatever this process leaves behind.

    Nothing goes on without that watchdog; customers may send while it starts.

    Raises:
        Refused: somebody else has the lock; the run's folder is taken away again.
    """
    here.run.write_json("plan.json", plan.record())
    here.run.append("events.jsonl", {"event": "anchor"})
    try:
        here.run.reserve()
        lock.acquire(here.run, here.environment)
    except (HoldfastError, OSError) as error:
        shutil.rmtree(here.run.folder)
        if isinstance(error, OSError):
            raise _no_room(here, error) from None
        raise
    load = begun(lambda: _send(plan, here))
    try:
        watchdog = supervision.begin(here.run, here.environment)
    except BaseException:
        with contextlib.suppress(HoldfastError):
            load(None).kill()
        raise
    guardian = supervision.Guardian(watchdog, signals.interrupt)
    guardian.start()
    try:
        yield load(None)
    finally:
        guardian.end(wait=not heal.pending(here.run))
        here.run.path(RESERVE).unlink(missing_ok=True)


def _no_room(here: Context, error: OSError) -> Refused:
    return Refused(
        str(here.run.folder),
        f"no {RESERVE_BYTES >> 20} MiB can be kept free for the record: {error.strerror}",
        "Make room, or name another folder for runs",
    )


def _phases(
    plan: Plan, here: Context, load: customers.Customers, signals: Signals, tell: Tell
) -> None:
    extension = plan.experiment.extension
    begun(lambda: import_module("chaoslib.experiment"))  # or the fault would wait for it
    tell("before: steady state", extension.before)
    _steady(plan, here, load, extension.before)
    _phase(here, "fault")
    tell("fault: held until customers recover", plan.hold_s()[1])
    journal = _chaos_toolkit(plan, here, signals)
    signals.hold_off()
    remains = _heal(here)
    if remains or not here.faults():
        why = "; ".join(remains) or _why_no_fault(journal)
        here.run.append("events.jsonl", {"event": "ended_early", "why": why})
    signals.rearm()
    if remains or not here.faults():
        return
    tell("after: steady state", extension.after)
    _phase(here, "after")
    _steady(plan, here, load, extension.after)


def _send(plan: Plan, here: Context) -> customers.Customers:
    """Start the customers; the phase before the fault begins with them."""
    load = _start_customers(plan, here)
    try:
        _phase(here, "before")
    except BaseException:
        load.kill()
        raise
    return load


def _start_customers(plan: Plan, here: Context) -> customers.Customers:
    extension = plan.experiment.extension
    longest = GROWTH * (extension.before + extension.after) + plan.hold_s()[1] + SETTLE_S
    return customers.start(
        here.run,
        plan.environment,
        plan.journeys,
        extension.load,
        seed=int(here.run.id[:8], 16),
        max_seconds=longest + 60,
    )


def _steady(plan: Plan, here: Context, load: customers.Customers, length_s: float) -> None:
    """Let the phase that began last pass; once, up to its bound, it grows.

    It does when success could not be decided.
    """
    phase = [one for one in here.run.records("events.jsonl") if one["event"] == "phase"][-1]
    name, began_ns = phase["name"], phase["mono_ns"]
    settled = _stay(load, length_s - (now_ns() - began_ns) / SECOND)
    mine = [one for one in settled if one.scheduled_ns >= began_ns]
    look = first_look(name, plan.objectives, mine)
    here.run.append("events.jsonl", look)
    if look["grows"]:
        _stay(load, length_s * (GROWTH - 1))


def _stay(load: customers.Customers, length_s: float) -> list[Sample]:
    """Let so many seconds pass; the requests that were settled by then."""
    tail, settled = customers.Tail(load.run), list[Sample]()
    for _ in ticks(length_s, every=0.5):
        if not load.alive():
            raise HoldfastError(
                "the customers' process", "it ended before its time", "Read samples/customers.log"
            )
        settled += tail.read()
    return settled


def _why_no_fault(journal: Any) -> str:
    """What Chaos Toolkit's journal says of a method that broke nothing."""
    steady = (journal.get("steady_states") or {}).get("before") or {}
    if not steady.get("steady_state_met"):
        return "no fault took effect: customers were not served well before it"
    failed = [one for one in journal.get("run", []) if one.get("status") == "failed"]
    reasons = [str(one["exception"][-1]).strip() for one in failed if one.get("exception")]
    return f"no fault took effect: {'; '.join(reasons) or journal.get('status', 'unknown')}"


def _chaos_toolkit(plan: Plan, here: Context, signals: Signals) -> Any:
    """Run hypothesis, method and rollbacks; answer with the journal."""
    from chaoslib.experiment import run_experiment
    from chaoslib.run import RunEventHandler

    class Phases(RunEventHandler):  # type: ignore[misc]  # chaoslib ships no types
        def started(self, *_: Any) -> None:
            signals.take_over()

        def start_rollbacks(self, *_: Any) -> None:
            signals.hold_off()

        def finish(self, journal: Any) -> None:
            here.run.write_json("journal.json", _serialisable(journal))

    logging.getLogger("chaostoolkit").addHandler(logging.NullHandler())
    logging.getLogger("chaostoolkit").propagate = False
    document = copy.deepcopy(dict(plan.experiment.document))
    document["configuration"] = {KEY: str(here.run.folder.resolve())}
    return run_experiment(
        document,
        settings={"runtime": {"rollbacks": {"strategy": "always"}}},
        event_handlers=[Phases()],
    )


def _heal(here: Context) -> list[str]:
    """Undo what is not yet undone; what remains, in words."""
    return [str(one) for one in heal.undo_all(here.run, here.environment)]


def finish(here: Context, load: customers.Customers, aborted: str, tell: Tell) -> None:
    """Stop sending, drain, and wait until no transfer is unknown and the last scrape was made.

    Ledger and bank side are read while that scrape is waited for.
    """
    if aborted:
        here.run.append("events.jsonl", {"event": "abort", "why": aborted})
    _phase(here, "drain")
    tell("drain: every transfer reaches a final state", 10)
    load.stop()
    if here.environment.ledger and not aborted:
        _wait_for_ledger(here)
    reading = begun(lambda: ledger.keep(here, _began_wall_s(here)))
    sleep(here.environment.periods.get("scrape", _SCRAPE_S) + 1)
    _phase(here, "end")
    here.run.append("events.jsonl", {"event": "anchor"})
    reading(None)


def _began_wall_s(here: Context) -> float:
    """When this run began, in Unix seconds."""
    return float(here.run.records("events.jsonl")[0]["wall_ns"]) / SECOND


def _wait_for_ledger(here: Context) -> None:
    """Wait, bounded, until no transfer of this run is without a final state."""
    since = _began_wall_s(here) - 1
    for _ in ticks(SETTLE_S, every=1.0):
        try:
            left = ledger.unfinished(here, since)
        except HoldfastError as error:
            here.run.append("events.jsonl", {"event": "not_collected", "why": str(error)})
            return
        if not left:
            return


def _phase(here: Context, name: str) -> None:
    here.run.append("events.jsonl", {"event": "phase", "name": name})


def _serialisable(journal: Any) -> Any:
    """The journal without what JSON cannot hold; an odd output must not lose the record."""
    import json

    return json.loads(json.dumps(journal, default=repr))


assert os.name == "posix", "holdfast needs process groups and file locks"
