"""What the second source counted: the entrance, the wallet's own calls, the proxies' bytes.

A series that is absent, or that does not cover the window, is None and never zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from holdfast.clock import SECOND
from holdfast.judge.timeline import Timeline
from holdfast.measure import Series, increase, number, parse, scrapes, spacing, value_at
from holdfast.model import Journey, Record, Window
from holdfast.signals import DEFAULTS

APART_S = 5.0  # counters that are flat for less time may only not have been read
_SCRAPES = 3  # so many belong to a last stretch, however rare they are
# what an entrance says when an upstream did not answer: gone customer, no connection, no answer
_UNANSWERED = ("499", "502", "504")


class Counts:
    """The raw samples of a run, asked by what they mean here."""

    def __init__(self, record: Record, timeline: Timeline) -> None:
        self._record = record
        self._timeline = timeline
        self._parsed: dict[str, list[Series] | None] = {}

    def series(self, name: str) -> list[Series] | None:
        """One stored answer, parsed; None when it is missing or not an answer."""
        if name not in self._parsed:
            try:
                self._parsed[name] = parse(self._record.series[name], self._labels(name))
            except (KeyError, ValueError):
                self._parsed[name] = None
        return self._parsed[name]

    def served(self, uid: str, window: Window) -> float | None:
        """Requests of customers that the entrance had answered well by one pod."""

        def wanted(one: Series) -> bool:
            return one.has(upstream=uid) and one.labels.get("code", "").startswith("2")

        return self._rise("entrance_count", wanted, window)

    def answered(self, uid: str, window: Window) -> float | None:
        """Requests that one pod answered, well or not, between the samples inside the window.

        None unless each of its counters was read twice there, 5 s or more apart. One that appears
        there counts from zero: it was not there before.
        """
        mine = [
            one
            for one in self.series("entrance_count") or []
            if one.has(upstream=uid) and one.labels.get("code") not in _UNANSWERED
        ]
        start, end = self._span(window)
        total, known = 0.0, False
        for one in mine:
            inside = [value for at, value in one.points if start < at <= end]
            if one.times and one.times[0] > start:
                total += inside[-1] if inside else 0.0
                continue
            rise = self._between(one, window)
            if rise is None or value_at(one, end) is None:
                return None
            total, known = total + rise[0], True
        return total if known else None

    def entered(self, journey: Journey, window: Window) -> float | None:
        """Requests of a journey that the entrance answered, whoever sent them."""
        return self._rise("entrance_count", lambda one: one.has(**journey.entrance), window)

    def calls(self, gateway: str, window: Window, **labels: str) -> float | None:
        """The wallet's own calls to a gateway, by all replicas or by those of such labels."""
        return self._rise(
            "gateway_calls_count", lambda one: one.has(gateway=gateway, **labels), window
        )

    def customers_calls(self, gateway: str, window: Window) -> float | None:
        """Those of them that carried customers: successful, and no trial of a breaker."""

        def wanted(one: Series) -> bool:
            return one.has(gateway=gateway, outcome="ok") and one.labels.get("trial") != "true"

        return self._rise("gateway_calls_count", wanted, window)

    def fast_calls(self, gateway: str, window: Window, limit_s: float) -> float | None:
        """Those of them that took at most so long; None without a bucket of exactly that limit."""

        def wanted(one: Series) -> bool:
            return one.has(gateway=gateway) and number(one.labels.get("le", "")) == limit_s

        return self._rise("gateway_calls_bucket", wanted, window)

    def mean_call_s(self, gateway: str, window: Window) -> tuple[float | None, float]:
        """The mean duration of those calls in seconds, and their number."""
        number, total = (
            self._rise(f"gateway_calls_{part}", lambda one: one.has(gateway=gateway), window)
            for part in ("count", "sum")
        )
        if not number or total is None:
            return None, 0.0
        return total / number, number

    def proxy_bytes(self, proxy: str, window: Window) -> float | None:
        """Bytes that went through a proxy, both ways."""
        return self._rise("proxy_bytes", lambda one: one.has(proxy=proxy), window)

    def proxy_rate(self, proxy: str, window: Window) -> float | None:
        """Bytes a second through it, between the samples inside the window; None with too few."""
        mine = [one for one in self.series("proxy_bytes") or [] if one.has(proxy=proxy)]
        rates = []
        for one in mine:
            if one.times and one.times[0] > self._span(window)[1]:
                continue  # no connection of it had been closed by then
            rise = self._between(one, window)
            if rise is None:
                return None
            rates.append(rise[0] / rise[1])
        return sum(rates) if rates else None

    def from_zero(self, one: Series, window: Window) -> Series:
        """A counter of a pod that appeared in the window begins there with zero."""
        if not one.times or not self._is_of_a_new_pod(one, window):
            return one
        return replace(one, points=((self._span(window)[0], 0.0), *one.points))

    def recent(self, name: str) -> Window:
        """The last stretch before the fault: the stability window, and three scrapes at least."""
        before = self._timeline.before
        gaps = [spacing(one) or 0.0 for one in self.series(name) or []]
        stable = float(self._record.plan["extension"]["stable"])
        long_ns = round(max(stable, _SCRAPES * max(gaps, default=0.0)) * SECOND)
        return Window(max(before.start_ns, before.end_ns - long_ns), before.end_ns)

    def instances(self, proxy: str, window: Window) -> int:
        """How many instances of Toxiproxy carried bytes through a proxy of that name."""

        def at(instance: str) -> Callable[[Series], bool]:
            return lambda one: one.has(proxy=proxy) and one.labels.get("instance", "") == instance

        names = {one.labels.get("instance", "") for one in self.series("proxy_bytes") or []}
        rises = [self._rise("proxy_bytes", at(name), window) for name in names]
        return sum(rise is not None and rise > 0 for rise in rises)

    def _labels(self, name: str) -> Mapping[str, str]:
        """What the roles of a stored answer's labels are called in the run's environment."""
        signal = next((one for one in DEFAULTS if name.startswith(one)), name)
        given = self._record.plan["environment"]["signals"].get(signal)
        labels: Mapping[str, str] = given["labels"] if given else DEFAULTS[signal].labels
        return labels

    def _rise(self, name: str, wanted: Callable[[Series], bool], window: Window) -> float | None:
        """By how much the chosen counters rose together; None when one of them stops short."""
        every = self.series(name) or []
        seen = scrapes(every)
        start, end = self._span(window)
        # what had ended before the run began, such as a replica that was replaced, says nothing
        begun = self._timeline.wall_s(self._timeline.start.mono_ns)
        total, found = 0.0, False
        for one in every:
            if not wanted(one) or not one.times or one.times[-1] < begun:
                continue
            rise = increase(
                one, start, end, seen[one.labels.get("job", ""), one.labels.get("instance", "")]
            )
            if rise is None and (born := self.from_zero(one, window)) is not one:
                rise = increase(born, start, end)
            if rise is None and _concerns(one, start, end):
                return None
            total, found = total + (rise or 0.0), found or rise is not None
        return total if found else None

    def _is_of_a_new_pod(self, one: Series, window: Window) -> bool:
        """Did its pod appear in the window, as the looks at the pods tell?"""
        pod, start = one.labels.get("pod"), self._timeline.wall_s(window.start_ns)
        looks = [
            look["pods"]
            for look in self._record.pods
            if "pods" in look and int(look["mono_ns"]) <= window.start_ns
        ]
        known = {each["name"] for look in looks for each in look}
        return bool(looks) and pod is not None and pod not in known and one.times[0] > start

    def _between(self, one: Series, window: Window) -> tuple[float, float] | None:
        """By how much it rose from its first to its last sample inside, and the seconds between."""
        start, end = self._span(window)
        inside = [at for at in one.times if start < at <= end]
        if not inside or inside[-1] - inside[0] < APART_S:
            return None
        rise = increase(one, inside[0], inside[-1])
        return None if rise is None else (rise, inside[-1] - inside[0])

    def _span(self, window: Window) -> tuple[float, float]:
        """A window in Unix seconds."""
        return self._timeline.wall_s(window.start_ns), self._timeline.wall_s(window.end_ns)


def _concerns(one: Series, start: float, end: float) -> bool:
    """Does the window lie within its life, so that it cannot be left out?"""
    return value_at(one, start) is not None or (one.times[-1] > start and one.times[0] <= end)
