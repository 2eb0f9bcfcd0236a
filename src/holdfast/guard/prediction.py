"""Can the others carry what a zone carried? Predicted from live requests, room, spread and budgets.

A first-fit model of the scheduler: it knows requests, the room of nodes, their number of pods, node
selectors, taints, and topology spread that forbids. Where something else would decide, or not every
pod may be seen, it says `unknown` instead of `yes`. A run is compared with it afterwards.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.cluster import Budget, Node, Pod
from holdfast.cluster.scheduling import Spread, matches
from holdfast.model import plain

_STAY = ("DaemonSet", "Node", "")  # what these own does not come back on another node
_BINDING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Going:
    """What would go: the pods, the nodes they may not come back to; and who serves customers."""

    pods: Sequence[Pod]
    nodes: Collection[str]
    service: Collection[str] = ()  # uids of the customers' service


@dataclass
class Outlook:
    """What would become of one workload: replicas ready now, that go, that come back by zone."""

    workload: str
    service: bool
    ready: int
    goes: int
    placed: dict[str, int] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Prediction:
    """`carries` is yes, no or unknown; `why` says what speaks against a yes."""

    carries: str
    why: tuple[str, ...]
    workloads: tuple[Outlook, ...]
    budgets: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The prediction as it is written down."""
        record: dict[str, Any] = plain(self)
        return record


def predict(
    going: Going,
    pods: Sequence[Pod],
    nodes: Sequence[Node],
    budgets: Iterable[Budget] = (),
    *,
    whole: bool = True,
) -> Prediction:
    """Where the pods that go would come back; `whole` says that `pods` are all there are.

    Pure: the same cluster gives the same prediction.
    """
    gone = {pod.uid for pod in going.pods}
    board = _Board(going, [pod for pod in pods if pod.uid not in gone], nodes)
    outlooks = {pod.owner_uid or pod.uid: _outlook(going, pod, pods) for pod in going.pods}
    for pod in sorted(going.pods, key=lambda it: (it.namespace, it.name)):
        outlook = outlooks[pod.owner_uid or pod.uid]
        if pod.finished or pod.owner[0] == "DaemonSet":
            continue
        node, why = (None, "nothing replaces it") if pod.owner[0] in _STAY else board.place(pod)
        if node is None:
            outlook.pending.append(f"{pod.name}: {why}")
        else:
            outlook.placed[node.zone] = outlook.placed.get(node.zone, 0) + 1
    no = tuple(one for it in outlooks.values() for one in it.pending)
    doubts = tuple(_doubts(going.pods, nodes, whole=whole))
    carries = "no" if no else "unknown" if doubts else "yes"
    return Prediction(
        carries, (*no, *doubts), tuple(outlooks.values()), tuple(_budgets(going.pods, budgets))
    )


class _Board:
    """The nodes that stay, with the room that is left on them, and who is where."""

    def __init__(self, going: Going, pods: Iterable[Pod], nodes: Sequence[Node]) -> None:
        self._all = nodes
        self._going = going.nodes
        self._here = [(pod, pod.node) for pod in pods if not pod.finished]
        self._free = {one.name: dict(one.room) for one in nodes if self._open(one)}
        for pod, node in self._here:
            self._take(pod, node)

    def place(self, pod: Pod) -> tuple[Node | None, str]:
        """The node that a replacement of this pod would come onto, or why there is none."""
        nodes = [node for node in self._all if node.name in self._free and _may(pod, node)]
        roomy = [node for node in nodes if self._fits(pod, node)]
        even = [node for node in roomy if all(self._even(pod, one, node) for one in pod.spread)]
        if not even:
            why = "spread forbids it" if roomy else "no room" if nodes else "no node may have it"
            return None, why
        node = min(even, key=lambda it: (self._siblings(pod, it), it.name))
        self._here.append((pod, node.name))
        self._take(pod, node.name)
        return node, ""

    def _open(self, node: Node) -> bool:
        return node.ready and not node.unschedulable and node.name not in self._going

    def _take(self, pod: Pod, node: str) -> None:
        free = self._free.get(node, {})
        for name, amount in (*pod.asks.items(), ("pods", 1.0)):
            free[name] = free.get(name, 0.0) - amount

    def _fits(self, pod: Pod, node: Node) -> bool:
        free = self._free[node.name]
        wanted = {name: amount for name, amount in pod.asks.items() if amount} | {"pods": 1.0}
        return all(free.get(name, 0.0) >= amount - 1e-9 for name, amount in wanted.items())

    def _siblings(self, pod: Pod, node: Node) -> int:
        zones = {one.name: one.zone for one in self._all}
        mine = [place for one, place in self._here if one.owner_uid == pod.owner_uid]
        return 1000 * sum(zones.get(it) == node.zone for it in mine) + mine.count(node.name)

    def _even(self, pod: Pod, spread: Spread, node: Node) -> bool:
        """Would the domains differ by no more than the skew that is allowed?"""
        domain = {one.name: one.labels.get(spread.key) for one in self._all}
        counts = Counter(
            domain.get(place)
            for one, place in self._here
            if one.namespace == pod.namespace
            and not one.deleting
            and matches(spread.selector, one.labels)
        )
        eligible = {
            domain[one.name]
            for one in self._all
            if domain[one.name] is not None
            and pod.node_selector.items() <= one.labels.items()
            and (self._open(one) or not spread.honours_taints)
        }
        mine = domain[node.name]
        least = min((counts[one] for one in eligible), default=0)
        added = 1 if matches(spread.selector, pod.labels) else 0
        return mine is not None and counts[mine] + added - least <= spread.max_skew


def _may(pod: Pod, node: Node) -> bool:
    """Do the node's labels and taints let the pod come?"""
    bars = [(key, value, effect) for key, value, effect in node.taints if effect in _BINDING]
    return pod.node_selector.items() <= node.labels.items() and all(
        pod.tolerates(key, effect, value) for key, value, effect in bars
    )


def _outlook(going: Going, pod: Pod, everyone: Iterable[Pod]) -> Outlook:
    """The workload of a pod as it is now."""
    key = pod.owner_uid or pod.uid
    mine = [one for one in everyone if (one.owner_uid or one.uid) == key and one.serving]
    gone = {one.uid for one in going.pods}
    return Outlook(
        f"{pod.namespace}/{pod.owner[1] or pod.name}",
        pod.uid in going.service,
        len(mine),
        sum(one.uid in gone for one in mine),
    )


def _doubts(going: Sequence[Pod], nodes: Iterable[Node], *, whole: bool) -> Iterator[str]:
    """What keeps a yes from being sure."""
    if not whole:
        yield "pods of other namespaces may not be listed, so the room is not known"
    if blind := [one.name for one in nodes if not one.room]:
        yield f"nodes that do not tell their room: {', '.join(blind)}"
    for what in sorted({one for pod in going for one in pod.unmodelled}):
        yield f"{what} would decide, too, and is not looked at"


def _budgets(going: Sequence[Pod], budgets: Iterable[Budget]) -> Iterator[str]:
    for one in budgets:
        if taken := sum(one.covers(pod) for pod in going):
            allowed = "?" if one.allowed is None else one.allowed
            yield f"{one.namespace}/{one.name}: {taken} of its pods go, {allowed} may"
