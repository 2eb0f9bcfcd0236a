"""What the targets themselves say of faults: their marks, read as heals, without a run folder."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from holdfast import marks
from holdfast.cluster import Node
from holdfast.errors import HoldfastError, Unreachable
from holdfast.heal.systems import Systems
from holdfast.model import Heal
from holdfast.toxiproxy import Proxy

TAINT = "holdfast.io/dropped"
_AT_ONCE = 8


@dataclass(frozen=True)
class Found:
    """A fault that is there, whose it is, and how to undo it. `expires` is None when unknown."""

    run: str
    owner: str
    expires: datetime | None
    heal: Heal


type Look = Callable[[Systems], Iterable[Found]]


def everything(systems: Systems) -> tuple[list[Found], list[HoldfastError]]:
    """Every fault that carries a mark of holdfast, and why a system could not be asked.

    That a system cannot be asked is not the same as finding nothing there; the others are asked all
    the same, and at once.
    """
    found: list[Found] = []
    wrong: list[HoldfastError] = []
    looks = [_on_nodes, *(partial(_on_proxies, url) for url in systems.urls)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for answer in pool.map(partial(_answer, systems), looks):
            if isinstance(answer, HoldfastError):
                wrong.append(answer)
            else:
                found += answer
    return found, wrong


def _answer(systems: Systems, look: Look) -> list[Found] | HoldfastError:
    try:
        return [*look(systems)]
    except HoldfastError as error:
        return error
    except Exception as error:  # noqa: BLE001  # a surprise at one system must not hide the others
        return Unreachable("marks", f"{type(error).__name__}: {error}", "Look at them by hand")


def _on_nodes(systems: Systems) -> Iterator[Found]:
    for node in systems.cluster.nodes():
        yield from of_node(node)


def _on_proxies(url: str, systems: Systems) -> Iterator[Found]:
    for proxy in systems.toxiproxy(url).proxies().values():
        yield from of_proxy(url, proxy)


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
        place = {"listen": proxy.listen, "upstream": proxy.upstream}
        arguments = {"url": url, "proxy": proxy.name, **place}
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
