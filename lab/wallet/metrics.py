"""What a replica counts, by the names that operators know; every series exists from the start."""

import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lab.wallet.breaker import State

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
TYPE = "text/plain; version=0.0.4; charset=utf-8"

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped


class Metrics:
    """One replica's metrics."""

    def __init__(self, gateways: Iterable[str], outcomes: Iterable[str]) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Histogram(
            "wallet_request_duration_seconds",
            "Requests of customers.",
            ["route", "code"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._durations = Histogram(
            "wallet_transfer_duration_seconds",
            "Transfers, until the customer was answered.",
            ["rail", "outcome"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._calls = Histogram(
            "wallet_gateway_call_duration_seconds",
            "Calls that were made to a gateway.",
            ["gateway", "outcome", "trial"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._transfers = Counter(
            "wallet_transfers",
            "Transfers by outcome; one that the settling loop ends counts a second time then.",
            ["rail", "gateway", "outcome"],
            registry=registry,
        )
        self._breaker = BreakerMetrics(registry)
        self._up = _gauge(registry, "gateway_up", "Did the last check reach it?", ["gateway"])
        self._checked = _gauge(
            registry, "gateway_check_timestamp_seconds", "When it was last checked.", ["gateway"]
        )
        self.balance = _gauge(registry, "balance_cents", "Cents on all customers' accounts.", [])
        self.fees = Counter(
            "wallet_fee_revenue_cents", "Fees that this replica booked.", registry=registry
        )
        self.frauds = Counter(
            "wallet_fraud_refusals", "Orders refused by the fraud check.", registry=registry
        )
        for gateway in gateways:
            self._begin(gateway, outcomes)
        self._request = cache(self._requests.labels)
        self._duration = cache(self._durations.labels)
        self._call = cache(self._calls.labels)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def request(self, route: str, code: int, seconds: float) -> None:
        """A request was answered."""
        self._request(route, str(code)).observe(seconds)

    def transfer(self, rail: str, outcome: str, seconds: float) -> None:
        """A customer was told the outcome of a transfer."""
        self._duration(rail, outcome).observe(seconds)

    def ended(self, rail: str, gateway: str, outcome: str) -> None:
        """A transfer has come to that outcome."""
        self._transfers.labels(rail, gateway or "none", outcome).inc()

    def call(self, gateway: str, outcome: str, *, trial: bool, seconds: float) -> None:
        """A call to a gateway has ended."""
        self._call(gateway, outcome, "true" if trial else "false").observe(seconds)

    def breaker(self, gateway: str, before: State, after: State) -> None:
        """A breaker has changed its state."""
        self._breaker.changed(gateway, before, after)

    def checked(self, gateway: str, *, up: bool) -> None:
        """A gateway's connectivity was checked."""
        self._up.labels(gateway).set(up)
        self._checked.labels(gateway).set_to_current_time()

    def _begin(self, gateway: str, outcomes: Iterable[str]) -> None:
        rail = "pix" if gateway.startswith("pix") else gateway
        for outcome in outcomes:
            for trial in ("true", "false"):
                self._calls.labels(gateway, outcome, trial)
        for outcome in ("settled", "failed", "unknown", "refused"):
            self._transfers.labels(rail, gateway, outcome)
            self._durations.labels(rail, outcome)
        self._breaker.begin(gateway)
        self._up.labels(gateway)
        self._checked.labels(gateway)


class BreakerMetrics:
    """State, changes, and when each state was last entered (0: never), of every breaker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by_state = ["gateway", "state"]
        self._state = _gauge(registry, "breaker_state", "1 for the state it is in.", by_state)
        self._entered = _gauge(
            registry, "breaker_entered_timestamp_seconds", "When it was last entered.", by_state
        )
        self._transitions = Counter(
            "wallet_breaker_transitions",
            "Changes of state.",
            ["gateway", "from", "to"],
            registry=registry,
        )

    def begin(self, gateway: str) -> None:
        """A breaker that starts closed."""
        for before in State:
            self._entered.labels(gateway, before)
            for after in State:
                if after is not before:
                    self._transitions.labels(gateway, before, after)
        self._enter(gateway, State.CLOSED)

    def changed(self, gateway: str, before: State, after: State) -> None:
        """A breaker has changed its state."""
        self._transitions.labels(gateway, before, after).inc()
        self._enter(gateway, after)

    def _enter(self, gateway: str, entered: State) -> None:
        for state in State:
            self._state.labels(gateway, state).set(state is entered)
        self._entered.labels(gateway, entered).set(time.time())


def _gauge(registry: CollectorRegistry, name: str, meaning: str, labels: list[str]) -> Any:
    return Gauge(f"wallet_{name}", meaning, labels, registry=registry)
