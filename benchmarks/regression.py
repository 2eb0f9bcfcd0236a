"""How often an unchanged run is called slower, and a slide by half is found: about two minutes."""

import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.measure.regression import slide
from holdfast.model import Interval

TRIALS = 20_000
EARLIER = (5, 10, 20)
type Draw = Callable[[random.Random], float]
DRAWS: dict[str, Draw] = {
    "lognormal, sigma 0.3": lambda chance: chance.lognormvariate(2, 0.3),
    "uniform": lambda chance: chance.uniform(5, 10),
    "two kinds of run": lambda chance: chance.lognormvariate(
        2 if chance.random() < 0.8 else 3, 0.1
    ),
    "Pareto, shape 1": lambda chance: chance.paretovariate(1),
}


def share(draw: Draw, earlier: int, factor: float = 1.0, quantities: int = 1) -> float:
    """Of runs that take `factor` times as long, how many are called slower."""
    chance, slower = random.Random(1), 0
    for _ in range(TRIALS):
        before = [Interval(one, one) for one in (draw(chance) for _ in range(earlier))]
        now = factor * draw(chance)
        slower += bool(slide("x", Interval(now, now), before, quantities).slid)
    return slower / TRIALS


def row(name: str, values: list[float]) -> None:
    """One line of the table."""
    print(f"{name:42} " + " ".join(f"{100 * one:6.2f} %" for one in values), flush=True)


def main() -> None:
    """Print the table."""
    print(machine.line())
    print(f"{TRIALS} runs each; earlier runs:".ljust(42), *(f"{n:8}" for n in EARLIER))
    for name, draw in DRAWS.items():
        row(f"unchanged, {name}", [share(draw, n) for n in EARLIER])
    row(
        "unchanged, lognormal, one of 5 quantities",
        [share(DRAWS["lognormal, sigma 0.3"], n, quantities=5) for n in EARLIER],
    )
    steady: Draw = lambda chance: chance.lognormvariate(2, 0.1)  # noqa: E731  # as those above
    for factor in (1.2, 1.5, 2.0):
        row(f"slower by {factor:g}, sigma 0.1", [share(steady, n, factor) for n in EARLIER])


if __name__ == "__main__":
    main()
