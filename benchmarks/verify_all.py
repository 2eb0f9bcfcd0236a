"""Every planted defect against every experiment, at full length, on the lab: about 100 minutes.

Each pair is kept in `runs/verify-all.jsonl` as it ends, and is not run again while it is there:
delete the file to begin anew. Prints a dated table, and writes it to docs/verify-all.md once every
pair is kept. Ctrl-C lets the run that is under way heal, and makes the wallet healthy again. Two of
these side by side, each with a lab and defects of its own, take half as long where cores are free.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.clock import SECOND, now_ns, utc_now
from lab.defects import DEFECTS

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "runs" / "verify-all.jsonl"
EXPERIMENTS = ("kill-wallet-pods", "drop-zone", "slow-gateway", "dead-gateway")
HEALTHY = "none"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "tests" / "lab" / "defects.yaml").read_text()
)
LATE = "the load generator was late"
LIMIT_S = 1200
HEAL_S = 180


@dataclass(frozen=True)
class Cell:
    """How one experiment ended with one defect planted."""

    defect: str
    experiment: str
    exit_code: int
    verdicts: dict[str, str] = field(default_factory=dict)
    why: str = ""
    date: str = ""

    def text(self) -> str:
        """The cell of the table: what did not hold, or why it was refused."""
        if not self.verdicts:
            return f"{self.exit_code}: {self.why}"
        wrong: dict[str, list[str]] = {}
        for name, verdict in self.verdicts.items():
            if verdict != "held":
                wrong.setdefault(verdict, []).append(name)
        if not wrong:
            return f"{self.exit_code}: all held"
        if [*wrong.values()] == [[*self.verdicts]]:
            return f"{self.exit_code}: all {next(iter(wrong))}"
        parts = [f"{verdict} {', '.join(names)}" for verdict, names in sorted(wrong.items())]
        return f"{self.exit_code}: " + "; ".join(parts)

    def surprise(self) -> str:
        """Where it differs from what is stated for it; nothing is stated for most pairs."""
        if self.defect == HEALTHY:
            wanted, verdicts = 0, dict.fromkeys(self.verdicts, "held")
        elif (stated := EXPECTED[self.defect])["experiment"] == self.experiment:
            wanted, verdicts = stated["exit_code"], stated["verdicts"]
        else:
            return ""
        wrong = [name for name, one in verdicts.items() if self.verdicts.get(name) != one]
        if self.exit_code == wanted and not wrong:
            return ""
        stated_as = f"exit {wanted}" + (f", {', '.join(wrong)} otherwise" if wrong else "")
        return f"{self.defect}, {self.experiment}: {self.text()} (stated: {stated_as})"


@dataclass(frozen=True)
class Bench:
    """A lab, and the folder that holds its environment.yaml."""

    number: int
    folder: Path

    def lab(self, *words: str) -> str:
        """A command of the lab; without it nothing can be measured."""
        done = self._run([sys.executable, "-m", "lab", "--lab", str(self.number), *words])
        if done.returncode:
            sys.exit(f"lab {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def try_it(self, defect: str, experiment: str) -> Cell:
        """One run; once more when the load generator alone was the trouble."""
        cell = self._once(defect, experiment)
        if LATE in cell.why:
            print(f"  {LATE}: once more", flush=True)
            cell = self._once(defect, experiment)
        if cell.exit_code == 5:
            self.lab("down")
            self.lab("up")
        return cell

    def _once(self, defect: str, experiment: str) -> Cell:
        self.lab("defect", defect)
        program = str(Path(sys.executable).parent / "holdfast")
        path = str(ROOT / "experiments" / f"{experiment}.yaml")
        done = self._run([program, "run", path, "--json", "--runs", str(ROOT / "runs")])
        try:
            findings = json.loads(done.stdout)["findings"]
        except ValueError:
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            return Cell(defect, experiment, done.returncode, why=lines[-1].removeprefix("error: "))
        verdicts = {one["objective"]: one["verdict"] for one in findings}
        why = "; ".join(one["why"] for one in findings if one["verdict"] != "held")
        return Cell(defect, experiment, done.returncode, verdicts, why)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """In a group of its own: it hears of Ctrl-C once, from here, and is given time to heal."""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process:
            try:
                out, err = process.communicate(timeout=LIMIT_S)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=HEAL_S)
                raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextlib.contextmanager
def bench(number: int) -> Iterator[Bench]:
    """The lab, healthy again at the end, and down if it was down before."""
    with tempfile.TemporaryDirectory() as folder:
        made = Bench(number, Path(folder))
        was_up = "runs already" in made.lab("up")
        try:
            yield made
        finally:
            made.lab(*(("defect", HEALTHY) if was_up else ("down",)))


def tried(here: Bench, pairs: list[tuple[str, str]]) -> Iterator[Cell]:
    """Each pair in turn, with a line of progress."""
    began = now_ns()
    for number, (defect, experiment) in enumerate(pairs, 1):
        print(f"[{number}/{len(pairs)}] {defect}, {experiment}", flush=True)
        cell = replace(here.try_it(defect, experiment), date=f"{utc_now():%Y-%m-%d %H:%M} UTC")
        passed = (now_ns() - began) / SECOND / 60
        left = passed / number * (len(pairs) - number)
        print(f"  {cell.text()} ({passed:.0f} min passed, about {left:.0f} left)", flush=True)
        yield cell


def kept() -> dict[tuple[str, str], Cell]:
    """What was measured before, by defect and experiment; the last of each."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    cells = [Cell(**json.loads(line)) for line in lines]
    return {(one.defect, one.experiment): one for one in cells}


def keep(cell: Cell) -> None:
    """Add it to them."""
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a") as file:
        file.write(json.dumps(asdict(cell)) + "\n")


def table(cells: list[Cell]) -> str:
    """The document: exit codes and what did not hold, by defect and experiment."""
    dates = sorted(one.date for one in cells)
    columns = [name for name in EXPERIMENTS if any(one.experiment == name for one in cells)]
    found = {(one.defect, one.experiment): one.text().replace("|", "/") for one in cells}
    lines = [
        "# Every defect against every experiment",
        "",
        f"{dates[0]} to {dates[-1]}, by `python benchmarks/verify_all.py`, on {machine.line()}.",
        "",
        "Each cell is the exit code of `holdfast run` and what did not hold. Exit codes: 0 held,",
        "1 broken, 3 unknown, 6 refused before anything was touched.",
        "",
        f"| planted defect | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for defect in dict.fromkeys(one.defect for one in cells):
        row = [found.get((defect, name), "") for name in columns]
        lines.append(f"| {defect} | {' | '.join(row)} |")
    surprises = [said for one in cells if (said := one.surprise())]
    lines += ["", "Other than `tests/lab/defects.yaml` states:" if surprises else "As stated."]
    lines += [f"- {one}" for one in surprises]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the matrix and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/verify_all.py --defect none --defect bypass",
    )
    parser.add_argument("--lab", type=int, default=1, help="number of the lab (default: 1)")
    parser.add_argument("--defect", action="append", choices=[HEALTHY, *DEFECTS], help="only these")
    parser.add_argument("--experiment", action="append", choices=EXPERIMENTS, help="only these")
    options = parser.parse_args()
    defects = options.defect or [HEALTHY, *DEFECTS]
    experiments = options.experiment or [*EXPERIMENTS]
    pairs = [(defect, experiment) for defect in defects for experiment in experiments]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    left = [one for one in pairs if one not in kept()]
    print(f"{len(pairs) - len(left)} of {len(pairs)} pairs are in {KEPT}")
    try:
        with bench(options.lab) if left else contextlib.nullcontext() as here:
            for cell in tried(here, left) if here else ():
                keep(cell)
    except subprocess.TimeoutExpired as error:
        sys.exit(f"cannot be measured: {error}")
    except KeyboardInterrupt:
        print("stopped; what had ended is kept")
        sys.exit(130)
    every = [(defect, experiment) for defect in (HEALTHY, *DEFECTS) for experiment in EXPERIMENTS]
    found = kept()
    document = table([found[one] for one in every if one in found])
    print(document)
    if all(one in found for one in every):
        (ROOT / "docs" / "verify-all.md").write_text(document)


if __name__ == "__main__":
    main()
