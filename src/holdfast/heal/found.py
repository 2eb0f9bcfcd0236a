"""What the targets themselves say of faults: their marks, read as heals, without a run folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from holdfast import marks
from holdfast.cluster import Node
from holdfast.heal.systems import Systems
from holdfast.model import Heal
from holdfast.toxiproxy import Proxy

TAINT = "holdfast.io/dropped"


@dataclass(frozen=True)
class Found:
    """A fault that is there, whose it is, and how to undo it. `expires` is None when unknown."""

    run: str
    owner: str
    expires: datetime | None
    heal: Heal


def everything(systems: Systems) -> list[Found]:
    """Every fault that carries a mark of holdfast, on every system of the environment.

    Raises:
        Unreachable: a system cannot be asked; that is not the same as finding nothing there.
    """
    found = [one for node in systems.cluster.nodes() for one in of_node(node)]
    for url, toxiproxy in systems.toxiproxies.items():
        for proxy in toxiproxy.proxies().values():
            found += of_proxy(url, proxy)
    return found


def of_node(node: Node) -> Iterator[Found]:
    """The faults that a node's annotations and taints tell of."""
    run = node.annotations.get(marks.RUN, "")
    owner = node.annotations.get(marks.OWNER, "")
    expires = _instant(node.annotations.get(marks.EXPIRES, ""))
    for key, value, _ in node.taints:
        if key == TAINT:
            arguments = {"node": node.name, "key": key, "run": value}
            yield Found(value, owner, expires, Heal(f"{node.name}-taint", "untaint", arguments))
    if run:
        arguments = {"node": node.name, "uid": node.uid, "run": run}
        yield Found(run, owner, expires, Heal(f"{node.name}-cordon", "uncordon", arguments))


def of_proxy(url: str, proxy: Proxy) -> Iterator[Found]:
    """The faults that the names of a proxy's toxics tell of."""
    for name in proxy.toxics:
        if (mark := marks.of_toxic(name)) is None:
            continue
        arguments = {"url": url, "proxy": proxy.name}
        if mark.kind == "cut":
            heal = Heal(name, "enable_proxy", {**arguments, "marker": name})
        else:
            heal = Heal(name, "remove_toxic", {**arguments, "toxic": name})
        yield Found(mark.run, "", mark.expires, heal)


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
