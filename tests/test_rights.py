"""What an experiment needs to be allowed: the undo first, then the lock, then the fault."""

from collections.abc import Callable

import pytest

from holdfast import rights
from holdfast.context import Context
from holdfast.errors import Refused
from holdfast.rights import GATEWAY, PODS, ZONES
from tests.fakes import FakeKubernetes

LOCK = [
    "get leases holdfast in own",
    "update leases holdfast in own",
    "create leases in own",
    "get leases holdfast-reaper in own",
]


def needed(module: str, *namespaces: str) -> list[str]:
    """The rights, in their order, as an administrator would write them."""
    return [str(one) for one in rights.needed(module, namespaces, "own")]


def test_a_gateway_needs_nothing_of_kubernetes_but_the_lock() -> None:
    assert needed(GATEWAY, "wallet") == LOCK


def test_a_zone_needs_its_nodes_back_before_they_go() -> None:
    assert needed(ZONES, "wallet") == [
        "list nodes",
        "get nodes",
        "patch nodes",
        "list pods in wallet",
        *LOCK,
        "patch nodes",
        "list deployments in wallet",
        "list statefulsets in wallet",
        "list daemonsets in wallet",
        "list poddisruptionbudgets in wallet",
        "get pods in wallet",
        "delete pods in wallet",
    ]


def test_pods_are_killed_in_each_namespace_that_is_allowed() -> None:
    found = needed(PODS, "b", "a")
    assert found[:2] == ["list pods in a", "list pods in b"]
    assert "list nodes" in found
    assert [one for one in found if one.startswith("delete")] == [
        "delete pods in a",
        "delete pods in b",
    ]
    assert "patch nodes" not in found


def test_a_module_of_somebody_else_is_not_known_to_need_anything() -> None:
    assert needed("theirs.actions", "wallet") == []


def test_the_parts_come_in_their_order_over_all_actions_and_each_right_once(
    wallet: Callable[..., Context],
) -> None:
    found = rights.granted(wallet().environment, (PODS, ZONES))
    parts = [one.part for one in found]
    assert parts == sorted(parts, key=("undo", "lock", "fault").index)
    assert len(found) == len(set(found))
    assert rights.words(found).startswith("undo: list pods in wallet, list nodes, get nodes")
    assert "; lock: get leases holdfast in holdfast" in rights.words(found)


@pytest.mark.row(21)
@pytest.mark.parametrize("lost", ["patch nodes", "get nodes", "list nodes", "list pods"])
def test_a_fault_whose_undo_is_not_allowed_is_refused(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes, lost: str
) -> None:
    """A permission that went away is found before the harm."""
    environment = wallet().environment
    kubernetes.forbidden = {lost}
    with pytest.raises(Refused, match=f"may not {lost}"):
        rights.granted(environment, [ZONES])


@pytest.mark.parametrize("lost", ["update leases", "create leases", "delete pods"])
def test_without_the_lock_or_the_fault_s_own_right_it_is_refused(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes, lost: str
) -> None:
    environment = wallet().environment
    kubernetes.forbidden = {lost}
    with pytest.raises(Refused, match=f"may not {lost}"):
        rights.granted(environment, [PODS])


def test_what_the_undo_misses_is_said_first(
    wallet: Callable[..., Context], kubernetes: FakeKubernetes
) -> None:
    environment = wallet().environment
    kubernetes.forbidden = {"patch nodes", "delete pods", "update leases"}
    with pytest.raises(Refused) as caught:
        rights.granted(environment, [PODS, ZONES])
    assert caught.value.reason.split("; ") == [
        "may not patch nodes (to uncordon a node again)",
        "may not update leases holdfast in holdfast (to take, renew and release it)",
        "may not delete pods in wallet (to kill pods)",
        "may not patch nodes (to cordon a node)",
    ]
