"""How right holdfast is about outages whose truth is known, and how right the usual ways are.

Real time: services that fail as they are told, each with customers of its own at 100 requests a
second; first one outage of 5 to 10 s each, watched by a real Prometheus, by a serial poller as Krkn
does it, and by Chaos Toolkit's continuous hypothesis; then many of 0.6 to 2 s. There are as many
services as need a third of the cores, which is measured first, and a watcher on each core notices
when the machine stands still. Simulated time: the same kinds at 0.5 to 60 s. `--write` puts the
tables into docs/measurement.md.

It takes 12 to 18 minutes on a quiet machine. Two cores are enough for 200 outages of each kind in
real time; a smaller machine takes as long and tries fewer, and the tables say how many.
"""

import argparse
import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine, outage_tables
from benchmarks.outage_server import SOCKETS
from benchmarks.outage_tables import Machine, Told
from benchmarks.outage_trials import (
    CALM_S,
    FLAP_S,
    KINDS,
    LIMIT_S,
    STABLE_S,
    Trial,
    simulated,
)
from benchmarks.outage_world import Plan, World, cores_per_service, world
from holdfast.clock import SECOND, now_ns, sleep
from holdfast.judge.finding import too_late
from holdfast.measure.outages import percentile_999
from holdfast.model import Sample, Window
from holdfast.samples import Track

PAGE = Path(__file__).resolve().parent.parent / "docs" / "measurement.md"
BEFORE_S = 30.0  # of calm, at first
LONG_S, LONG_REST_S = (5.0, 10.0), 66.0
SHORT_S = (0.6, 2.0)
REST_S = LIMIT_S + STABLE_S + 0.4  # after a short one, until it is judged
APART_S = sum(SHORT_S) / 2 + REST_S + CALM_S + 0.05  # from a short one to the next, on average
CALM_NS = round(CALM_S * SECOND)
SHARE = 1 / 3  # of the cores, for all of it
MOST_SERVICES, MOST_SECONDS, TRIALS = 24, 850.0, 200


def schedule(services: int, seconds: float) -> Plan:
    """What each service is told to do: one long outage, then short ones for so many seconds."""
    chance = random.Random(20)
    found = []
    for number in range(services):
        at = BEFORE_S + chance.random()
        outages = [_outage(KINDS[number % len(KINDS)], at, chance.uniform(*LONG_S), True)]
        at = BEFORE_S + 1 + LONG_S[1] + FLAP_S + LONG_REST_S + chance.random()
        stop, turn = at + seconds, number
        while at < stop:
            lasts = chance.uniform(*SHORT_S)
            outages.append(_outage(KINDS[turn % len(KINDS)], at, lasts, False))
            at += lasts + REST_S + CALM_S + chance.random() / 10
            turn += 1
        found.append({"host": f"127.11.1.{number + 1}", "port": 18080, "outages": outages})
    return found


def _outage(kind: str, at: float, lasts: float, long: bool) -> dict[str, Any]:
    return {"kind": kind, "at": at, "lasts": lasts, "long": long}


def size(trials: int) -> tuple[int, float]:
    """How many services this machine can have, and the seconds that so many short outages take."""
    calm = [{**one, "outages": []} for one in schedule(len(KINDS), 0)]
    cost, cores = cores_per_service(calm), len(os.sched_getaffinity(0))
    sockets = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = MOST_SERVICES
    if sockets != resource.RLIM_INFINITY:
        most = min(most, sockets // SOCKETS - 1)
    services = max(1, min(most, int(SHARE * cores / cost)))
    seconds = min(MOST_SECONDS, APART_S * trials * len(KINDS) / services)
    print(
        f"a service needs {cost:.3f} of a core, and there are {cores}: {services} services,"
        f" {seconds:.0f} s of short outages",
        file=sys.stderr,
    )
    return services, seconds


def real(services: int, seconds: float) -> tuple[list[Told], Machine]:
    """Every outage in real time, with what the usual ways said of it, and how the machine did."""
    before = machine.line()
    plan = schedule(services, seconds)
    took_s = 2 + max(one["outages"][-1]["at"] for one in plan) + SHORT_S[1] + REST_S
    with world(plan, took_s) as it:
        before_s, at_ns = it.cpu_s(), now_ns()
        truths = list(it.truths(took_s))
        sleep(REST_S)
        cores = (it.cpu_s() - before_s) * SECOND / (now_ns() - at_ns)
        stalls = it.stalls.seen()
        told = [one for number in range(services) for one in _told(it, number, truths, stalls)]
    calm = [one for each in told for one in each.trial.calm]
    usual_ns = percentile_999([one.done_ns - one.sent_ns for one in calm])
    return told, Machine(before, services, cores, usual_ns / SECOND)


def _told(
    it: World, number: int, truths: list[dict[str, Any]], stalls: list[Window]
) -> Iterator[Told]:
    """The outages of one service."""
    track, account = it.sending[number].stop()
    calm = _due(track, it.zero_ns, it.zero_ns + round((BEFORE_S - 1) * SECOND))
    for one in truths:
        if one["service"] != number:
            continue
        began_ns, ended_ns = one["began_ns"], one["ended_ns"]
        rest_s = LONG_REST_S if one["long"] else REST_S
        until_ns = ended_ns + round((rest_s - 0.3) * SECOND)
        mine = _due(track, began_ns - 2 * CALM_NS, until_ns)
        trial = Trial(one["kind"], began_ns, ended_ns, until_ns, mine, calm)
        said = it.watched.said(trial, number, long=one["long"])
        late = bool(too_late(account, trial.edges))
        yield Told(trial, one["long"], late, trial.stood_still(stalls), said)


def _due(track: Track, since_ns: int, until_ns: int) -> list[Sample]:
    return [track.at(number) for number in track.due(Window(since_ns, until_ns))]


def made_up(number: int) -> list[Told]:
    """The same kinds in simulated time, so many of each."""
    found = []
    for kind in KINDS:
        print(f"\rsimulated time: {kind}          ", end="", file=sys.stderr, flush=True)
        found += [Told(simulated(kind, one), False, False, False, {}) for one in range(number)]
    print(file=sys.stderr)
    return found


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/outages.py --write",
    )
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials, in 3 min")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        trials = TRIALS // 10 if options.quick else TRIALS
        told, about = real(*size(trials))
        text = outage_tables.text(told, made_up(trials), about)
    except KeyboardInterrupt:
        print("\nstopped: nothing was written, nothing is left running", file=sys.stderr)
        sys.exit(130)
    print(text)
    if options.write:
        outage_tables.write(PAGE, text)
    if "MISSED" in text:
        sys.exit(1)


if __name__ == "__main__":
    main()
