"""Which signals holdfast reads, how they are named by default, and the only home of PromQL.

What decides a verdict asks for raw samples: measured, `rate()[1m]` tells of the end of an outage 44
to 60 s late. `increase` stands here for the guards only, which ask whether a service has been well
over minutes to weeks: late by one scrape changes nothing there, and counters that restart have to
be seen through. It misses what a series counted before its first scrape, so a share of failures can
read too low by one scrape's worth; the fast stop is therefore taken from the customers themselves.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Named:
    """A metric, its labels by role (what it means → what it is called here), a fixed matcher."""

    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)

    def label(self, role: str) -> str:
        """What the label of that role is called here."""
        return self.labels.get(role, role)


# Each with the roles of its labels. An environment file may rename metric and labels.
DEFAULTS: Mapping[str, Named] = {
    # histogram of the entrance (edge, ingress): route, code, upstream (pod uid), pod, zone
    "entrance": Named("edge_request_duration_seconds"),
    # histogram of the wallet's own calls: gateway, trial, and outcome, of which ok is the good one
    "gateway_calls": Named("wallet_gateway_call_duration_seconds"),
    # 1 for the state that the breaker is in, else 0: gateway, state (closed, open, half_open)
    "breaker_state": Named("wallet_breaker_state"),
    # when each state was last entered, in Unix seconds: gateway, state
    "breaker_entered": Named("wallet_breaker_entered_timestamp_seconds"),
    # bytes through a proxy: proxy, direction
    "proxy_bytes": Named("toxiproxy_proxy_received_bytes_total"),
    # 1 while an alert fires, written at each evaluation of its rule: alertname
    "alerts": Named("ALERTS", where={"alertstate": "firing"}),
    # is a target's metrics endpoint answering
    "up": Named("up"),
}


FRESH_S = 30  # seconds; an entrance whose newest sample is older says nothing about now
_STEPS = 100  # the instants of a window at which its coverage is looked at


NOW = "time()"  # the clock of Prometheus itself, in Unix seconds


def raw_samples(
    named: Named, seconds: float, suffix: str = "", limits: Iterable[float] = ()
) -> str:
    """The query for every raw sample of the last so many seconds.

    Of a histogram's buckets those of these limits, in seconds, alone; all, where none is named.
    """
    texts = (f"{limit:f}".rstrip("0").rstrip(".") for limit in limits)
    each = [re.escape(text) + ("0*" if "." in text else r"(\.0*)?") for text in texts]
    more = f'le=~"{_quoted("|".join(each))}"' if each else ""
    return f"{_series(named, suffix, more)}[{max(1, round(seconds))}s]"


def failed_shares(entrance: Named, windows: Iterable[int]) -> str:
    """For each window in seconds, by label `window`: the share of requests answered with 5xx.

    Nothing where no series tells its code; not a number where there was no request.
    """
    code = entrance.label("code")

    def share(seconds: int) -> str:
        failed = f"sum(increase({_series(entrance, '_count', f'{code}=~"5.."')}[{seconds}s]))"
        every = f"sum(increase({_series(entrance, '_count', f'{code}!=""')}[{seconds}s]))"
        return f"(({failed} or 0 * {every}) / {every})"

    return _by_window(share, windows)


def covered_shares(entrance: Named, windows: Iterable[int]) -> str:
    """For each window in seconds, by label `window`: how much of it has a sample not over 30 s old.

    Which series it came from does not matter, so that a pod that was replaced leaves no gap.
    """

    def share(seconds: int) -> str:
        step_ms = seconds * 1000 // _STEPS
        fresh = f"({age(entrance)} <= {FRESH_S})"
        return f"(count_over_time({fresh}[{seconds}s:{step_ms}ms]) / {_STEPS})"

    return _by_window(share, windows)


def age(entrance: Named) -> str:
    """Seconds since the entrance's newest sample; nothing where there is none."""
    return f"(time() - max(timestamp({_series(entrance, '_count')})))"


def _by_window(share: Callable[[int], str], windows: Iterable[int]) -> str:
    each = (f'label_replace({share(one)}, "window", "{one}", "", "")' for one in windows)
    return " or ".join(each)


def _series(named: Named, suffix: str = "", more: str = "") -> str:
    matchers = [f'{label}="{_quoted(value)}"' for label, value in named.where.items()]
    return f"{named.metric}{suffix}{{{','.join([*matchers, more] if more else matchers)}}}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
