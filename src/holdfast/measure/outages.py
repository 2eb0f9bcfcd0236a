"""One journey's requests in order: which of the bad ones are an outage, and when it ended.

The service is taken to be bad from F up to R. A bad request's life, from sent to done, meets that
time; a good one's meets the rest. Hence R lies above the last bad request's sending, and at or
below the first end of a good request that was sent when the outage had surely begun.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from statistics import median

from holdfast.clock import SECOND
from holdfast.model import Interval, Journey, Window
from holdfast.samples import Track

TOLERATED = 1000  # one bad request in so many is no outage
LEAST = 299  # requests, below which a window says nothing
_ALPHA = 0.05
_TAILS = (10, 30, 100)  # the last so many gaps between bad requests, as the share may have changed
_AT_ONCE = 0.04  # of its own wait, within which the first answer is followed by all that waited
_UNLIKELY = 1e-6  # a run of good requests that chance does not make
_SELDOM = 100  # one answer in so many may take longer than usual: 299 of them tell no rarer ones


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it was due, sent and done, and whether it was bad."""

    scheduled: int
    sent: int
    done: int
    bad: bool
    slow: bool = False


def requests(track: Track, journey: Journey, window: Window) -> list[Request]:
    """The requests of a journey that were due in a window."""
    due = track.due(window)
    mine, limit = slice(due.start, due.stop), round(journey.within * SECOND)
    rows = zip(
        track.scheduled_ns[mine],
        track.sent_ns[mine],
        track.done_ns[mine],
        track.bad(journey.within)[mine],
        strict=True,
    )
    return [
        Request(due_ns, sent_ns, done_ns, bool(is_bad), done_ns - due_ns > limit)
        for due_ns, sent_ns, done_ns, is_bad in rows
    ]


@dataclass(frozen=True)
class Outage:
    """Bad requests without a lasting stretch between them. Instants are monotonic nanoseconds.

    `kind` is full, hang (bad by being late), partial (some were good) or flapping (good for a
    while in between). An end that was not seen is infinite.
    """

    start: Interval
    end: Interval
    bad: int
    kind: str
    journey: str = ""


@dataclass(frozen=True)
class Stretch:
    """One journey's requests from an instant up to another, in the order they were due.

    Windows end at `until` at the latest: beyond it, answers may not have come. `calm` is how long a
    good request took at most (its 99.9th percentile) when nothing was broken, in ns.
    """

    journey: str
    start: int
    until: int
    stable: int
    calm: int
    requests: tuple[Request, ...]

    @cached_property
    def times(self) -> list[int]:
        """When each request was due."""
        return [one.scheduled for one in self.requests]

    @cached_property
    def bads(self) -> list[Request]:
        """The bad requests, in order."""
        return [one for one in self.requests if one.bad]

    @cached_property
    def goods(self) -> list[Request]:
        """The good requests, by when they were sent."""
        return sorted((one for one in self.requests if not one.bad), key=lambda one: one.sent)

    @cached_property
    def first_ends(self) -> list[int]:
        """For each of `goods`: the first end among it and all that were sent later."""
        ends = accumulate((one.done for one in reversed(self.goods)), min)
        return list(ends)[::-1]

    @cached_property
    def blind(self) -> list[tuple[int, int]]:
        """Times without any request, far longer than usual: whatever happened there is unseen."""
        return [(a, b) for a, b in pairwise([self.start, *self.times]) if b - a > self.usual]

    @cached_property
    def usual(self) -> int:
        """Requests never lie further apart than this, in ns, unless customers failed to send."""
        steps = [b - a for a, b in pairwise(self.times)]
        return max(SECOND, 20 * round(median(steps))) if steps else SECOND

    def count(self, start: int, end: int) -> int:
        """Requests that were due in this time."""
        return bisect_left(self.times, end) - bisect_left(self.times, start)

    def first_good(self, after: int, due: int) -> Request | None:
        """Of the good requests sent after one instant, due from another, the first to end."""
        later = self.goods[bisect_right(self.goods, after, key=lambda one: one.sent) :]
        return min(
            (one for one in later if one.scheduled >= due), key=lambda one: one.done, default=None
        )

    @cached_property
    def faulty(self) -> list[Request]:
        """The bad requests that are not excused.

        Excused is one whose neighbours are good, when every window around it has few enough.
        """
        side_by_side = {
            one for a, b in pairwise(self.requests) if a.bad and b.bad for one in (a, b)
        }
        due = [one.scheduled for one in self.bads]
        marks = [0] * (len(due) + 1)  # +1 where a window with too many begins, -1 after its end
        for at in due:
            for around in (at, at - self.stable + 1):
                start = max(min(around, self.until - self.stable), self.start)
                end = max(start + self.stable, at + 1)
                first, beyond = bisect_left(due, start), bisect_left(due, end)
                if beyond - first > self.count(start, end) // TOLERATED:
                    marks[first] += 1
                    marks[beyond] -= 1
        crowded = accumulate(marks)
        return [
            one
            for one, windows in zip(self.bads, crowded, strict=False)
            if windows or one in side_by_side
        ]

    @cached_property
    def outages(self) -> list[Outage]:
        """The outages, in order: parted where customers were served well for a whole window."""
        groups: list[list[Request]] = []
        for one in self.faulty:
            if groups and one.scheduled - groups[-1][-1].scheduled < self.stable:
                groups[-1].append(one)
            else:
                groups.append([one])
        return [_outage(self, group) for group in groups]

    @cached_property
    def unseen(self) -> int:
        """The longest outage that would have left no trace, in ns."""
        ends = [*self.first_ends, self.until]
        starts = [self.start, *(one.sent for one in self.goods)]
        return max(max(0, end - start) for start, end in zip(starts, ends, strict=True))

    def resumed(self) -> Request | None:
        """The first good request after the last outage, and after the last time unseen."""
        due = max((end for _, end in self.blind), default=self.start)
        after = self.start - 1
        if self.faulty:
            last = _last_burst(self)
            after = max(*(one.sent for one in last), _began_by(self, last))
        return self.first_good(after, due)

    def fewest(self, start: int) -> int:
        """The fewest requests of any window that starts at this instant or later."""
        fewest = self.count(start, start + self.stable)
        first = bisect_left(self.times, start)
        end = first
        for index in range(first, len(self.times)):
            limit = self.times[index] + 1 + self.stable
            if limit > self.until:
                break
            while end < len(self.times) and self.times[end] < limit:
                end += 1
            fewest = min(fewest, end - index - 1)
        return fewest


def _last_burst(stretch: Stretch) -> list[Request]:
    """The requests of the last outage."""
    return stretch.faulty[-stretch.outages[-1].bad :]


def _began_by(stretch: Stretch, bads: Sequence[Request]) -> int:
    """By when the outage had surely begun: else a bad request would have been answered well."""
    calm = stretch.calm
    return min(min(one.done, one.sent + calm) if calm else one.done for one in bads)


def _outage(stretch: Stretch, bads: Sequence[Request]) -> Outage:
    first, last = bads[0].scheduled, bads[-1].scheduled
    last_sent = max(one.sent for one in bads)
    began_by = _began_by(stretch, bads)
    lo, hi = bisect_left(stretch.times, first), bisect_right(stretch.times, last)
    during = stretch.requests[lo:hi]
    mixed = any(not one.bad and one.sent > began_by for one in during)
    kind = _kind(during, bads) if mixed else _kind(bads, bads)
    blind = [end for start, end in stretch.blind if last <= start < last + stretch.stable]
    good = stretch.first_good(max(last_sent, began_by), max(blind, default=first))
    high: float = good.done if good else math.inf
    low = last_sent
    if good and mixed:
        high = max(
            high, min(last_sent + _tail([one.sent for one in bads]), good.done + stretch.stable)
        )
    if good and kind == "hang":
        low = max(low, _answered_by(stretch, good))
    earlier: float = max((one.sent for one in stretch.requests[:lo] if not one.bad), default=0)
    if mixed:
        first_sent = min(one.sent for one in bads)
        earlier = min(earlier, first_sent - _tail([-one.sent for one in bads]))
    start = Interval(max(stretch.start, earlier), max(began_by, stretch.start))
    return Outage(start, Interval(low, high), len(bads), kind, stretch.journey)


def _kind(during: Sequence[Request], bads: Sequence[Request]) -> str:
    good = len(during) - len(bads)
    if good <= 0.02 * len(during):
        return "hang" if 2 * sum(one.slow for one in bads) > len(bads) else "full"
    longest = run = 0
    for one in during:
        run = 0 if one.bad else run + 1
        longest = max(longest, run)
    chance = len(during) * (good / len(during)) ** longest
    return "flapping" if chance < _UNLIKELY else "partial"


def _tail(sent: Sequence[int]) -> float:
    """How long after the last bad request a partial outage may have lasted, in ns.

    The gaps between its bad requests are geometric; the next one exceeds this with 5 %. With many
    gaps it is ln(20) / (rate * share). The share may have fallen: the last gaps count alone too.
    """
    sent = sorted(sent)
    gaps = len(sent) - 1
    if not gaps:
        return 0.0
    return max(
        (sent[-1] - sent[-1 - last]) * (math.pow(_ALPHA, -1 / last) - 1)
        for last in {gaps, *(number for number in _TAILS if number < gaps)}
    )


def _answered_by(stretch: Stretch, good: Request) -> int:
    """A hang: the last request that would have been answered before this one, had all been well.

    A service that thaws answers all that waited at once; one that is only slow, and ever less, does
    not: of it, no more is known than that its last bad request was sent. How long an answer takes
    at most is what 99 in 100 took in the window after this one, too, when that is longer: neither
    a pause long after it tells, nor a short one in that window.
    """
    window_ns = good.done + stretch.stable
    later = [one.done - one.sent for one in stretch.goods if good.done < one.sent <= window_ns]
    calm = max(stretch.calm, _all_but_one_in(_SELDOM, later))
    waited = (one.done for one in stretch.requests if one.sent < good.done <= one.done)
    at_once = 2 * (stretch.calm or calm) + _AT_ONCE * (good.done - good.sent)
    if not calm or max(waited, default=good.done) > good.done + at_once:
        return stretch.start
    sent = (one.sent for one in stretch.requests if one.sent <= good.done - 2 * calm)
    return max(sent, default=stretch.start)


def percentile_999(durations: Iterable[int]) -> int:
    """What all but one in a thousand of them do not exceed; 0 when there are none."""
    return _all_but_one_in(1000, durations)


def _all_but_one_in(many: int, durations: Iterable[int]) -> int:
    took = sorted(durations)
    return took[min(len(took) - 1, len(took) * (many - 1) // many)] if took else 0
