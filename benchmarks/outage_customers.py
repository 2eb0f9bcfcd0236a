"""The customers of each service: started, looked after while they send, told how they ended."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.outage_trials import JOURNEY, LIMIT_S, RATE, WITHIN_S
from benchmarks.outage_usual import PROMETHEUS
from holdfast import customers
from holdfast.documents import Environment, JourneyFile, checked
from holdfast.samples import Track
from holdfast.store import LOAD_REPORT, Run

_LINES = 12  # of their log that are told when they failed


@dataclass(frozen=True)
class Sending:
    """The customers of one service."""

    number: int
    run: Run
    customers: customers.Customers

    @classmethod
    def start(cls, root: Path, number: int, address: str, max_seconds: float) -> "Sending":
        """From now on, 100 requests a second."""
        environment = {
            "name": "benchmark",
            "kubernetes": {"kubeconfig": "none", "cluster_uid": "none"},
            "prometheus": {"url": f"http://{PROMETHEUS}"},
            "toxiproxy": [],
            "customers": {"url": f"http://{address}", "values": {}},
            "workload": {"namespace": "none", "selector": "none=none"},
            "policy": {"namespaces": []},
        }
        journey = {
            "request": {"method": "GET", "path": "/"},
            "good": {"status": [200]},
            "within": f"{WITHIN_S}s",
            "limit": f"{LIMIT_S}s",
        }
        run = Run.create(root, f"service-{number}")
        started = customers.start(
            run,
            checked(Environment, environment, "benchmark"),
            {JOURNEY.name: checked(JourneyFile, journey, "benchmark")},
            {JOURNEY.name: RATE},
            seed=number,
            max_seconds=max_seconds,
        )
        return cls(number, run, started)

    def look(self) -> None:
        """Exit with what they said themselves, if they ended before they were told to."""
        if not self.customers.alive():
            self._fail("ended early")

    def stop(self) -> tuple[Track, dict[str, Any]]:
        """Every request that they sent, and their account of themselves; exits without either."""
        self.look()
        if not self.customers.stop():
            self._fail("were told to stop, and failed or had to be killed")
        account, track = (
            self.run.read_json(LOAD_REPORT),
            self.run.samples().of_journey(JOURNEY.name),
        )
        scheduled = account["journeys"][JOURNEY.name]["scheduled"]
        if account["ended"] != "stop" or account["open"] or len(track) != scheduled:
            self._fail(
                f"left {account['open']} requests open, {len(track)} of {scheduled} recorded"
            )
        return track, account

    def _fail(self, what: str) -> None:
        """Exit with what is known of their end."""
        path = self.run.path(LOAD_REPORT)
        account = self.run.read_json(LOAD_REPORT) if path.exists() else {}
        said = self.run.path(customers.LOG).read_text().splitlines()[-_LINES:] or ["nothing"]
        sys.exit(
            f"\nthe customers of service {self.number} {what}:"
            f" exit code {self.customers.process.poll()}, ended by {account.get('ended') or '?'},"
            f" {account.get('requests', 0)} requests sent, lateness {account.get('lateness_ms')}\n"
            "their log's last lines:\n  " + "\n  ".join(said)
        )
