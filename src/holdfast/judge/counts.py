"""What the second source counted: the entrance, the wallet's own calls, the proxies' bytes.

A series that is absent, or that does not cover the window, is None and never zero.
"""

from collections.abc import Callable, Mapping

from holdfast.judge.timeline import Timeline
from holdfast.measure import Series, increase, number, parse, scrapes, value_at
from holdfast.model import Journey, Record, Window
from holdfast.signals import DEFAULTS


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

    def entered(self, journey: Journey, window: Window) -> float | None:
        """Requests of a journey that the entrance answered, whoever sent them."""
        return self._rise("entrance_count", lambda one: one.has(**journey.entrance), window)

    def calls(self, gateway: str, window: Window, **labels: str) -> float | None:
        """The wallet's own calls to a gateway, by all replicas."""
        return self._rise(
            "gateway_calls_count", lambda one: one.has(gateway=gateway, **labels), window
        )

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
        start, end = self._timeline.wall_s(window.start_ns), self._timeline.wall_s(window.end_ns)
        # what had ended before the run began, such as a replica that was replaced, says nothing
        begun = self._timeline.wall_s(self._timeline.start.mono_ns)
        total, found = 0.0, False
        for one in every:
            if not wanted(one) or not one.times or one.times[-1] < begun:
                continue
            rise = increase(
                one, start, end, seen[one.labels.get("job", ""), one.labels.get("instance", "")]
            )
            if rise is None and value_at(one, start) is not None:
                return None
            total, found = total + (rise or 0.0), found or rise is not None
        return total if found else None
