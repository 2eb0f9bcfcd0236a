"""`holdfast residue`."""

import json
from datetime import timedelta
from pathlib import Path

import click

from holdfast import residue
from holdfast.cli import options
from holdfast.clock import utc_now
from holdfast.documents import read_environment
from holdfast.heal import open_systems
from holdfast.inert import inert


@click.command(epilog="\b\nExample:\n  holdfast residue -e environment.yaml")
@options.environment
@options.as_json
def command(environment_path: Path, as_json: bool) -> None:
    """List what any run or tool left behind, whose it is, and what takes it away. Touches nothing.

    Looks for toxics and disabled proxies, for cordoned and tainted nodes, and in the namespaces of
    the policy for policies that deny all, workloads scaled to zero, and objects of Chaos Mesh and
    Litmus. Exit code 0: everything was asked and nothing is there; 6: anything else.
    """
    environment = read_environment(environment_path)
    systems = open_systems(environment)
    namespaces = {environment.workload.namespace, *environment.policy.namespaces}
    found = residue.find(systems.cluster, systems.toxiproxies, namespaces, systems.tokens)
    if as_json:
        now = utc_now()
        record = {
            "clean": found.clean,
            "leftovers": [one.record(now) for one in found.leftovers],
            "not_asked": found.not_asked,
        }
        click.echo(json.dumps(record, indent=1))
    else:
        _show(found)
    raise click.exceptions.Exit(0 if found.clean else 6)


def _show(found: residue.Residue) -> None:
    for one in found.leftovers:
        click.echo(inert(str(one)))
        click.echo(f"  owner: {inert(one.owner) or 'unknown'}; age: {_age(one)}")
        click.echo(f"  next:  {inert(one.next_step)}")
    for name, why in found.not_asked.items():
        click.echo(f"not asked: {inert(name)}: {inert(why)}")
    if found.clean:
        click.echo("nothing is left behind")


def _age(one: residue.Leftover) -> str:
    age = "unknown"
    if one.since:
        age = str(timedelta(seconds=round((utc_now() - one.since).total_seconds())))
    return f"{age}, out of date at {one.until:%Y-%m-%d %H:%M:%S} UTC" if one.until else age
