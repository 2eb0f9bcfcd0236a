"""Pods as they change, told by the API server while it happens.

Of an event only those members become objects that somebody asks for: a pod's document is large,
and to take it into Python whole costs more than all the rest of hearing it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pydantic import Field, TypeAdapter

from holdfast.cluster.client import Lines
from holdfast.cluster.objects import is_ready, read_version


class _Metadata(TypedDict):
    name: str
    uid: str
    resourceVersion: str
    deletionTimestamp: NotRequired[Any]


class _Spec(TypedDict):
    nodeName: NotRequired[str]


class _Condition(TypedDict):
    type: str
    status: str


class _Status(TypedDict):
    conditions: NotRequired[list[_Condition]]


class _Pod(TypedDict):
    metadata: _Metadata
    spec: _Spec
    status: _Status


class _Event(TypedDict):
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: _Pod


class _Bookmark(TypedDict):
    type: Literal["BOOKMARK"]


type _Told = Annotated[_Event | _Bookmark, Field(discriminator="type")]


@dataclass(frozen=True)
class Change:
    """A pod as it became, or as it was when it went. Its zone is not told."""

    name: str
    uid: str
    node: str
    serving: bool
    version: int
    gone: bool = False


class PodWatch:
    """The changes of some pods, in their order, until the watch ends; nobody says why it did.

    An error of the API server (410: too old), garbage or silence end it, too.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._read: TypeAdapter[_Event | _Bookmark] = TypeAdapter(_Told)

    def __iter__(self) -> Iterator[Change]:
        for line in self._lines:
            try:
                told = self._read.validate_json(line)
            except ValueError:
                return
            if told["type"] == "BOOKMARK":
                continue
            change = _change(told["object"], gone=told["type"] == "DELETED")
            if not change.version:
                return
            yield change

    def stop(self) -> None:
        """Wake up whoever iterates: there is no more."""
        self._lines.stop()


def _change(pod: _Pod, *, gone: bool) -> Change:
    metadata = pod["metadata"]
    return Change(
        metadata["name"],
        metadata["uid"],
        pod["spec"].get("nodeName", ""),
        serving=is_ready(pod) and "deletionTimestamp" not in metadata,
        version=read_version(metadata),
        gone=gone,
    )
