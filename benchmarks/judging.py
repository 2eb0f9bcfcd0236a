"""How long it takes to read and judge a run of ten minutes, and how much memory.

The run is synthetic: a healthy wallet whose primary gateway turned slow. Its folder is written as a
real one is; a process of its own reads it and judges it. At 2,000 requests a second a twentieth are
transfers, whose ledger is compared too; what a transfer more costs is told by `ledger.py`. The
goal is one of CPU, which on a free core is the time it takes; that is printed beside it. Collecting
is not in it: it waits for the systems that it asks.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.clock import SECOND, now_ns
from holdfast.judge import judge
from holdfast.load.record import cpu_seconds
from holdfast.model import Json, Record, Sample
from holdfast.store import LOAD_REPORT, SAMPLES, Run

HOLD_S = 65.0
GOAL_S, GOAL_MIB = 10.0, 300.0  # issue 5, for 2,000 requests a second


def write(record: Record, root: Path) -> Run:
    """The record as a run's folder holds it."""
    run = Run.create(root, "synthetic")
    run.write_json("plan.json", record.plan)
    chained: dict[str, Sequence[Json]] = {
        "events.jsonl": record.events,
        "samples/pods.jsonl": record.pods,
        "samples/readbacks.jsonl": record.readbacks,
    }
    for name, rows in chained.items():
        for row in rows:
            run.append(name, dict(row))
    with run.path(SAMPLES).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Sample.__dataclass_fields__)
        settled = sorted(record.samples, key=lambda one: one.done_ns)  # as customers write them
        writer.writerows(astuple(one) for one in settled)
    run.write_json(LOAD_REPORT, record.load)
    for name, answer in record.series.items():
        run.write_json(f"series/{name}.json", answer)
    for name, those in (("transfers", record.transfers), ("settlements", record.settlements)):
        text = "".join(json.dumps(row) + "\n" for row in those or ())
        run.path(f"series/{name}.jsonl").write_text(text)
    return run


def child(folder: Path) -> None:
    """Read and judge; print what it took as JSON."""
    start = peak()
    began, instants = now_ns(), [cpu_seconds()]
    record = Run.open(folder).record()
    instants.append(cpu_seconds())
    judgement = judge(record)
    instants.append(cpu_seconds())
    found = {
        "requests": len(record.samples),
        "read_s": instants[1] - instants[0],
        "judge_s": instants[2] - instants[1],
        "wall_s": (now_ns() - began) / SECOND,
        "start_mib": start,
        "peak_mib": peak(),
        "verdicts": {one.objective: str(one.verdict) for one in judgement.findings},
    }
    print(json.dumps(found))


def peak() -> float:
    """The most memory this program ever had, in MiB; ru_maxrss would include its parent's."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def measure(minutes: float, rate: float) -> dict[str, Any]:
    """Write the run, and judge it in a process of its own."""
    from tests.judge_stories import OBJECTIVES, Story, told

    rest = (minutes * 60 - HOLD_S) / 2
    transfers = max(50.0, rate / 20)
    story = Story(
        before=rest,
        hold=HOLD_S,
        after=rest,
        sent=("pix", "balance"),
        rate=transfers,
        queries=rate / transfers - 1,
        objectives=tuple(name for name in OBJECTIVES if name != "restart"),
    )
    with tempfile.TemporaryDirectory() as folder:
        run = write(told(story), Path(folder))
        command = [sys.executable, __file__, "--child", str(run.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"it could not be judged:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(rate: float, found: dict[str, Any]) -> list[str]:
    """One run as a row of the table."""
    seconds, mib = found["read_s"] + found["judge_s"], found["peak_mib"]
    met = machine.against(max(seconds / GOAL_S, mib / GOAL_MIB), 1) if rate == 2000 else "none"
    parts = [found["read_s"], found["judge_s"], seconds, found["wall_s"]]
    return [
        f"{rate:g}/s",
        f"{found['requests']}",
        *(f"{part:.2f} s" for part in parts),
        f"{found['start_mib']:.0f} MiB",
        f"{mib:.0f} MiB",
        met,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/judging.py --rates 100 2000",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of the run (default: 10)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[100, 2000], help="requests a second"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    rows = []
    for rate in options.rates:
        found = measure(options.minutes, rate)
        rows.append(row(rate, found))
        said = ", ".join(f"{name} {one}" for name, one in found["verdicts"].items())
        print(f"{rate:g}/s: {said}", flush=True)
    cpu = ("read: CPU", "judge: CPU", "both", "wall")
    head = ["rate", "requests", *cpu, "memory before", "peak", "goal"]
    print(machine.table(head, rows))
    print(f"a run of {options.minutes:g} min; goal at 2000/s: {GOAL_S:g} s, {GOAL_MIB:g} MiB")
    print(machine.line())


if __name__ == "__main__":
    main()
