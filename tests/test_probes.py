"""Probes look and never touch; what they cannot see is a no, with its reason."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import heal
from holdfast.actions import pods, zones
from holdfast.clock import SECOND, now_ns, until, wall_ns
from holdfast.context import KEY, Context
from holdfast.documents import JourneyFile, checked
from holdfast.errors import Unreachable
from holdfast.probes import breaker, landed, ledger, recovery, restart, sla
from holdfast.store import SAMPLES
from tests.conftest import configured
from tests.fakes import FakeKubernetes, FakePrometheus, absent, serving
from tests.plan_case import PROXY, FakePlatform
from tests.test_collect import Records, finished

pytestmark = pytest.mark.integration

HOST = "127.10.0.15"
HEADER = "journey,scheduled_ns,sent_ns,done_ns,outcome,code,id,account,amount_cents\n"
TOXIC = {
    "name": "holdfast-x-slow",
    "type": "latency",
    "stream": "downstream",
    "toxicity": 1.0,
    "attributes": {"latency": 8000, "jitter": 0},
}
JOURNEY = checked(
    JourneyFile,
    {
        "request": {"method": "GET", "path": "/"},
        "good": {"status": [200]},
        "within": "500ms",
        "limit": "1s",
    },
    "test",
)


@pytest.fixture
def here(make_here: Callable[..., Context]) -> Context:
    """A run with one journey, whose window of stability is two seconds."""
    made = make_here()
    made.run.write_json(
        "plan.json",
        {
            "environment": made.environment.model_dump(mode="json"),
            "journeys": {"balance": JOURNEY.model_dump(mode="json")},
            "extension": {"stable": 2.0},
        },
    )
    return made


def sent(here: Context, start: float, end: float, rate: float = 200.0, **bad: float) -> None:
    """Requests between two seconds (now is 0), of which those after `bad_from` are bad."""
    now = now_ns()
    number = round((end - start) * rate)
    rows = []
    for k in range(number):
        at = start + k / rate
        due = now + round(at * SECOND)
        failed = bad.get("bad_from", 999.0) <= at < bad.get("bad_to", 999.0)
        outcome, code = ("wrong", 503) if failed else ("ok", 200)
        rows.append(f"balance,{due},{due},{due + SECOND // 100},{outcome},{code},,,0\n")
    here.run.path(SAMPLES).write_text(HEADER + "".join(rows))


def fault(here: Context, began: float, **more: Any) -> None:
    """The fault took effect at that second."""
    at = now_ns() + round(began * SECOND)
    event = {"event": "fault", "kind": "gateway.slow", "targets": [], **more}
    here.run.append("events.jsonl", event | {"began_ns": at, "returned_ns": at})


# ── sla ───────────────────────────────────────────────────────────────────────────────────────────


def test_customers_who_are_served(here: Context) -> None:
    sent(here, -6, 0)
    assert sla.customers_served("5s", configuration=configured(here)) is True


@pytest.mark.parametrize(
    "samples",
    [
        {"start": -6, "end": 0, "bad_from": -3.0, "bad_to": -2.9},  # 20 of 1,200
        {"start": -6, "end": 0, "bad_from": -6.0},
        {"start": -60, "end": -30},  # nothing was sent lately
        {"start": -6, "end": 0, "rate": 2.0},  # too few to say
        {"start": 0, "end": 0},
    ],
    ids=["one in sixty", "all", "long ago", "too few", "none"],
)
def test_customers_who_are_not_served_well(here: Context, samples: dict[str, float]) -> None:
    sent(here, **samples)
    assert sla.customers_served("5s", configuration=configured(here)) is False


def test_without_any_customers_nobody_is_served(here: Context) -> None:
    assert sla.customers_served("5s", configuration=configured(here)) is False


# ── recovery ──────────────────────────────────────────────────────────────────────────────────────


def test_wait_ends_once_customers_have_recovered(here: Context) -> None:
    fault(here, -20)
    sent(here, -20, 0, bad_from=-19.0, bad_to=-15.0)
    answer = recovery.wait("5s", "60s", configuration=configured(here))
    assert answer["recovered"] is True
    assert answer["why"] == "customers had recovered"
    assert 20 <= answer["held_s"] < 25


def test_wait_holds_at_least_as_long_as_it_was_told(here: Context) -> None:
    fault(here, -20)
    sent(here, -20, 0.5)
    answer = recovery.wait("20.6s", "60s", configuration=configured(here))
    assert answer["recovered"] is True
    assert answer["held_s"] >= 20.6


def test_wait_gives_up_at_its_limit(here: Context) -> None:
    fault(here, -20)
    sent(here, -20, 0, bad_from=-19.0)
    answer = recovery.wait("5s", "20.5s", configuration=configured(here))
    assert answer["recovered"] is False
    assert answer["why"] == "the limit of 20.5s was reached"
    assert 20.5 <= answer["held_s"] < 25


def test_wait_does_not_end_on_a_stretch_that_an_outage_followed(here: Context) -> None:
    """Customers were well for ten seconds, and are not any more."""
    fault(here, -20)
    sent(here, -20, 0, bad_from=-5.0)
    assert recovery.wait("5s", "20.5s", configuration=configured(here))["recovered"] is False


def test_wait_has_nothing_to_hold_without_a_fault(here: Context) -> None:
    answer = recovery.wait("60s", "90s", configuration=configured(here))
    assert answer == {"held_s": 0.0, "recovered": False, "why": "no fault took effect"}


# ── landed ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def platform() -> Iterator[tuple[FakePlatform, str]]:
    """A Toxiproxy whose primary proxy carries our toxic."""
    fake = FakePlatform()
    fake.proxies = {"pix-primary": {**PROXY, "toxics": [TOXIC]}}
    with serving(HOST, fake.answer) as url:
        yield fake, url


def readbacks(here: Context) -> list[dict[str, Any]]:
    return here.run.records("samples/readbacks.jsonl")


def poisoned(make_here: Callable[..., Context], url: str) -> Context:
    here = make_here(toxiproxies=[url])
    arguments = {"url": url, "proxy": "pix-primary", "toxic": "holdfast-x-slow"}
    attributes = {"latency": 8000, "jitter": 0}
    heal.intend(here.run, "remove_toxic", {**arguments, "attributes": attributes})
    fault(here, -1)
    return here


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        ({"pix-primary": {**PROXY, "toxics": [TOXIC]}}, True),
        ({"pix-primary": {**PROXY, "toxics": [{**TOXIC, "name": "another"}]}}, False),
        ({"pix-primary": {**PROXY, "toxics": [{**TOXIC, "attributes": {"latency": 0}}]}}, False),
        ({"pix-primary": PROXY}, False),
        ({}, False),
    ],
    ids=["there", "another", "weakened", "gone", "no proxy"],
)
def test_a_toxic_is_read_back(
    make_here: Callable[..., Context],
    platform: tuple[FakePlatform, str],
    proxies: dict[str, Any],
    expected: bool,
) -> None:
    fake, url = platform
    fake.proxies = proxies
    here = poisoned(make_here, url)
    before = now_ns()
    assert landed.still_there(configured(here)) is expected
    (look,) = readbacks(here)
    assert look["in_place"] is expected
    assert bool(look["missing"]) is not expected
    assert before <= look["looked_ns"] <= look["mono_ns"]
    assert {one.split()[0] for one in fake.asked} == {"GET"}


def test_a_proxy_that_somebody_enabled_again(
    make_here: Callable[..., Context], platform: tuple[FakePlatform, str]
) -> None:
    fake, url = platform
    here = make_here(toxiproxies=[url])
    arguments = {"url": url, "proxy": "pix-primary", "marker": "holdfast-x-cut"}
    heal.intend(here.run, "enable_proxy", arguments)
    assert landed.still_there(configured(here)) is False
    fake.proxies = {"pix-primary": {**PROXY, "enabled": False}}
    assert landed.still_there(configured(here)) is True


def test_a_toxiproxy_that_does_not_answer_is_not_a_yes(make_here: Callable[..., Context]) -> None:
    url = absent(HOST)
    here = poisoned(make_here, url)
    assert landed.still_there(configured(here)) is False
    (look,) = readbacks(here)
    assert look["in_place"] is None
    assert url in look["error"]


def test_a_pod_that_was_killed_and_is_there_all_the_same(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    kept = kubernetes.pods["wallet", "wallet-a"]
    pods.kill("app=wallet-api", "wallet", count=1, configuration=configured(here))
    assert landed.still_there(configured(here)) is True
    kubernetes.pods["wallet", "wallet-a"] = kept
    assert landed.still_there(configured(here)) is False
    assert readbacks(here)[-1]["missing"] == ["pod wallet-a is still there"]


def test_a_zone_that_somebody_uncordoned(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet(allow_taint=True)
    zones.drop("sa-east-1b", ["wallet"], taint=True, configuration=configured(here))
    assert landed.still_there(configured(here)) is True
    node = kubernetes.nodes["node-b"]
    taints = node["spec"].pop("taints")
    assert landed.still_there(configured(here)) is False
    node["spec"]["taints"] = taints
    node["spec"]["unschedulable"] = False
    assert landed.still_there(configured(here)) is False
    del kubernetes.nodes["node-b"]
    assert landed.still_there(configured(here)) is False


# ── restart ───────────────────────────────────────────────────────────────────────────────────────


def test_replicas_that_are_ready(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    here = wallet()
    assert restart.replicas_ready(3, configuration=configured(here)) is True
    assert restart.replicas_ready(4, configuration=configured(here)) is False
    kubernetes.pods["wallet", "wallet-a"]["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    kubernetes.add_pod("another", "node-a", app="ledger")
    assert restart.replicas_ready(3, configuration=configured(here)) is False
    seen = {one["name"]: (one["zone"], one["ready"]) for one in restart.look(here)}
    assert seen == {
        "wallet-a": ("sa-east-1a", False),
        "wallet-b": ("sa-east-1b", True),
        "wallet-c": ("sa-east-1c", True),
    }


def test_replicas_that_nobody_can_see(make_here: Callable[..., Context], tmp_path: Path) -> None:
    here = make_here(kubeconfig="none")
    gone = FakeKubernetes()
    gone.url = absent(HOST)
    path = str(gone.kubeconfig(tmp_path))
    there = here.environment.kubernetes.model_copy(update={"kubeconfig": path})
    document = here.environment.model_copy(update={"kubernetes": there})
    here.run.write_json("plan.json", {"environment": document.model_dump(mode="json")})
    with pytest.raises(Unreachable, match=gone.url):
        restart.replicas_ready(1, configuration=configured(here))


# ── breaker ───────────────────────────────────────────────────────────────────────────────────────


def state(pod: str, value: str, name: str = "closed", gateway: str = "pix-primary") -> Any:
    metric = {"pod": pod, "gateway": gateway, "state": name}
    return {"metric": metric, "values": [[wall_ns() / SECOND, value]]}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ([state("a", "1"), state("b", "1"), state("c", "0", gateway="ted")], True),
        ([state("a", "1"), state("b", "0")], False),
        ([state("a", "1", name="open")], False),
        ([state("a", "NaN")], False),
        ([], False),
    ],
    ids=["all", "one is not", "another state", "NaN", "nobody reports"],
)
def test_breakers_that_are_closed(
    tmp_path: Path, prometheus: FakePrometheus, result: list[Any], expected: bool
) -> None:
    prometheus.result = result
    here = finished(tmp_path, prometheus.url)
    assert breaker.closed("pix-primary", configuration=configured(here)) is expected


# ── ledger ────────────────────────────────────────────────────────────────────────────────────────


class Unsettled(Records):
    """One transfer is still unknown."""

    WHOLE = b'{"id": "1", "state": "settled"}\n{"id": "2", "state": "unknown"}\n'
    ANSWERS = Records.ANSWERS | {
        "well": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(WHOLE), WHOLE)
    }


@pytest.mark.parametrize(("server", "expected"), [(Records, True), (Unsettled, False)])
def test_transfers_without_a_final_state(
    tmp_path: Path, server: type[Records], expected: bool
) -> None:
    with server("well", HOST) as records:
        here = finished(tmp_path, "http://127.10.0.13:9", records.url)
        assert ledger.nothing_unknown(1.5, configuration=configured(here)) is expected
        assert records.seen == ["GET /t?since=1.500000 HTTP/1.1"]


@pytest.mark.parametrize("kind", ["500", "html", "cut", "empty"])
def test_a_ledger_that_cannot_be_read_has_not_settled(tmp_path: Path, kind: str) -> None:
    with Records(kind, HOST) as records:
        here = finished(tmp_path, "http://127.10.0.13:9", records.url)
        with pytest.raises(Unreachable, match=records.url):
            ledger.nothing_unknown(0.0, configuration=configured(here))


# ── plain `chaos run` ─────────────────────────────────────────────────────────────────────────────


def test_under_plain_chaos_run_the_first_probe_starts_customers(
    make_here: Callable[..., Context],
) -> None:
    """Nobody else has; they end with the process that started them."""
    with serving(HOST, lambda *_: (200, {})) as url:
        run = make_here().run
        plan = run.read_json("plan.json")
        plan["environment"]["customers"] = {"url": url, "values": {}}
        plan["journeys"] = {"balance": JOURNEY.model_dump(mode="json")}
        plan["extension"] = {"load": {"balance": 40.0}, "stable": 2.0}
        run.write_json("plan.json", {**plan, "verdict": False})
        program = (
            "from holdfast.probes import sla\n"
            f"print(sla.customers_served('1s', configuration={{'{KEY}': '{run.folder}'}}))\n"
        )
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
        assert run.read_json("load_plan.json")["loads"] == {"balance": 40.0}
        process = run.read_json("samples/load.json")["pid"]
        assert until(lambda: not Path(f"/proc/{process}").exists(), seconds=10)
