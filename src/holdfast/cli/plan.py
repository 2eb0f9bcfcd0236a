"""`holdfast plan`."""

import json
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from holdfast import plan
from holdfast.arrivals import words
from holdfast.cli import options
from holdfast.guard import Consent
from holdfast.inert import inert


@click.command(
    epilog="\b\nExample:\n  holdfast plan experiments/kill-wallet-pods.yaml -e environment.yaml"
)
@options.experiment
@options.environment
@options.runs
@options.consent
@options.as_json
def command(
    experiment: Path, environment_path: Path, runs: Path, consent: Consent, as_json: bool
) -> None:
    """Show what EXPERIMENT would break, and what is refused and why. Touches nothing.

    Every file is checked, every system is asked whether it is there, targets are resolved to names,
    and every guard is asked. Exit code 0: the run may start; 2: a file is wrong; 6: refused, or a
    system is missing.
    """
    made = plan.survey(experiment, environment_path, consent, runs=runs)
    if as_json:
        click.echo(json.dumps(made.record(), indent=1))
    else:
        _show(made)
    for refusal in made.refusals():
        raise refusal


def _show(made: plan.Plan) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    console.print(Text(inert(made.experiment.title), style="bold"))
    console.print(inert(f"on {made.environment.name}: " + ", ".join(_systems(made))))
    table = Table("target", "where", "what", title="Blast radius", title_justify="left")
    for target in made.targets:
        kind = next(name for name in ("pod", "node", "proxy") if name in target)
        where = "zone" if "zone" in target else "toxiproxy"
        rest = {k: v for k, v in target.items() if k not in (kind, where)}
        cells = f"{kind} {target[kind]}", str(target[where]), _pairs(rest)
        table.add_row(*map(Text, cells))
    console.print(table)
    for activity in made.experiment.faults():
        console.print(f"fault: {activity.calls[1]} {_pairs(activity.provider.arguments)}")
    low, high = made.hold_s()
    minutes = ceil(made.expected_s() / 60)
    console.print(f"held for {low:g} to {high:g} s; the whole run takes {minutes} min or more")
    rates = ", ".join(f"{k} {words(v)}" for k, v in made.experiment.extension.loads().items())
    console.print(f"customers: {rates}")
    console.print(f"judged: {', '.join(made.objectives)}")
    console.print(_burn(made))
    console.print(_guards(made))
    if made.prediction:
        for line in _prediction(made.prediction):
            console.print(line)
    refused = len(made.refusals())
    end = f"Refused by {refused} of its guards." if refused else "Start it with `holdfast run`."
    console.print(f"Nothing was touched. {end}")


def _guards(made: plan.Plan) -> Table:
    """Every guard that was asked, and its answer."""
    table = Table("guard", "answer", "", title="Guards", title_justify="left")
    for one in made.guards:
        answer = "REFUSED" if one.refusal else "passed"
        table.add_row(*map(Text, (one.guard, answer, one.words)))
    return table


def _prediction(prediction: Mapping[str, Any]) -> Iterator[str]:
    """Can the other zones carry the load?"""
    why = "; ".join(prediction["why"])
    yield f"can the others carry the load: {prediction['carries']}" + (f" ({why})" if why else "")
    for one in prediction["workloads"]:
        places = ", ".join(f"{many} in {zone}" for zone, many in one["placed"].items())
        yield (
            f"  {one['workload']}: {one['goes']} of {one['ready']} ready go,"
            f" predicted to come back: {places or 'none'}"
        )


def _burn(made: plan.Plan) -> str:
    """What the run may cost of the yearly budget: the stricter of the two, and the other."""
    from holdfast.measure.budget import BY_HOURS_S, BY_SHARE_S

    at_worst = made.burn()
    kept, held = at_worst.promised_s, at_worst.held_s
    return (
        f"may cost: {kept:g} s of bad requests ({at_worst.requests} requests) when the promises"
        f" are kept, {kept / BY_HOURS_S:.2%} of the 4 h a year ({kept / BY_SHARE_S:.2%} of"
        f" 99.95 %); {held:g} s, {held / BY_HOURS_S:.2%}, when customers do not recover before"
        " the undo"
    )


def _systems(made: plan.Plan) -> list[str]:
    return [f"{name} {version}" for name, version in made.systems.items()]


def _pairs(mapping: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in mapping.items())
