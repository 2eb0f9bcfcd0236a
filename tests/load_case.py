"""What the tests of the customers share: an environment, a journey, and a run of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast import customers
from holdfast.clock import until
from holdfast.customers import LOG, Customers, Tail
from holdfast.documents import Environment, JourneyFile, checked
from holdfast.model import Sample
from holdfast.store import LOAD_REPORT, Run

WAIT_S = 30.0


def environment(url: str, modules: Sequence[str] = (), **more: Any) -> Environment:
    """An environment whose customers enter at this URL."""
    data = {
        "name": "test",
        "kubernetes": {"kubeconfig": "none", "cluster_uid": "none"},
        "prometheus": {"url": "http://127.11.0.9:9090"},
        "toxiproxy": [],
        "customers": {
            "url": url,
            "values": {"accounts": ["acc-0001", "acc-0002", "acc-0003"], "payees": ["ext-0001"]},
            **more,
        },
        "workload": {"namespace": "wallet", "selector": "app=wallet-api"},
        "policy": {"namespaces": ["wallet"]},
        "modules": list(modules),
    }
    return checked(Environment, data, "test")


def journey(path: str = "/ok", limit: str = "5s", **more: Any) -> JourneyFile:
    """A GET of this path that is good when it answers 200."""
    data = {
        "request": {"method": "GET", "path": path},
        "good": {"status": [200]},
        "within": "1s",
        "limit": limit,
        **more,
    }
    if "steps" in more:
        del data["request"], data["good"]
    if "python" in more:
        del data["request"]
    return checked(JourneyFile, data, "test")


def transfer(path: str = "/transfers/pix", limit: str = "5s") -> JourneyFile:
    """A transfer: money moves, under an id of its own."""
    return journey(
        path,
        limit,
        request={
            "method": "POST",
            "path": path,
            "headers": {"Idempotency-Key": "${id}"},
            "body": {"account": "${account}", "amount_cents": "${amount}"},
        },
        good={"status": [200], "body": {"state": "settled"}},
        values={"account": {"pick": "accounts"}, "amount": {"between": [1, 5000]}},
        money=True,
    )


@dataclass
class Case:
    """Customers that run, and what they have recorded so far."""

    run: Run
    customers: Customers
    tail: Tail
    samples: list[Sample]

    def wait_for(self, settled: int) -> list[Sample]:
        """Wait until so many requests are settled."""

        def enough() -> bool:
            self.samples += self.tail.read()
            return len(self.samples) >= settled or not self.customers.alive()

        assert until(enough, seconds=WAIT_S)
        assert len(self.samples) >= settled, self.run.path(LOG).read_text()
        return self.samples

    def stop(self) -> list[Sample]:
        """Stop in good order; every sample of the run."""
        assert self.customers.stop()
        return list(self.run.samples())

    def report(self) -> dict[str, Any]:
        """The process's own account."""
        account: dict[str, Any] = self.run.read_json(LOAD_REPORT)
        return account


def start(
    root: Path,
    url: str,
    journeys: Mapping[str, JourneyFile],
    rates: Mapping[str, Any],
    max_seconds: float = 60.0,
    **more: Any,
) -> Case:
    """Start customers in a run folder of their own below `root`."""
    run = Run.create(root, "test")
    where = environment(url, **more)
    one = customers.start(run, where, journeys, rates, seed=7, max_seconds=max_seconds)
    return Case(run, one, Tail(run), [])
