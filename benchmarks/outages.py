"""How right holdfast is about outages whose truth is known, and how right the usual ways are.

Real time: services that fail as they are told, each with customers of its own at 100 requests a
second; first one outage of 5 to 10 s each, watched by a real Prometheus, by a serial poller as Krkn
does it, and by Chaos Toolkit's continuous hypothesis; then many of 0.6 to 2 s. Simulated time: the
same kinds at 0.5 to 60 s. `--write` puts the tables into docs/measurement.md. It takes 8 minutes.
"""

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine, outage_tables, outage_usual
from benchmarks.outage_tables import Told
from benchmarks.outage_trials import (
    CALM_S,
    JOURNEY,
    KINDS,
    LIMIT_S,
    RATE,
    STABLE_S,
    WITHIN_S,
    Trial,
    simulated,
)
from benchmarks.outage_usual import Watched
from holdfast import customers
from holdfast.clock import SECOND, now_ns, sleep
from holdfast.documents import Environment, JourneyFile, checked
from holdfast.model import Window
from holdfast.store import LOAD_REPORT, Run

SERVER = Path(__file__).with_name("outage_server.py")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "measurement.md"
LONG_AT_S, LONG_S, LONG_REST_S = 12.0, (5.0, 10.0), 66.0
SHORT_S = (0.6, 2.0)
REST_S = LIMIT_S + STABLE_S + 0.4  # after a short one, until it is judged
TURNS = (  # each estimator's share of the short ones
    *("errors", "hang", "partial", "dead", "hang", "partial", "flapping"),
    *("errors", "hang", "partial", "dead", "hang", "partial", "slow start"),
)
CALM_NS = round(CALM_S * SECOND)
SERVICES, SECONDS, TRIALS = 12, 320.0, 200


def host(number: int) -> tuple[str, int]:
    """Where a service is."""
    return f"127.11.1.{number + 1}", 18080


def schedule(services: int, seconds: float) -> list[dict[str, Any]]:
    """What each service is told to do: one long outage, then short ones for so many seconds."""
    chance = random.Random(20)
    found = []
    for number in range(services):
        at = LONG_AT_S + chance.random()
        outages = [_outage(KINDS[number % len(KINDS)], at, chance.uniform(*LONG_S), True)]
        at = LONG_AT_S + LONG_S[1] + LONG_REST_S + chance.random()
        stop, turn = at + seconds, number
        while at < stop:
            lasts = chance.uniform(*SHORT_S)
            outages.append(_outage(TURNS[turn % len(TURNS)], at, lasts, False))
            at += lasts + REST_S + CALM_S + chance.random() / 10
            turn += 1
        name, port = host(number)
        found.append({"host": name, "port": port, "outages": outages})
    return found


def _outage(kind: str, at: float, lasts: float, long: bool) -> dict[str, Any]:
    return {"kind": kind, "at": at, "lasts": lasts, "long": long}


@contextlib.contextmanager
def serving(services: list[dict[str, Any]], stay_s: float) -> Iterator[subprocess.Popen[str]]:
    """The services, in a process of their own."""
    plan = {"services": services, "start_ns": now_ns() + 6 * SECOND, "stay_s": stay_s}
    command = [sys.executable, str(SERVER)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]  # pipes
        try:
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            yield process
        finally:
            process.kill()


def send(root: Path, number: int, max_seconds: float) -> tuple[Run, customers.Customers]:
    """The customers of one service."""
    name, port = host(number)
    environment = {
        "name": "benchmark",
        "kubernetes": {"kubeconfig": "none", "cluster_uid": "none"},
        "prometheus": {"url": f"http://{outage_usual.PROMETHEUS}"},
        "toxiproxy": [],
        "customers": {"url": f"http://{name}:{port}", "values": {}},
        "workload": {"namespace": "none", "selector": "none=none"},
        "policy": {"namespaces": []},
    }
    journey = {
        "request": {"method": "GET", "path": "/"},
        "good": {"status": [200]},
        "within": f"{WITHIN_S}s",
        "limit": f"{LIMIT_S}s",
    }
    run = Run.create(root, f"service-{number}")
    started = customers.start(
        run,
        checked(Environment, environment, "benchmark"),
        {JOURNEY.name: checked(JourneyFile, journey, "benchmark")},
        {JOURNEY.name: RATE},
        seed=number,
        max_seconds=max_seconds,
    )
    return run, started


def real(services: int, seconds: float) -> list[Told]:
    """Every outage in real time, and what the usual ways said of it."""
    planned = schedule(services, seconds)
    took_s = 6 + max(one["outages"][-1]["at"] for one in planned) + SHORT_S[1] + REST_S
    addresses = ["{}:{}".format(*host(number)) for number in range(services)]
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process = stack.enter_context(serving(planned, took_s + 60))
        stack.enter_context(outage_usual.prometheus(addresses))
        sending = [send(root, number, took_s + 60) for number in range(services)]
        with outage_usual.watching(addresses) as watched:
            truths = list(_truths(process, took_s))
            sleep(REST_S)
        stopped = [one.stop() for _, one in sending]
        if not all(stopped):
            sys.exit("the customers of a service failed")
        return [
            told
            for number, (run, _) in enumerate(sending)
            for told in _told(run, [one for one in truths if one["service"] == number], watched)
        ]


def _truths(process: subprocess.Popen[str], took_s: float) -> Iterator[dict[str, Any]]:
    """What truly happened, as it happens."""
    assert process.stdout
    began_ns = now_ns()
    for line in process.stdout:
        if line == "done\n":
            print(file=sys.stderr)
            return
        passed = (now_ns() - began_ns) / SECOND
        print(f"\rreal outages: {passed:.0f} of about {took_s:.0f} s", end="", file=sys.stderr)
        yield json.loads(line)
    sys.exit("the services ended early")


def _told(run: Run, truths: Sequence[dict[str, Any]], watched: Watched) -> Iterator[Told]:
    """The outages of one service."""
    track, account = run.samples().of_journey(JOURNEY.name), run.read_json(LOAD_REPORT)
    late_ns = [at for at, _ in account["late_over_50ms"]]
    for one in truths:
        began_ns, ended_ns = one["began_ns"], one["ended_ns"]
        rest_s = LONG_REST_S if one["long"] else REST_S
        first_ns, until_ns = began_ns - 2 * CALM_NS, ended_ns + round((rest_s - 0.3) * SECOND)
        late = any(first_ns <= at <= ended_ns + 2 * CALM_NS for at in late_ns)
        mine = [track.at(number) for number in track.due(Window(first_ns, until_ns))]
        trial = Trial(one["kind"], began_ns, ended_ns, until_ns, mine)
        said = watched.said(trial, one["service"], long=one["long"])
        yield Told(trial, one["long"], late, said)


def made_up(number: int) -> list[Told]:
    """The same kinds in simulated time, so many of each."""
    found = []
    for kind in KINDS:
        print(f"\rsimulated outages: {kind}          ", end="", file=sys.stderr)
        found += [Told(simulated(kind, one), False, False, {}) for one in range(number)]
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
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials, in 2.5 min")
    options = parser.parse_args()
    services, seconds, number = (6, 40.0, 20) if options.quick else (SERVICES, SECONDS, TRIALS)
    before = machine.line()
    told = real(services, seconds)
    text = outage_tables.text(told, made_up(number), before)
    print(text)
    if options.write:
        outage_tables.write(PAGE, text)
    if "MISSED" in text:
        sys.exit(1)


if __name__ == "__main__":
    main()
