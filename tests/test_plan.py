"""The plan: what is refused before anything is touched, and with which words."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast import plan
from holdfast.clock import SECOND, now_ns
from holdfast.documents import read_environment
from holdfast.errors import HoldfastError, InvalidInput, Refused, Unreachable
from tests.fakes import Broken, FakeKubernetes, FakePrometheus, absent
from tests.plan_case import HOST, PROXY, Here, everything
from tests.test_documents import ENVIRONMENT, JOURNEYS, OBJECTIVES, Json, changed


@pytest.fixture
def here(kubernetes: FakeKubernetes, prometheus: FakePrometheus, tmp_path: Path) -> Iterator[Here]:
    """Everything answers well."""
    with everything(kubernetes, prometheus, tmp_path) as found:
        yield found


# ── a good plan ───────────────────────────────────────────────────────────────────────────────────


def test_a_plan_names_its_targets_and_every_system(here: Here) -> None:
    made = here.make()
    assert made.targets == [
        {
            "proxy": "pix-primary",
            "toxiproxy": here.document["toxiproxy"][0]["url"],
            "listen": "127.10.0.11:9101",
            "upstream": "127.10.0.12:8101",
        }
    ]
    assert made.systems["kubernetes"] == "v1.36.3"
    assert made.systems["prometheus"] == "3.5.0"
    assert set(made.systems.values()) == {"v1.36.3", "3.5.0", "2.12.0", "answers", "nobody has it"}
    assert made.hold_s() == (65.0, 90.0)
    assert made.expected_s() == 55 + 65 + 55


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("kill-wallet-pods", ["wallet-a"]),
        ("drop-zone", ["node-b", "wallet-b"]),
        ("dead-gateway", ["pix-primary"]),
    ],
)
def test_targets_are_resolved_to_names(here: Here, name: str, targets: list[str]) -> None:
    made = here.make(name)
    named = [one.get("pod") or one.get("node") or one.get("proxy") for one in made.targets]
    assert named == targets


def test_a_plan_touches_nothing(here: Here) -> None:
    here.make("drop-zone")
    here.make("slow-gateway")
    asked = {method for method, path in here.kubernetes.calls if "accessreviews" not in path}
    assert asked == {"GET"}
    assert {one.partition(" ")[0] for one in here.platform.asked} == {"GET"}
    assert sorted(here.kubernetes.pods) == [("wallet", f"wallet-{one}") for one in "abc"]


def test_a_plan_can_be_written_down(here: Here) -> None:
    """Run and judge read it again from the folder, without the files."""
    record = here.make().record()
    assert record["name"] == "slow-gateway"
    assert record["objectives"]["recovery"]["limit"] == 60.0
    assert record["extension"]["load"] == {"pix-transfer": 60.0, "balance": 40.0}
    assert set(record["journeys"]) == {"pix-transfer", "balance"}
    assert record["targets"]


def test_files_beside_the_experiment_come_first(here: Here) -> None:
    here.write("objectives.yaml", changed(OBJECTIVES, "recovery.limit", 30))
    assert here.read().objectives["recovery"].limit == 30.0


# ── files that do not fit together ────────────────────────────────────────────────────────────────


def test_a_hold_too_short_for_the_promise(here: Here) -> None:
    here.change("method.1.provider.arguments.at_most", "84s")
    words = here.refused()
    assert "method: customers-recover: at_most: 84 s cannot show a recovery" in words
    assert "It has to be 85s or more (promise + stable + longest limit + 5 s)" in words
    here.change("method.1.provider.arguments.at_most", "85s")
    assert here.read().hold_s() == (65.0, 85.0)


def test_a_hold_too_short_for_the_slowest_mechanism(here: Here) -> None:
    here.change("method.1.provider.arguments.at_least", "59s")
    assert "at_least: 59 s is shorter than the slowest mechanism that could react" in here.refused()
    here.change("method.1.provider.arguments.at_least", "60s")
    assert here.read().hold_s() == (60.0, 90.0)
    here.document = changed(here.document, "periods.node_grace", "55s")
    assert "It has to be 65s or more (longest of `periods:` + stable" in here.refused()


def test_a_kill_is_not_held_for_anybody(here: Here) -> None:
    """Nothing of it can be undone too early."""
    here.change("method.1.provider.arguments.at_least", "20s", name="kill-wallet-pods")
    assert here.read("kill-wallet-pods").hold_s() == (20.0, 90.0)


def test_at_least_and_at_most_the_wrong_way_round(here: Here) -> None:
    here.change("method.1.provider.arguments.at_least", "91s")
    assert "at_least is longer than at_most. Swap them" in here.refused()


def test_a_window_too_short_to_support_its_claim(here: Here) -> None:
    here.change("extensions.0.stable", "7s")
    words = here.refused()
    assert "stable: 7 s of balance at 40/s is 280 requests; a window needs 299" in words
    assert "Write 7.5s or more" in words


def test_a_phase_that_can_never_decide_success(here: Here) -> None:
    here.change("extensions.0.before", "20s")
    words = here.refused()
    assert "before: 20 s of pix-transfer at 60/s can never decide `success`" in words
    assert "which needs 2995 requests without a failure. Write 50s or more" in words
    here.change("extensions.0.before", "25s")
    here.read()
    here.change("extensions.0.after", "24s")
    assert "after: 24 s of pix-transfer" in here.refused()


def test_a_phase_that_can_never_decide_latency(here: Here) -> None:
    """It is never prolonged for that."""
    here.change("extensions.0.objectives", ["balance-latency"])
    here.change("extensions.0.after", "7s")
    words = here.refused()
    assert "after: 7 s of balance at 40/s can never decide `balance-latency`" in words
    assert "which needs 299 requests" in words


def test_an_objective_that_nobody_knows(here: Here) -> None:
    here.change("extensions.0.objectives", ["recovery", "autoscaling"])
    words = here.refused()
    assert "objectives: autoscaling: objectives.yaml does not have it. It has: recovery," in words


def test_a_journey_that_nobody_knows(here: Here) -> None:
    here.change("extensions.0.load", {"boleto": "40/s"})
    words = here.refused()
    assert "load: boleto: journeys.yaml does not have it. It has: pix-transfer, ted" in words


@pytest.mark.parametrize("objective", ["success", "pix-latency", "failover"])
def test_an_objective_about_a_journey_that_nobody_sends(here: Here, objective: str) -> None:
    here.change("extensions.0.load", {"balance": "40/s"})
    here.change("extensions.0.objectives", [objective])
    words = here.refused()
    assert f"objectives: {objective}: it is about pix-transfer, which is not in the load" in words
    assert "Add pix-transfer to `load:`, or leave the objective out" in words


def test_an_objective_that_needs_its_journey(here: Here) -> None:
    here.write("objectives.yaml", changed(OBJECTIVES, "pix-latency.journey", ...))
    assert "objectives.yaml: pix-latency: a latency needs its journey" in here.refused()


def test_money_without_a_ledger(here: Here) -> None:
    here.document = changed(here.document, "ledger", ...)
    words = here.refused()
    assert "objectives: money: the environment has no `ledger:`" in words


@pytest.mark.parametrize(
    "breakers",
    [
        {},
        {"ted": {"backup": "x", "failures": 1, "call_limit": "2s"}},
        {"pix-primary": {"failures": 10, "call_limit": "2s"}},
    ],
    ids=["none", "another", "without a backup"],
)
def test_failover_without_breaker_or_backup(here: Here, breakers: Json) -> None:
    here.document = changed(here.document, "breakers", breakers)
    words = here.refused()
    assert "failover: the environment's `breakers:` does not have pix-primary and its ba" in words


def test_failover_when_no_gateway_is_broken(here: Here) -> None:
    objectives = ["recovery", "failover"]
    here.change("extensions.0.objectives", objectives, name="kill-wallet-pods")
    assert "objectives: failover: the environment's `breakers:` does not" in here.refused(
        "kill-wallet-pods"
    )


def test_journeys_that_cannot_be_sent(here: Here) -> None:
    here.document = changed(here.document, "customers.values", {"accounts": ["acc-0001"]})
    words = here.refused()
    assert "journeys.yaml: pix-transfer: payee: the environment's customers.values has" in words
    here.document = changed(here.document, "customers.ca", "ca.pem")
    assert "is not https://" in here.refused()
    here.write("journeys.yaml", changed(JOURNEYS, "balance.request.path", "/${nobody}"))
    here.document = changed(ENVIRONMENT, "kubernetes.kubeconfig", "kubeconfig")
    assert "journeys.yaml: balance: ${nobody} is not among its values" in here.refused()


# ── policy ────────────────────────────────────────────────────────────────────────────────────────


def refusal(here: Here, name: str = "slow-gateway") -> str:
    with pytest.raises(Refused) as caught:
        here.make(name)
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_cluster(here: Here) -> None:
    here.kubernetes.uid = "cluster-2"
    assert refusal(here).startswith("cluster cluster-2: the environment file names cluster-1.")


def test_a_namespace_that_is_not_in_the_policy(here: Here) -> None:
    here.change("method.0.provider.arguments.namespace", "other", name="kill-wallet-pods")
    words = refusal(here, "kill-wallet-pods")
    assert words.startswith("namespace other: the policy allows wallet.")


def test_a_selector_that_matches_nothing(here: Here) -> None:
    here.change("method.0.provider.arguments.selector", "app=nobody", name="kill-wallet-pods")
    assert "pods: nothing matches that is ready" in refusal(here, "kill-wallet-pods")


def test_a_selector_that_is_empty(here: Here) -> None:
    here.change("method.0.provider.arguments.selector", "", name="kill-wallet-pods")
    assert "it is empty, which would match every pod" in refusal(here, "kill-wallet-pods")


def test_the_last_ready_replica(here: Here) -> None:
    for name in ("wallet-b", "wallet-c"):
        conditions = here.kubernetes.pods["wallet", name]["status"]["conditions"]
        conditions[0]["status"] = "False"
    words = refusal(here, "kill-wallet-pods")
    assert "1 of its 1 ready replicas would go, and none would be left" in words


def test_a_right_that_is_missing(here: Here) -> None:
    here.kubernetes.forbidden = {"patch nodes", "delete pods"}
    words = refusal(here, "drop-zone")
    assert "may not patch nodes (to uncordon a node again)" in words
    assert words.index("patch nodes") < words.index("delete pods")


@pytest.mark.parametrize(
    ("proxies", "words"),
    [
        ({}, "it does not exist. It has: none"),
        ({"pix-primary": {**PROXY, "enabled": False}}, "it is disabled"),
    ],
)
def test_a_proxy_that_is_not_as_it_should_be(here: Here, proxies: Json, words: str) -> None:
    here.platform.proxies = proxies
    assert words in refusal(here)


def test_a_proxy_that_the_policy_does_not_list(here: Here) -> None:
    here.document = changed(here.document, "policy.proxies", ["ted"])
    assert "the policy allows ted" in refusal(here)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"proxy": "pix-primary", "latency_ms": 0}, "latency_ms: 0 is too small"),
        ({"proxy": "pix-primary", "latency_ms": 5, "jitter_ms": 6}, "more than the latency"),
    ],
)
def test_numbers_that_break_nothing(here: Here, arguments: Json, words: str) -> None:
    here.change("method.0.provider.arguments", arguments)
    with pytest.raises(InvalidInput, match=words):
        here.make()


# ── systems that do not answer well ───────────────────────────────────────────────────────────────

SYSTEMS = ["kubernetes", "prometheus.url", "toxiproxy.0.url", "customers.url"]
SYSTEMS += ["ledger.transfers", "ledger.settlements"]


def elsewhere(here: Here, system: str, url: str) -> None:
    """One system is at another URL."""
    if system == "kubernetes":
        here.kubernetes.url = url
        here.kubernetes.kubeconfig(here.folder)
    else:
        here.document = changed(here.document, system, url)


def failed(ask: Callable[[], object], url: str) -> HoldfastError:
    """The error, which came within ten seconds, in one line that names the URL."""
    began = now_ns()
    with pytest.raises(Unreachable) as caught:
        ask()
    assert now_ns() - began < 10 * SECOND
    assert caught.value.exit_code == 6
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_that_is_absent(here: Here, system: str) -> None:
    url = absent(HOST)
    elsewhere(here, system, url)
    failed(here.make, url)


@pytest.mark.parametrize("kind", ["500", "html", "other", "empty", "redirect", "busy"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_that_answers_nonsense(here: Here, system: str, kind: str) -> None:
    """An entrance may answer its root with any page; only an error of its own is a sign."""
    with Broken(kind, HOST) as server:
        elsewhere(here, system, server.url)
        if system == "customers.url" and kind not in ("500", "empty"):
            here.make()
        else:
            failed(here.make, server.url)


def test_systems_that_never_answer(here: Here) -> None:
    """Silent, or a byte now and then: each is waited for a few seconds, all at the same time."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        asked = []
        for kind in ("silent", "drip"):
            servers = {one: stack.enter_context(Broken(kind, HOST)) for one in SYSTEMS}
            for system, server in servers.items():
                elsewhere(here, system, server.url)
            folder = here.folder / kind
            folder.mkdir()
            shutil.copy(here.folder / "kubeconfig", folder)
            environment = read_environment(Path(shutil.copy(here.environment, folder)))
            asked.append((servers, pool.submit(plan.problems, environment)))
        began = now_ns()
        for servers, answer in asked:
            errors = [str(one) for one in answer.result().values() if isinstance(one, Unreachable)]
            # Kubernetes is also asked for the lock, the rights, the policy and the reaper
            assert len(errors) == len(SYSTEMS) + 4
            assert all(any(server.url in one for one in errors) for server in servers.values())
        assert now_ns() - began < 9 * SECOND
