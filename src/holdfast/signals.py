"""Which signals holdfast reads, how they are named by default, and the only home of PromQL.

Every query asks for raw samples. `rate()` never appears: measured, `rate()[1m]` tells of the end of
an outage 44 to 60 s late.
"""

from collections.abc import Mapping
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
    # is a target's metrics endpoint answering
    "up": Named("up"),
}


def raw_samples(named: Named, seconds: float, suffix: str = "") -> str:
    """The query for every raw sample of the last so many seconds."""
    matchers = ",".join(f'{label}="{_quoted(value)}"' for label, value in named.where.items())
    return f"{named.metric}{suffix}{{{matchers}}}[{max(1, round(seconds))}s]"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
