"""What the policy forbids. Each guardrail has a case that passes and one that it alone refuses."""

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import guard
from holdfast.cluster import RUN, Node, Pod
from holdfast.context import Context
from holdfast.documents import Policy
from holdfast.errors import Refused
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


def test_a_namespace_that_is_not_on_the_list() -> None:
    guard.check_namespaces(["wallet"], policy())
    words = refused(lambda: guard.check_namespaces(["wallet", "kube-system"], policy()))
    assert words.startswith("namespace kube-system: the policy allows wallet.")
    assert "none is named" in refused(lambda: guard.check_namespaces([], policy()))
    assert "allows none" in refused(
        lambda: guard.check_namespaces(["wallet"], policy(namespaces=[]))
    )


@pytest.mark.parametrize("selector", ["", "  "])
def test_a_selector_that_would_match_everything(selector: str) -> None:
    guard.check_selector("app=wallet-api")
    assert "every pod" in refused(lambda: guard.check_selector(selector))


def test_one_of_three_replicas_may_go() -> None:
    guard.check_replicas(THREE[:1], THREE, policy())


def test_nothing_to_hit_is_no_fault() -> None:
    assert "nothing matches" in refused(lambda: guard.check_replicas([], THREE, policy()))
    lax = policy(allow_outage=True)
    assert "nothing matches" in refused(lambda: guard.check_replicas([], THREE, lax))


def test_the_last_ready_replica_stays() -> None:
    others = [pod("p2", ready=False), pod("p3", ready=False)]
    one = [pod("p1")]
    words = refused(lambda: guard.check_replicas(one, [*one, *others], policy()))
    assert "1 of its 1 ready replicas would go, and none would be left" in words
    guard.check_replicas(one, [*one, *others], policy(allow_outage=True))


def test_a_replica_on_its_way_out_does_not_count_as_left() -> None:
    leaving = Pod("p2", "wallet", "uid-p2", "node-b", "b", True, owner_uid="rs-1", deleting=True)
    words = refused(lambda: guard.check_replicas([pod("p1")], [pod("p1"), leaving], policy()))
    assert "1 of its 1 ready" in words


def test_each_workload_counts_by_itself() -> None:
    """A selector may match two workloads, or one pod of a workload by its own label."""
    single = pod("single", owner="rs-2")
    words = refused(lambda: guard.check_replicas([single], [*THREE, single], policy()))
    assert "the workload of wallet/single" in words
    bare = [pod("bare-1", owner=""), pod("bare-2", owner="")]
    assert "wallet/bare-1" in refused(lambda: guard.check_replicas(bare[:1], bare, policy()))


@pytest.mark.parametrize(
    ("share", "hit", "have", "allowed"),
    [(0.5, 1, 3, True), (0.5, 2, 4, True), (0.5, 2, 3, False), (0.3, 1, 3, False)],
)
def test_at_most_a_share_of_the_ready_replicas(
    share: float, hit: int, have: int, allowed: bool
) -> None:
    pods = [pod(f"p{number}") for number in range(have)]
    if allowed:
        guard.check_replicas(pods[:hit], pods, policy(max_share=share))
    else:
        words = refused(lambda: guard.check_replicas(pods[:hit], pods, policy(max_share=share)))
        assert (
            f"{hit} of its {have} ready replicas would go, the policy allows {share:.0%}" in words
        )


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


def test_a_proxy_that_the_policy_does_not_allow(make_here: Callable[..., Context]) -> None:
    """Without a list those that the breakers name are allowed."""
    proxies = {"pix-primary": proxy("pix-primary"), "ted": proxy("ted")}
    here, listed = make_here().environment, make_here(proxies=["ted"]).environment
    guard.check_proxy("pix-primary", proxies, here, "url")
    guard.check_proxy("ted", proxies, listed, "url")
    words = refused(lambda: guard.check_proxy("ted", proxies, here, "url"))
    assert "the policy allows pix-primary" in words
    words = refused(lambda: guard.check_proxy("pix-primary", proxies, listed, "url"))
    assert "the policy allows ted" in words


def test_a_proxy_that_is_not_as_it_should_be(make_here: Callable[..., Context]) -> None:
    here = make_here().environment
    cases = {
        "it does not exist": {"ted": proxy("ted")},
        "it is disabled": {"pix-primary": proxy("pix-primary", enabled=False)},
        "toxics are there already: holdfast-9-slow": {
            "pix-primary": proxy("pix-primary", "holdfast-9-slow")
        },
    }
    for words, proxies in cases.items():
        found = refused(lambda it=proxies: guard.check_proxy("pix-primary", it, here, "url"))  # type: ignore[misc]
        assert words in found


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
