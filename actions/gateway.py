"""Break the way to a gateway, in Toxiproxy."""

from collections.abc import Mapping
from typing import Any

from holdfast import context, guard, heal
from holdfast.clock import now_ns
from holdfast.cluster import Cluster
from holdfast.context import Context
from holdfast.documents import Environment
from holdfast.errors import HoldfastError, InvalidInput, Refused
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
    instances, found = _aim(here.environment, asked, guard.Answers())
    marker = Toxic(heal.marker(here.run), "latency", {"latency": 0, "jitter": 0}, toxicity=0.0)
    for one in instances:
        heal.intend(
            here.run, "enable_proxy", {"url": one.url, "proxy": proxy, "marker": marker.name}
        )
    began = now_ns()
    try:
        for one in instances:
            one.add_toxic(proxy, marker)
            one.set_enabled(proxy, False)
    except HoldfastError:
        heal.undo_all(here.run, here.environment)  # everywhere or nowhere
        raise
    return _record(
        here, ("gateway.cut", began), [{**one, "toxic": marker.name} for one in found], asked
    )


def targets(
    _cluster: Cluster, environment: Environment, answers: guard.Answers, **arguments: Any
) -> list[dict[str, Any]]:
    """The proxy that would be hit now, on every Toxiproxy; `answers` keeps what the guards say.

    Raises:
        Refused: the policy forbids it, or the proxy is not as it should be.
    """
    return _aim(environment, arguments, answers)[1]


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
    instances = [*heal.open_systems(environment).toxiproxies.values()]
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
    instances, found = _aim(here.environment, asked, guard.Answers())
    toxic = Toxic(heal.mark(here.run, kind[0]), kind[1], attributes)
    proxy = asked["proxy"]
    for one in instances:
        heal.intend(here.run, "remove_toxic", {"url": one.url, "proxy": proxy, "toxic": toxic.name})
    began = now_ns()
    try:
        for one in instances:
            one.add_toxic(proxy, toxic)
    except HoldfastError:
        heal.undo_all(here.run, here.environment)  # everywhere or nowhere
        raise
    hit = [{**one, "toxic": toxic.name} for one in found]
    return _record(here, (f"gateway.{kind[0]}", began), hit, asked)


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
