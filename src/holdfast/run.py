"""Plan → journal, through Chaos Toolkit: customers, steady state, fault, hold, undo, and after.

Chaos Toolkit runs in the main thread with the rollback strategy `always`. Our own heal follows it
in every case, with signals held off: a first SIGINT or SIGTERM ends the run and heals, later ones
change nothing.
"""

import copy
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

from holdfast import customers, heal
from holdfast.clock import SECOND, Anchor, now_ns, sleep, ticks
from holdfast.context import KEY, Context
from holdfast.errors import HoldfastError
from holdfast.measure import below
from holdfast.plan import GROWTH, Plan
from holdfast.probes import landed, ledger, restart
from holdfast.store import Run
from holdfast.verdict import Verdict

type Tell = Callable[[str, float], None]

SETTLE_S = 30.0  # how long unknown transfers may take to reach a final state
_LOOK_PODS_S = 1.0
_LOOK_FAULT_S = 5.0
_SCRAPE_S = 15.0  # where the environment's `periods:` do not name `scrape`


class Signals:
    """The first SIGINT or SIGTERM interrupts, once; the others are only remembered."""

    def __init__(self) -> None:
        self._armed = True
        self._before: dict[int, Any] = {}
        self.caught = ""

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_over(self) -> None:
        """Chaos Toolkit has set its own handlers: replace them for as long as it runs."""
        for number in self._before:
            signal.signal(number, self._handle)

    def hold_off(self) -> None:
        """From here on nothing interrupts: healing has begun."""
        self._armed = False

    def rearm(self) -> None:
        """Healing is over: the next signal interrupts again; one that came meanwhile does now."""
        if self.caught:
            raise KeyboardInterrupt(self.caught)
        self._armed = True

    def _handle(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.caught = self.caught or name
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt(name)


class Watch(threading.Thread):
    """Looks at the pods every second and at the fault every five, and writes down what it sees."""

    def __init__(self, here: Context) -> None:
        super().__init__(name="watch", daemon=True)
        self._here = here
        self._end = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        next_fault = now_ns()
        while not self._end.wait(_LOOK_PODS_S):
            self._pods()
            if now_ns() >= next_fault and self._here.faults() and not self._undone():
                landed.look(self._here)
                next_fault = now_ns() + round(_LOOK_FAULT_S * SECOND)

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self.join(timeout=15)

    def _undone(self) -> bool:
        events = self._here.run.records("events.jsonl")
        return any(one["event"] == "undo_began" for one in events)

    def _pods(self) -> None:
        began = now_ns()
        try:
            seen: dict[str, Any] = {"pods": restart.look(self._here)}
        except HoldfastError as error:
            seen = {"error": str(error)}
        self._here.run.append("samples/pods.jsonl", {"looked_ns": began, **seen})


def run(plan: Plan, root: Path, tell: Tell) -> Context:
    """Make the run's folder, and run the plan. `tell` hears each phase and its expected seconds.

    How it ended is in the run's events: an abort, an undo that failed, or neither.
    """
    folder = Run.create(root, plan.experiment.name)
    folder.write_json("plan.json", plan.record())
    folder.append("events.jsonl", {"event": "anchor"})
    here = Context(folder, plan.environment)
    aborted = ""
    with Signals() as signals:
        load = _start_customers(plan, here)
        watch = Watch(here)
        watch.start()
        try:
            _phases(plan, here, load, signals, tell)
        except KeyboardInterrupt:
            aborted = f"{signals.caught or 'SIGINT'} was received"
        except HoldfastError as error:
            aborted = str(error)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not leave a fault behind
            aborted = f"a defect in holdfast: {error!r}"
        finally:
            signals.hold_off()
            _heal(here)
            watch.stop()
            _finish(here, load, aborted, tell)
    return here


def _phases(
    plan: Plan, here: Context, load: customers.Customers, signals: Signals, tell: Tell
) -> None:
    extension = plan.experiment.extension
    _phase(here, "before")
    tell("before: steady state", extension.before)
    _watch_customers(plan, here, load, extension.before)
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
    _phase(here, "after")
    tell("after: steady state", extension.after)
    _watch_customers(plan, here, load, extension.after)


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


def _watch_customers(plan: Plan, here: Context, load: customers.Customers, length_s: float) -> None:
    """Let a phase pass; once, up to its bound, it grows when success could not be decided.

    To look more often, and to stop when the answer pleases, would pass falsely more often.
    """
    began = now_ns()
    _stay(load, length_s)
    if not _decided(plan, here, began):
        _stay(load, length_s * (GROWTH - 1))


def _stay(load: customers.Customers, length_s: float) -> None:
    for _ in ticks(length_s, every=0.5):
        if not load.alive():
            raise HoldfastError(
                "the customers' process", "it ended before its time", "Read samples/customers.log"
            )


def _decided(plan: Plan, here: Context, since_ns: int) -> bool:
    sent = [one for one in customers.recent(here.run, since_ns) if one.scheduled_ns >= since_ns]
    for objective in plan.objectives.values():
        mine = [one for one in sent if one.journey == objective.journey]
        failed = sum(one.outcome != "ok" for one in mine)
        verdict = below(failed, len(mine), objective.limit)
        if objective.kind == "success" and verdict is Verdict.UNKNOWN:
            return False
    return True


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


def _finish(here: Context, load: customers.Customers, aborted: str, tell: Tell) -> None:
    """Stop sending, drain, and wait until no transfer is unknown and the last scrape was made."""
    if aborted:
        here.run.append("events.jsonl", {"event": "abort", "why": aborted})
    _phase(here, "drain")
    tell("drain: every transfer reaches a final state", 10)
    load.stop()
    if here.environment.ledger and not aborted:
        _wait_for_ledger(here)
    sleep(here.environment.periods.get("scrape", _SCRAPE_S) + 1)
    _phase(here, "end")
    here.run.append("events.jsonl", {"event": "anchor"})


def _wait_for_ledger(here: Context) -> None:
    """Wait, bounded, until no transfer of this run is without a final state."""
    first = Anchor(*(here.run.records("events.jsonl")[0][key] for key in ("mono_ns", "wall_ns")))
    for _ in ticks(SETTLE_S, every=1.0):
        try:
            left = ledger.unfinished(here, first.wall_ns / SECOND - 1)
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
