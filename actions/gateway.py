"""Break the way to a gateway, in Toxiproxy."""

from collections.abc import Callable, Mapping
from typing import Any

from holdfast import context, guard, heal, lock, supervision
from holdfast.clock import now_ns
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.documents import Environment
from holdfast.errors import InvalidInput, Refused
from holdfast.model import Heal
from holdfast.toxiproxy import Toxic, Toxiproxy

__all__ = ["cut", "reset", "slow", "throttle"]


def slow(
    proxy: str,
    latency_ms: int,
    jitter_ms: int = 0,
    configuration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Delay every answer of a gateway by so many milliseconds, give or take the jitter.

    Raises:
        Refused: the policy forbids it, or the proxy is not as it should be.
        FaultNotApplied: not on every Toxiproxy, or it does not read back; nothing is left then.
    """
    asked = {"proxy": proxy, "latency_ms": latency_ms, "jitter_ms": jitter_ms}
    attributes = {"latency": latency_ms, "jitter": jitter_ms}
    return _poison(context.of(configuration), asked, ("slow", "latency"), attributes)


def reset(
    proxy: str, timeout_ms: int = 0, configuration: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Break every connection to a gateway with a TCP reset, at once or after so long.

    Raises:
        Refused: the policy forbids it, or the proxy is not as it should be.
        FaultNotApplied: not on every Toxiproxy, or it does not read back; nothing is left then.
    """
    asked = {"proxy": proxy, "timeout_ms": timeout_ms}
    return _poison(
        context.of(configuration), asked, ("reset", "reset_peer"), {"timeout": timeout_ms}
    )


def throttle(
    proxy: str, rate_kbps: int, configuration: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Let a gateway's answers through at so many kilobytes a second and no faster.

    Raises:
        Refused: the policy forbids it, or the proxy is not as it should be.
        FaultNotApplied: not on every Toxiproxy, or it does not read back; nothing is left then.
    """
    asked = {"proxy": proxy, "rate_kbps": rate_kbps}
    return _poison(context.of(configuration), asked, ("throttle", "bandwidth"), {"rate": rate_kbps})


def cut(proxy: str, configuration: dict[str, Any] | None = None) -> dict[str, Any]:
    """Close a gateway's port: connections break, and new ones are refused.

    A proxy that is disabled cannot say who did it; a toxic that hits no connection says it.

    Raises:
        Refused: the policy forbids it, or the proxy is not as it should be.
        FaultNotApplied: not on every Toxiproxy, or it does not read back; nothing is left then.
    """
    here = context.of(configuration)
    asked = {"proxy": proxy}
    instances, found = _aim_with_the_lock(here, asked)
    name = heal.toxic_name(here.run, "cut")
    marker = Toxic(name, "latency", {"latency": 0, "jitter": 0}, toxicity=0.0)
    heals = [heal.intend(here.run, "enable_proxy", {**was, "marker": name}) for was in _was(found)]

    def close(one: Toxiproxy) -> None:
        one.add_toxic(proxy, marker)
        one.set_enabled(proxy, False)

    began = _inject(here, heals, instances, close)
    return _record(here, ("gateway.cut", began), [{**one, "toxic": name} for one in found], asked)


def targets(
    _cluster: Cluster, environment: Environment, answers: guard.Answers, **arguments: Any
) -> list[dict[str, Any]]:
    """The proxy that would be hit now, on every Toxiproxy; `answers` keeps what the guards say.

    Raises:
        Refused: the policy forbids it, or the proxy is not as it should be.
    """
    return _aim(environment, arguments, answers)[1]


def _aim_with_the_lock(
    here: Context, asked: Mapping[str, Any]
) -> tuple[list[Toxiproxy], list[dict[str, Any]]]:
    """As they are once this run has the lock, for which it may have waited."""
    aimed = _aim(here.environment, asked, guard.Answers())
    if supervision.ensure(here.run, here.environment):
        aimed = _aim(here.environment, asked, guard.Answers())
    return aimed


def _aim(
    environment: Environment, asked: Mapping[str, Any], answers: guard.Answers
) -> tuple[list[Toxiproxy], list[dict[str, Any]]]:
    """Every instance, and what it would lose; the guardrails have seen both."""
    for name, value in asked.items():
        least = 1 if name in ("latency_ms", "rate_kbps") else 0
        if name != "proxy" and value < least:
            raise InvalidInput(f"gateway: {name}", f"{value} is too small", f"From {least} on")
    if asked.get("jitter_ms", 0) > asked.get("latency_ms", 0):
        raise InvalidInput("gateway: jitter_ms", "it is more than the latency", "Write less")
    systems = heal.open_systems(environment)
    answers.ask(guard.check_cluster, environment, systems.cluster.uid())
    instances = [*systems.toxiproxies.values()]
    if not instances:
        raise Refused("toxiproxy", "the environment names none", "Add it, or break something else")
    found = []
    for one in instances:
        proxies = one.proxies()
        answers.ask(guard.check_proxy, asked["proxy"], proxies, environment.policy, one.url)
        now = proxies[asked["proxy"]]
        found.append(
            {
                "proxy": now.name,
                "toxiproxy": one.url,
                "listen": now.listen,
                "upstream": now.upstream,
            }
        )
    return instances, found


def _poison(
    here: Context, asked: dict[str, Any], kind: tuple[str, str], attributes: dict[str, int]
) -> dict[str, Any]:
    """Add one toxic on every instance; `kind` is our word for it and Toxiproxy's."""
    instances, found = _aim_with_the_lock(here, asked)
    toxic = Toxic(heal.toxic_name(here.run, kind[0]), kind[1], attributes)
    proxy, more = asked["proxy"], {"toxic": toxic.name, "attributes": attributes}
    heals = [heal.intend(here.run, "remove_toxic", {**was, **more}) for was in _was(found)]
    began = _inject(here, heals, instances, lambda one: one.add_toxic(proxy, toxic))
    hit = [{**one, "toxic": toxic.name} for one in found]
    return _record(here, (f"gateway.{kind[0]}", began), hit, asked)


def _was(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an undo has to know of each instance's proxy."""
    return [
        {"url": one["toxiproxy"], **{key: one[key] for key in ("proxy", "listen", "upstream")}}
        for one in found
    ]


def _inject(
    here: Context,
    heals: list[Heal],
    instances: list[Toxiproxy],
    change: Callable[[Toxiproxy], None],
) -> int:
    """Change every instance, or none; answers with the instant that the first call began, in ns.

    Toxiproxy cannot compare fencing tokens: the lock is renewed within a call's length before it.
    """
    began = 0
    with heal.injecting(here.run, here.environment, heals):
        for one in instances:
            lock.check(here.run, here.environment)
            began = began or now_ns()
            change(one)
    return began


def _record(
    here: Context, kind: tuple[str, int], hit: list[dict[str, Any]], asked: dict[str, Any]
) -> dict[str, Any]:
    """Write down that the fault took effect; `kind` is its name and when the call began, in ns."""
    fault = {
        "kind": kind[0],
        "began_ns": kind[1],
        "returned_ns": now_ns(),
        "reversible": True,
        "targets": hit,
        "asked": asked,
    }
    here.run.append("events.jsonl", {"event": "fault", **fault})
    return fault
