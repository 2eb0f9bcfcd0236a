"""What a watch adds to the looks at pods: the instants of changes, and never a better story."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast.clock import SECOND, Anchor, now_ns, until
from holdfast.cluster import Change, Pod
from holdfast.context import Context
from holdfast.run.stream import Heard, Listed, Stream, looks
from holdfast.run.watch import Watch
from tests.fakes import FakeKubernetes, line
from tests.test_faults import Alive

type Look = dict[str, Any]

ZONES = {"node-a": "sa-east-1a", "node-b": "sa-east-1b"}


def pod(name: str, version: int, ready: bool = True, deleting: bool = False) -> Pod:
    node = f"node-{name}"
    zone, uid = ZONES[node], f"uid-{name}"
    return Pod(name, "wallet", uid, node, zone, ready, deleting=deleting, version=version)


def change(one: Pod, *, gone: bool = False) -> Change:
    return Change(one.name, one.uid, one.node, one.serving, one.version, gone)


def heard(one: Pod, at: int, *, gone: bool = False) -> Heard:
    """Read at this millisecond, and happened in the millisecond before."""
    return Heard(change(one, gone=gone), (at - 1) * 1_000_000, Anchor(at * 1_000_000, 0))


BEFORE = Listed([pod("a", 1), pod("b", 2)], 2, 0, Anchor(5_000_000, 0))


def told(events: list[Heard], after: list[Pod]) -> list[tuple[int, int, str]] | None:
    """Each look's two milliseconds, and the names of its pods, in capitals where ready."""
    found = looks(BEFORE, events, after, ZONES)
    if found is None:
        return None
    names = [
        "".join(one["name"].upper() if one["ready"] else one["name"] for one in look["pods"])
        for look in found
    ]
    return [
        (look["looked_ns"] // 1_000_000, look["mono_ns"] // 1_000_000, name)
        for look, name in zip(found, names, strict=True)
    ]


# ── between two lists ─────────────────────────────────────────────────────────────────────────────


def test_each_change_is_a_look_right_before_and_one_right_after() -> None:
    events = [heard(pod("b", 3, ready=False), 300), heard(pod("b", 4), 700)]
    assert told(events, [pod("a", 1), pod("b", 4)]) == [
        (299, 300, "AB"),
        (299, 300, "Ab"),
        (699, 700, "Ab"),
        (699, 700, "AB"),
    ]


def test_a_pod_that_goes_before_its_successor_comes() -> None:
    new = Pod("b", "wallet", "uid-2", "node-b", "", ready=True, version=9)
    events = [heard(pod("b", 8), 300, gone=True), heard(new, 301)]
    found = looks(BEFORE, events, [pod("a", 1), new], ZONES)
    assert found is not None
    assert [[one["uid"] for one in look["pods"]] for look in found] == [
        ["uid-a", "uid-b"],
        ["uid-a"],
        ["uid-a"],
        ["uid-a", "uid-2"],
    ]
    assert found[-1]["pods"][1]["zone"] == "sa-east-1b", "of the list: no event tells of zones"


def test_a_pod_on_its_way_out_is_not_ready() -> None:
    leaving = pod("b", 3, deleting=True)
    assert told([heard(leaving, 300)], [pod("a", 1), leaving]) == [
        (299, 300, "AB"),
        (299, 300, "Ab"),
    ]


def test_what_changes_nothing_that_a_look_tells_is_no_look() -> None:
    assert told([heard(pod("b", 7), 300)], [pod("a", 1), pod("b", 7)]) == []


@pytest.mark.parametrize(
    "after",
    [
        [pod("a", 1), pod("b", 5)],  # it was ready, not ready for a moment, and ready again
        [pod("a", 1)],
        [pod("a", 6), pod("b", 4)],
    ],
    ids=["of the same pod", "that it went", "of another pod"],
)
def test_a_watch_that_has_missed_anything_tells_nothing(after: list[Pod]) -> None:
    events = [heard(pod("b", 3, ready=False), 300), heard(pod("b", 4), 700)]
    assert told(events, after) is None


def test_nothing_is_claimed_from_before_the_list_that_did_not_show_it() -> None:
    """Nor does a look that was read meanwhile stand before that list."""
    early = Heard(change(pod("b", 3, ready=False)), -20_000_000, Anchor(2_000_000, 0))
    assert told([early], [pod("a", 1), pod("b", 3, ready=False)]) == [(0, 5, "Ab")]


def test_of_events_that_may_have_come_together_the_first_says_when() -> None:
    """The second was there when the first had been read: it may be as old."""
    second = Heard(change(pod("b", 4)), 299_000_000, Anchor(310_000_000, 0))
    assert told([heard(pod("b", 3, ready=False), 300), second], [pod("a", 1), pod("b", 4)]) == [
        (299, 300, "AB"),
        (299, 300, "Ab"),
        (299, 310, "AB"),
    ]


# ── while a run is on ─────────────────────────────────────────────────────────────────────────────


@contextmanager
def watching(here: Context) -> Iterator[list[str]]:
    """The pods are looked at; what would end the run is collected."""
    ends: list[str] = []
    watch = Watch(here, Alive(), ends.append)
    watch.start()
    try:
        yield ends
    finally:
        began = now_ns()
        watch.stop()
        assert now_ns() - began < SECOND


def seen(here: Context) -> list[Look]:
    return here.run.records("samples/pods.jsonl")


def looks_more(here: Context, number: int) -> None:
    """Until so many more looks were written down."""
    before = len(seen(here))
    assert until(lambda: len(seen(here)) >= before + number, seconds=10)


def all_ready(look: Look) -> bool:
    return all(one["ready"] for one in look["pods"])


def followed(kubernetes: FakeKubernetes, here: Context, number: int = 1) -> None:
    """Until a watch was opened, and a look has passed since."""
    assert until(lambda: kubernetes.watches >= number, seconds=20)
    looks_more(here, 1)


def test_when_a_pod_became_ready_is_known_to_milliseconds(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """The truth is known. The upper end never lies before it; a busy machine delays the lower.

    Without the watch the interval is a second wide.
    """
    here, found = wallet(), []
    kubernetes.turn("wallet-b", ready=False)
    with watching(here) as ends:
        followed(kubernetes, here)
        for _ in range(4):
            began = now_ns()
            kubernetes.turn("wallet-b", ready=True)
            ended = now_ns()
            assert until(lambda: all_ready(seen(here)[-1]), seconds=10)
            every = seen(here)
            number = max(at for at, one in enumerate(every) if not all_ready(one))
            low, high = every[number]["looked_ns"], every[number + 1]["mono_ns"]
            assert high >= began
            found.append((low <= ended, high - low < SECOND // 20))
            kubernetes.turn("wallet-b", ready=False)
            assert until(lambda: not all_ready(seen(here)[-1]), seconds=10)
    assert (True, True) in found
    assert ends == []
    instants = [one["mono_ns"] for one in seen(here)]
    assert instants == sorted(instants)
    assert {*seen(here)[-1]} == {"seq", "mono_ns", "wall_ns", "looked_ns", "pods", "previous"}


def test_a_pod_that_flaps_between_two_looks_is_seen(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    with watching(here):
        followed(kubernetes, here)
        kubernetes.turn("wallet-b", ready=False)
        kubernetes.turn("wallet-b", ready=True)
        looks_more(here, 2)
    assert not all(all_ready(one) for one in seen(here))
    assert all_ready(seen(here)[-1])


def failed(code: int) -> Callable[[], Any]:
    return lambda: (code, {"kind": "Status", "code": code, "message": "no"})


def saying(*parts: bytes) -> Callable[[], Any]:
    return lambda: (200, iter(parts))


def silent() -> Any:
    def nothing() -> Iterator[bytes]:
        threading.Event().wait(8)
        yield b"\n"

    return 200, nothing()


BROKEN: dict[str, Callable[[], Any]] = {
    "410": failed(410),
    "429": failed(429),
    "500": failed(500),
    "gone": saying(line("ERROR", {"kind": "Status", "code": 410})),
    "html": saying(b"<html><body>Welcome</body></html>\n"),
    "garbage": saying(b"\x16\x03\x01\n\x00"),
    "no pod": saying(line("MODIFIED", {"metadata": {"uid": "u"}})),
    "no version": saying(line("MODIFIED", {"metadata": {"resourceVersion": "x"}})),
    "nested": saying(b'{"type":' + b"[" * 100_000 + b"\n"),
    "endless line": lambda: (200, itertools.repeat(b"x" * 65_536)),
    "ended": saying(),
    "half": saying(b'{"type": "ADD'),
    "silent": silent,
}


@pytest.mark.parametrize("kind", [one for one in BROKEN if one != "silent"])
def test_a_watch_that_breaks_ends_and_has_told_nothing(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes, kind: str
) -> None:
    here, kubernetes.watch = wallet(), BROKEN[kind]
    stream = Stream(here, 1)
    stream.start()
    stream.join(10)
    assert not stream.is_alive()
    assert kubernetes.watches == 1
    assert stream.until(1 << 60) == []


def test_what_came_before_it_broke_was_told(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    one = kubernetes.pods["wallet", "wallet-a"]
    kubernetes.watch = saying(line("MODIFIED", one), line("BOOKMARK", {}), b"[]\n")
    stream = Stream(wallet(), 1)
    stream.start()
    stream.join(10)
    assert not stream.is_alive()
    assert [each.pod.name for each in stream.until(1 << 60)] == ["wallet-a"]
    assert stream.until(1 << 60) == []


def test_of_an_event_counts_who_where_and_whether_it_serves(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    one = kubernetes.pods["wallet", "wallet-a"]
    one["metadata"] |= {"uid": "uid-1", "resourceVersion": "7"}
    leaving = one | {"metadata": one["metadata"] | {"deletionTimestamp": "2026-11-26T12:00:00Z"}}
    unready = one | {"status": {"phase": "Running"}}
    kubernetes.watch = saying(
        line("ADDED", one),
        line("MODIFIED", unready),
        line("MODIFIED", leaving),
        line("DELETED", one),
    )
    stream = Stream(wallet(), 1)
    stream.start()
    stream.join(10)
    told = [each.pod for each in stream.until(1 << 60)]
    assert {(each.name, each.uid, each.node, each.version) for each in told} == {
        ("wallet-a", "uid-1", "node-a", 7)
    }
    assert [(each.serving, each.gone) for each in told] == [
        (True, False),
        (False, False),
        (False, False),
        (True, True),
    ]


def test_an_event_that_had_waited_for_us_may_be_as_old_as_the_one_before_it(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """The first came while we listened: a moment ago. The second came with it, or later."""
    one = line("MODIFIED", kubernetes.pods["wallet", "wallet-a"])

    def late() -> Iterator[bytes]:
        threading.Event().wait(0.2)
        yield one + one

    here, kubernetes.watch = wallet(), lambda: (200, late())
    stream = Stream(here, 1)
    stream.start()
    stream.join(10)
    first, second = stream.until(1 << 60)
    assert first.at.mono_ns - first.after_ns == SECOND // 25
    assert second.after_ns == first.after_ns


def test_a_watch_that_tells_too_much_ends(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    """What nobody asked for yet is kept, and there are bounds to that."""
    flood = itertools.repeat(line("MODIFIED", kubernetes.pods["wallet", "wallet-a"]))
    here, kubernetes.watch = wallet(), lambda: (200, flood)
    stream = Stream(here, 1)
    stream.start()
    stream.join(20)
    assert not stream.is_alive()
    assert len(stream.until(1 << 60)) == 1_000


def test_a_watch_is_stopped_at_once(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here, kubernetes.watch = wallet(), silent
    stream = Stream(here, 1)
    stream.start()
    assert until(lambda: kubernetes.watches == 1, seconds=10)
    stream.stop()
    stream.join(1)
    assert not stream.is_alive()


@pytest.mark.parametrize("kind", ["410", "endless line", "silent"])
def test_after_a_watch_that_broke_another_is_opened(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes, kind: str
) -> None:
    """Meanwhile there are the looks of once a second, as if there was no watch."""
    here, kubernetes.watch = wallet(), BROKEN[kind]
    with watching(here) as ends:
        followed(kubernetes, here)
        kubernetes.turn("wallet-b", ready=False)
        kubernetes.turn("wallet-b", ready=True)
        followed(kubernetes, here, number=2)
        alone, asked = seen(here), kubernetes.watches
        kubernetes.watch = None
        kubernetes.turn("wallet-b", ready=False)
        kubernetes.turn("wallet-b", ready=True)
        followed(kubernetes, here, number=asked + 1)
        looks_more(here, 1)  # the one that was opened may still have been a broken one
        kubernetes.turn("wallet-b", ready=False)
        assert until(lambda: not all_ready(seen(here)[-1]), seconds=10)
        event, listed = seen(here)[-2:]
    assert ends == []
    assert not all_ready(event), "heard, and then listed"
    assert event["mono_ns"] < listed["looked_ns"]
    assert all(all_ready(one) for one in alone)
    starts = [one["looked_ns"] for one in alone]
    assert min(b - a for a, b in itertools.pairwise(starts)) >= SECOND
    assert asked <= len(alone) + 1, "no more often than the pods are listed"


def test_without_the_right_there_are_looks_alone_and_it_is_said_once(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    kubernetes.forbidden = {"watch pods"}
    with watching(here) as ends:
        looks_more(here, 3)
    assert (ends, kubernetes.watches) == ([], 0)
    assert [one["why"] for one in here.run.records("events.jsonl")] == [
        "no right to watch pods in namespace wallet: seen once a second only"
    ]
