"""What the policy forbids. Each guardrail has a case that passes and one that it alone refuses."""

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import guard
from holdfast.cluster import Budget, Node, Pod, Workload
from holdfast.context import Context
from holdfast.documents import Policy
from holdfast.errors import Refused
from holdfast.marks import RUN
from holdfast.toxiproxy import Proxy, Toxic


def policy(**given: Any) -> Policy:
    return Policy(**{"namespaces": ["wallet"], **given})


def pod(name: str, owner: str = "rs-1", *, ready: bool = True, zone: str = "a") -> Pod:
    return Pod(name, "wallet", f"uid-{name}", f"node-{zone}", zone, ready, owner_uid=owner)


def node(name: str, zone: str, *, ready: bool = True, cordoned: bool = False) -> Node:
    return Node(name, f"uid-{name}", zone, ready, cordoned)


def proxy(name: str, *toxics: str, enabled: bool = True) -> Proxy:
    there = {one: Toxic(one, "latency", {"latency": 1, "jitter": 0}) for one in toxics}
    return Proxy(name, "127.10.0.11:1", "127.10.0.12:1", enabled, there)


THREE = [pod("p1"), pod("p2", zone="b"), pod("p3", zone="c")]
ZONES = [node("n1", "a"), node("n2", "b"), node("n3", "c")]


def refused(call: Callable[[], object]) -> str:
    """The refusal, which names the thing, the reason and the next step."""
    with pytest.raises(Refused) as caught:
        call()
    error = caught.value
    assert error.thing
    assert error.reason
    assert error.next_step
    return str(error)


def test_another_cluster(make_here: Callable[..., Context]) -> None:
    environment = make_here().environment
    guard.check_cluster(environment, "cluster-1")
    assert "names cluster-1" in refused(lambda: guard.check_cluster(environment, "cluster-2"))


def test_a_namespace_that_is_not_on_the_list(make_here: Callable[..., Context]) -> None:
    here = make_here().environment
    guard.check_namespaces(["wallet"], here)
    words = refused(lambda: guard.check_namespaces(["wallet", "other"], here))
    assert words.startswith("namespace other: the policy allows wallet.")
    assert "none is named" in refused(lambda: guard.check_namespaces([], here))
    nothing = make_here(namespaces=[]).environment
    assert "allows none" in refused(lambda: guard.check_namespaces(["wallet"], nothing))


@pytest.mark.parametrize("selector", ["", "  "])
def test_a_selector_that_would_match_everything(selector: str) -> None:
    guard.check_selector("app=wallet-api")
    assert "every pod" in refused(lambda: guard.check_selector(selector))


def test_one_of_three_replicas_may_go() -> None:
    """A fifth of three is less than one; one may always go, if others stay."""
    guard.check_replicas(THREE[:1], THREE, 0.2)


def test_nothing_to_hit_is_no_fault() -> None:
    assert "nothing matches" in refused(lambda: guard.check_replicas([], THREE, 0.2))


def test_the_last_ready_replica_stays() -> None:
    others = [pod("p2", ready=False), pod("p3", ready=False)]
    one = [pod("p1")]
    words = refused(lambda: guard.check_replicas(one, [*one, *others], 0.5))
    assert "1 of its 1 ready replicas would go, and none would be left" in words


def test_a_replica_on_its_way_out_does_not_count_as_left() -> None:
    leaving = Pod("p2", "wallet", "uid-p2", "node-b", "b", True, owner_uid="rs-1", deleting=True)
    words = refused(lambda: guard.check_replicas([pod("p1")], [pod("p1"), leaving], 0.5))
    assert "1 of its 1 ready" in words


def test_each_workload_counts_by_itself() -> None:
    """A selector may match two workloads, or one pod of a workload by its own label."""
    single = pod("single", owner="rs-2")
    words = refused(lambda: guard.check_replicas([single], [*THREE, single], 0.5))
    assert "the workload of wallet/single" in words
    bare = [pod("bare-1", owner=""), pod("bare-2", owner="")]
    assert "wallet/bare-1" in refused(lambda: guard.check_replicas(bare[:1], bare, 0.5))


@pytest.mark.parametrize(
    ("share", "hit", "have", "allowed"),
    [
        (0.2, 1, 3, True),
        (0.2, 2, 9, False),
        (0.2, 2, 10, True),
        (0.2, 3, 10, False),
        (0.5, 2, 4, True),
        (0.5, 2, 3, False),
        (0.9, 2, 3, False),
        (0.9, 3, 5, False),
    ],
)
def test_at_most_a_share_of_the_ready_replicas_and_never_more_than_half(
    share: float, hit: int, have: int, allowed: bool
) -> None:
    pods = [pod(f"p{number}") for number in range(have)]
    if allowed:
        guard.check_replicas(pods[:hit], pods, share)
    else:
        words = refused(lambda: guard.check_replicas(pods[:hit], pods, share))
        assert f"{hit} of its {have} ready replicas would go, allowed is one or" in words


def test_one_pod_at_a_time_unless_the_policy_says_otherwise() -> None:
    assert guard.check_pods(THREE[:1], policy()) == "1, of 1 at most"
    words = refused(lambda: guard.check_pods(THREE[:2], policy()))
    assert words.startswith("pods: 2 would go, the policy allows 1.")
    guard.check_pods(THREE[:2], policy(max_pods=2))


@pytest.mark.parametrize(
    "name", ["kube-system", "kube-public", "holdfast", "monitoring", "vault", "our-chaos"]
)
def test_some_namespaces_are_never_hit_even_when_they_are_listed(
    make_here: Callable[..., Context], name: str
) -> None:
    """`our-chaos` is where holdfast itself runs there."""
    listed = make_here(namespaces=[name, "wallet"], never=["vault*"]).environment
    ours = listed.kubernetes.model_copy(update={"namespace": "our-chaos"})
    there = listed.model_copy(update={"kubernetes": ours})
    words = refused(lambda: guard.check_namespaces(["wallet", name], there))
    assert "is never hit, whatever the policy lists" in words
    assert "is never hit" in refused(lambda: guard.check_never([name], there))
    guard.check_namespaces(["wallet"], there)


PROTECTED = {"holdfast.io/protected": "true"}


@pytest.mark.parametrize(
    ("pods", "nodes", "labels", "thing"),
    [
        ([Pod("p1", "wallet", "u", "n", "a", True, PROTECTED)], [], {}, "pod wallet/p1"),
        ([], [Node("n1", "u", "a", True, False, labels=PROTECTED)], {}, "node n1"),
        ([Pod("p1", "wallet", "u", "n", "a", True, {"app": "x"})], [], PROTECTED, "deployment wal"),
    ],
    ids=["pod", "node", "workload"],
)
def test_what_is_protected_is_never_hit(
    pods: list[Pod], nodes: list[Node], labels: dict[str, str], thing: str
) -> None:
    owner = Workload("deployments", "x", "wallet", labels, {"matchLabels": {"app": "x"}})
    words = refused(lambda: guard.check_protected(pods, nodes, [owner], policy()))
    assert words.startswith(thing)
    assert "it is protected: holdfast.io/protected" in words


@pytest.mark.parametrize(("value", "hit"), [("yes", False), ("1", False), ("false", True)])
def test_a_label_protects_unless_it_says_false(value: str, hit: bool) -> None:
    """As the cluster's own admission policy reads it."""
    pods = [Pod("p1", "wallet", "u", "n", "a", True, {"holdfast.io/protected": value})]
    if hit:
        guard.check_protected(pods, [], [], policy())
    else:
        assert "protected" in refused(lambda: guard.check_protected(pods, [], [], policy()))


@pytest.mark.parametrize(
    ("selector", "labels", "hit"),
    [
        ("tier=ledger", {"tier": "ledger"}, True),
        ("tier=ledger", {"tier": "web"}, False),
        ("tier=ledger,zone", {"tier": "ledger"}, False),
        ("tier=ledger,zone", {"tier": "ledger", "zone": "a"}, True),
        ("tier", {"tier": ""}, True),
        ("tier=", {"tier": "ledger"}, False),
    ],
)
def test_the_policy_protects_by_label(selector: str, labels: dict[str, str], hit: bool) -> None:
    pods = [Pod("p1", "wallet", "u", "n", "a", True, labels)]
    ours = policy(protected=[selector])
    if hit:
        assert f"protected: {selector}" in refused(
            lambda: guard.check_protected(pods, [], [], ours)
        )
    else:
        guard.check_protected(pods, [], [], ours)


def budget(allowed: int | None, selector: dict[str, Any] | None) -> Budget:
    return Budget("wallet-api", "wallet", selector, allowed)


def test_a_kill_that_a_disruption_budget_would_not_allow() -> None:
    """Deleting a pod does not ask the budget; so it is asked here."""
    everything: dict[str, Any] = {}
    guard.check_disruption(THREE[:1], [budget(1, everything)])
    words = refused(lambda: guard.check_disruption(THREE[:1], [budget(0, everything)]))
    assert words.startswith("disruption budget wallet/wallet-api: 1 of its pods would go, 0 may.")
    assert "not known" in refused(lambda: guard.check_disruption(THREE[:1], [budget(None, {})]))


@pytest.mark.parametrize(
    ("selector", "covers"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "a"}}, True),
        ({"matchLabels": {"app": "b"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "no", "operator": "NotIn", "values": ["a"]}]}, True),
    ],
)
def test_a_budget_covers_the_pods_that_its_selector_matches(
    selector: dict[str, Any] | None, covers: bool
) -> None:
    mine = Pod("p1", "wallet", "u", "n", "a", True, {"app": "a"})
    assert budget(0, selector).covers(mine) is covers
    elsewhere = Pod("p1", "other", "u", "n", "a", True, {"app": "a"})
    assert not budget(0, selector).covers(elsewhere)


def test_a_lost_zone_tells_what_it_takes_of_the_budgets_and_is_not_refused_for_it() -> None:
    """A real loss does not ask, either; replicas and zones have limits of their own."""
    words = guard.disruption_of_a_zone(THREE[:2], [budget(1, {})])
    assert words == "wallet/wallet-api: 2 go, 1 may"


def test_a_zone_that_does_not_exist() -> None:
    guard.check_zone("b", ZONES, policy())
    assert "Zones: a, b, c" in refused(lambda: guard.check_zone("d", ZONES, policy()))
    unlabelled = [*ZONES, node("n4", "")]
    assert "no node is in it" in refused(lambda: guard.check_zone("", unlabelled, policy()))


@pytest.mark.parametrize(
    "other", [node("n3", "c", cordoned=True), node("n3", "c", ready=False)], ids=["cordon", "lost"]
)
def test_a_second_zone_at_a_time(other: Node) -> None:
    nodes = [*ZONES[:2], other]
    words = refused(lambda: guard.check_zone("b", nodes, policy()))
    assert "b, c would be down, the policy allows 1 at a time" in words
    guard.check_zone("b", [*nodes, node("n4", "c")], policy())


def test_a_zone_that_holds_more_than_half_of_the_nodes() -> None:
    nodes = [node("n1", "a"), node("n2", "b"), node("n3", "b")]
    words = refused(lambda: guard.check_zone("b", nodes, policy()))
    assert "2 of 3 nodes would go, half of anything is the most" in words


def test_a_policy_without_zones() -> None:
    assert "allows 0" in refused(lambda: guard.check_zone("b", ZONES, policy(max_zones=0)))


def test_a_zone_where_somebody_works_already() -> None:
    cordoned = [ZONES[0], node("n2", "b", cordoned=True), ZONES[2]]
    assert "somebody has cordoned it" in refused(lambda: guard.check_zone("b", cordoned, policy()))
    ours = [Node("n2", "u", "b", True, True, annotations={RUN: "run9"})]
    assert "run run9 has cordoned it" in refused(lambda: guard.check_zone("b", ours, policy()))


def test_a_taint_needs_its_own_line() -> None:
    guard.check_taint(policy(allow_taint=True))
    assert "policy.allow_taint" in refused(lambda: guard.check_taint(policy()))


def test_a_proxy_that_the_policy_does_not_list() -> None:
    """Without a list none is allowed."""
    proxies = {"pix-primary": proxy("pix-primary"), "ted": proxy("ted")}
    guard.check_proxy("ted", proxies, policy(proxies=["ted"]), "url")
    words = refused(
        lambda: guard.check_proxy("pix-primary", proxies, policy(proxies=["ted"]), "url")
    )
    assert "the policy allows ted" in words
    words = refused(lambda: guard.check_proxy("ted", proxies, policy(), "url"))
    assert "the policy allows none" in words


@pytest.mark.parametrize(
    ("words", "there"),
    [
        ("it does not exist", proxy("ted")),
        ("it is disabled", proxy("pix-primary", enabled=False)),
        ("toxics are there already: holdfast-9-slow", proxy("pix-primary", "holdfast-9-slow")),
    ],
)
def test_a_proxy_that_is_not_as_it_should_be(words: str, there: Proxy) -> None:
    ours = policy(proxies=["pix-primary"])
    assert words in refused(
        lambda: guard.check_proxy("pix-primary", {there.name: there}, ours, "url")
    )


def test_the_victims_of_a_zone_are_all_that_run_there() -> None:
    leaving = Pod("p0", "wallet", "uid-p0", "node-a", "a", True, deleting=True)
    pods = [pod("p9"), pod("p2", zone="b"), pod("p1", ready=False), leaving]
    assert [one.name for one in guard.victims_by_zone(pods, "a")] == ["p1", "p9"]


@pytest.mark.parametrize(
    ("count", "share", "zone", "names"),
    [
        (2, None, None, ["p1", "p2"]),
        (1, None, "c", ["p3"]),
        (None, 0.34, None, ["p1"]),
        (None, 0.67, None, ["p1", "p2"]),
    ],
)
def test_the_first_by_name_are_chosen(
    count: int | None, share: float | None, zone: str | None, names: list[str]
) -> None:
    unready = pod("p0", ready=False)
    chosen = guard.choose([*THREE[::-1], unready], count=count, share=share, zone=zone)
    assert [one.name for one in chosen] == names


def test_asking_for_none_or_for_more_than_there_are() -> None:
    cases: list[tuple[int | None, float | None, str | None, str]] = [
        (4, None, None, "4 were asked for and 3 are ready"),
        (0, None, None, "0 were asked for"),
        (-1, None, None, "-1 were asked for"),
        (None, 0.3, None, "0 were asked for and 3 are ready"),
        (1, None, "d", "nothing matches that is ready"),
    ]
    for count, share, zone, words in cases:
        with pytest.raises(Refused, match=words):
            guard.choose(THREE, count=count, share=share, zone=zone)
