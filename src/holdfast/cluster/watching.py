"""Pods as they change, told by the API server while it happens."""

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.cluster.client import Lines
from holdfast.cluster.objects import Pod, read_pod

_KINDS = ("ADDED", "MODIFIED", "DELETED")


@dataclass(frozen=True)
class Change:
    """A pod as it became, or as it was when it went."""

    pod: Pod
    gone: bool


class PodWatch:
    """The changes of some pods, in their order, until the watch ends; nobody says why it did.

    An error of the API server (410: too old), garbage or silence end it, too. Zones are not told.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[Change]:
        for line in self._lines:
            kind = line.get("type")
            if kind == "BOOKMARK":
                continue
            try:
                pod = read_pod(line["object"], {})
            except (KeyError, TypeError, ValueError, AttributeError):
                return
            if kind not in _KINDS or not pod.version:
                return
            yield Change(pod, kind == "DELETED")

    def stop(self) -> None:
        """Wake up whoever iterates: there is no more."""
        self._lines.stop()
