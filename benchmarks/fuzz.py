"""Every reader of a file, fed with damaged ones; and how soon hostile files are refused.

Each input is one that ships, damaged: bytes changed, cut, doubled, mixed with others, or a value
replaced by a hostile one. Whatever comes out has to be an answer or an error of holdfast's own; an
input that takes ten seconds ends the program with a trace. The same seed makes the same inputs.
"""

import argparse
import faulthandler
import json
import random
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import hostile, machine
from holdfast import context, documents, experiment, heal
from holdfast.clock import SECOND, now_ns
from holdfast.context import packaged
from holdfast.documents import Environment, checked
from holdfast.errors import HoldfastError
from holdfast.experiment import foreign
from holdfast.inert import inert
from holdfast.store import Rows, Run
from tests.judge_stories import laid, told
from tests.test_documents import ENVIRONMENT

HANG_S = 10
GOAL_S, GOAL_INPUTS = 1.0, 100_000  # issue 4, item 7
TOKENS = [
    *("&a ", "*a", "!!python/object:os.system ", "!!binary ", "<<: ", "---\n", "%YAML 1.2\n"),
    *("\0", "\x1b[31m", "\u202e", "\ufeff", "\\ud800", "\r\n", "\t", "\x85", "\u2028", "é", "𝄞"),
    *("[", "{", "- ", "? ", "|", ">", "'", '"', "#", ": ", ",", "}", "]", "@", "`", "${x}", "${"),
    *("1e999", ".inf", ".nan", "-0", "0x1F", "0o17", "1:30:00", "2026-01-02", "~", "null", "yes"),
    *("9" * 400, "x" * 5000, "[" * 40, "{a: " * 40, "- " * 40, "http://[", "http://169.254.1.1"),
    *("1e999s", "-1s", "0s", "60", "9" * 400 + "s", "../../etc/passwd", "<script>", "a\nb: c\n"),
]
VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        1e308,
        10**30,
        "",
        "x",
        "60s",
        "60/s",
        [],
        {},
        [[]],
        [None],
        {"": ""},
    ),
    *({"a": {"b": [1]}}, ["x"] * 50, "é" * 100, "\ud7ff", "\x7f", "http://x:0", "http://a@b", "{}"),
]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # to make inputs soon; not what is tried
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

type Reader = Callable[[Path], object]


@dataclass
class Kind:
    """A file that is read: how, and its examples."""

    name: str
    read: Reader
    seeds: list[bytes]
    yaml: bool = True
    share: float = 1.0
    tally: Counter[str] = field(default_factory=Counter)
    worst_ns: int = 0


def kinds(folder: Path) -> list[Kind]:
    """Every file that people write, and every file of a run's folder."""
    environment = checked(Environment, ENVIRONMENT, "environment")
    names = ("slow-gateway", "dead-gateway", "kill-wallet-pods", "drop-zone")
    experiments = [packaged(f"{name}.yaml").read_bytes() for name in names]
    calendar = (
        b"zone: America/Sao_Paulo\nvalid_until: 2026-12-31\nfrozen:\n"
        b"  - {first: 2026-11-27, last: 2026-11-30, why: sale}\n"
    )
    rates = b"pod-killed: {seen: 12, years: 2.0, impacts: [5s, 500ms], share: 0.5}\n"
    written = [
        Kind("environment", documents.read_environment, [yaml.safe_dump(ENVIRONMENT).encode()]),
        Kind("experiment", lambda path: experiment.read(path, environment), experiments, share=2),
        Kind("journeys", documents.read_journeys, [packaged("journeys.yaml").read_bytes()]),
        Kind("objectives", documents.read_objectives, [packaged("objectives.yaml").read_bytes()]),
        Kind("calendar", documents.read_calendar, [calendar], share=0.5),
        Kind(
            "controls", documents.read_controls, [packaged("controls.yaml").read_bytes()], share=0.5
        ),
        Kind("rates", documents.read_rates, [rates], share=0.5),
    ]
    return [*written, *recorded(folder), _foreign(folder)]


def recorded(folder: Path) -> list[Kind]:
    """The files of a run's folder, each damaged by itself."""
    run = laid(told(), folder)
    _cut(run.path("samples/customers.csv"), 300)
    environment = checked(Environment, ENVIRONMENT, "environment").model_dump(mode="json")
    run.write_json("plan.json", run.read_json("plan.json") | {"environment": environment})
    heal_one = {"heal": "1", "state": "intent", "operation": "untaint", "arguments": {"node": "a"}}
    for _ in range(3):
        run.append("heals.jsonl", heal_one)

    def place(name: str, read: Callable[[Run], object]) -> Kind:
        path, whole = run.path(name), run.path(name).read_bytes()

        def damaged(given: Path) -> object:
            path.write_bytes(given.read_bytes())
            try:
                return read(Run.open(run.folder))
            finally:
                path.write_bytes(whole)

        return Kind(
            f"run: {name}",
            damaged,
            [whole[: whole.rfind(b"\n", 0, 20_000) + 1 or None]],
            yaml=False,
        )

    series = next(one.name for one in sorted(run.path("series").glob("*.json")))
    transfers = "series/transfers.jsonl"
    asked = {context.KEY: str(run.folder)}
    return [
        place("plan.json", lambda _: context.of(asked)),
        place("events.jsonl", lambda one: one.records("events.jsonl")),
        place("heals.jsonl", heal.pending),
        place("samples/customers.csv", lambda one: one.samples()),
        place("samples/load.json", lambda one: one.read_json("samples/load.json")),
        place(f"series/{series}", lambda one: one.read_json(f"series/{series}")),
        place(transfers, lambda one: [*Rows(one.path(transfers).read_bytes(), transfers)]),
    ]


def _cut(path: Path, lines: int) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))


def _foreign(folder: Path) -> Kind:
    """A module that the environment allows, read as text."""
    sys.path.insert(0, str(folder))

    def read(path: Path) -> object:
        (folder / "theirs_fuzzed.py").write_bytes(path.read_bytes())
        try:
            return foreign.read("theirs_fuzzed")
        except ValueError as error:  # which `experiment.read` makes an error of holdfast's
            raise HoldfastError("theirs_fuzzed", str(error), "Correct it") from None

    seed = b'__all__ = ["look"]\n\n\ndef look(a: int, b: str | None = None, *, c=1): ...\n'
    return Kind("a foreign module", read, [seed], yaml=False, share=0.5)


def damaged(chance: random.Random, kind: Kind, all_seeds: list[bytes]) -> bytes:
    """One input."""
    content = chance.choice(kind.seeds)
    if kind.yaml and chance.random() < 0.4:
        return yaml.dump(_replaced(chance, yaml.load(content, _LOADER)), Dumper=_DUMPER).encode()
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(content) + 1)
        to = min(len(content), at + chance.choice((1, 1, 4, 20, 200)))
        token = chance.choice(TOKENS).encode("utf-8", "surrogatepass")
        how = chance.randrange(6)
        if how == 0:
            content = content[:at] + token + content[at:]
        elif how == 1:
            content = content[:at] + content[to:]
        elif how == 2:
            content = content[:at] + content[at:to] * 2 + content[to:]
        elif how == 3:
            content = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        elif how == 4:
            other = chance.choice(all_seeds)
            start = chance.randrange(len(other))
            content = content[:at] + other[start : start + 100] + content[to:]
        else:
            content = content[:at] + token + content[to:]
    return content


def _replaced(chance: random.Random, document: Any) -> Any:
    """The document with one of its values, or keys, replaced."""
    places: list[tuple[Any, Any]] = []

    def walk(one: Any) -> None:
        for key in [*one] if isinstance(one, dict) else range(len(one)):
            places.append((one, key))
            if isinstance(one[key], dict | list):
                walk(one[key])

    walk(document)
    where, key = chance.choice(places)
    if isinstance(where, dict) and chance.random() < 0.3:
        where[chance.choice(("", "a", "~", "1", *map(str, where)))] = where.pop(key)
    else:
        where[key] = chance.choice((*VALUES, *TOKENS))
    return document


def fuzz(count: int, seed: int, folder: Path, seconds: float = inf) -> tuple[list[Kind], list[str]]:
    """So many inputs over all kinds, or as many as fit into the time; the tallies, the defects."""
    chance, defects, started = random.Random(seed), [], now_ns()
    chosen = kinds(folder)
    all_seeds = [one for kind in chosen for one in kind.seeds]
    path = folder / "input.yaml"
    for number in range(count):
        if now_ns() - started > seconds * SECOND:
            break
        (kind,) = chance.choices(chosen, [one.share for one in chosen])
        content = damaged(chance, kind, all_seeds)
        path.write_bytes(content)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        began = now_ns()
        try:
            kind.read(path)
            kind.tally["accepted"] += 1
        except HoldfastError as error:
            kind.tally["refused"] += 1
            if inert(str(error)) != str(error):
                defects.append(f"{kind.name}, input {number}: an error that acts: {error!r}")
        except Exception as error:  # noqa: BLE001  # each is a defect, which is counted and told
            kind.tally["defects"] += 1
            defects.append(f"{kind.name}, input {number}: {error!r:.300}: {content[:80]!r}")
        kind.worst_ns = max(kind.worst_ns, now_ns() - began)
        if sys.stderr.isatty() and number % 1000 == 0:
            print(f"\r{number:7} of {count}", end="", file=sys.stderr)
    faulthandler.cancel_dump_traceback_later()
    return chosen, defects


def main() -> int:
    """Print the tables; exit 1 when anything was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=GOAL_INPUTS, help="how many inputs")
    parser.add_argument("--seed", type=int, default=1, help="which inputs")
    parser.add_argument("--seconds", type=float, default=inf, help="stop after so long")
    given = parser.parse_args()
    print(machine.line())
    with tempfile.TemporaryDirectory() as place:
        good = hostile.show(Path(place))
        began = now_ns()
        found, defects = fuzz(given.count, given.seed, Path(place), given.seconds)
        seconds = (now_ns() - began) / SECOND
    table = [
        [
            one.name,
            str(one.tally.total()),
            *(str(one.tally[word]) for word in _WORDS),
            f"{one.worst_ns / 1e6:.1f}",
        ]
        for one in found
    ]
    print(machine.table(["reader", "inputs", *_WORDS, "worst ms"], table))
    worst = max(one.worst_ns for one in found) / SECOND
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{sum(one.tally.total() for one in found)} inputs, seed {given.seed}, {seconds:.0f} s,"
        f" {len(defects)} defects, no hang of {HANG_S} s;"
        f" slowest {worst:.3f} s ({machine.against(worst, GOAL_S)});"
        f" peak memory of the whole fuzzer {peak:.0f} MiB"
    )
    for one in defects[:20]:
        print(json.dumps(one))
    return 0 if good and not defects and worst <= GOAL_S else 1


_WORDS = ("accepted", "refused", "defects")

if __name__ == "__main__":
    sys.exit(main())
