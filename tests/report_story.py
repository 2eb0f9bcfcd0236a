"""A run as the caller would tell it: a slow gateway, a breaker that was late, hostile names."""

import math
from datetime import UTC, datetime, timedelta

from holdfast.model import Finding, Interval, Objective, Observation
from holdfast.reports.record import (
    Bin,
    BreakerSpan,
    Event,
    Fault,
    LatencyBin,
    Limit,
    Phase,
    Proof,
    Report,
    ShareBin,
)
from holdfast.verdict import Verdict

HOSTILE = "<script>alert('x')</script>|\x1b[31mred\x1b[0m\n# top \u202egnp.exe {{ 7*7 }} [bold]b[/]"
ORIGIN = datetime(2026, 11, 23, 14, 4, 0, 250_000, tzinfo=UTC)
FAULT_S, UNDO_S, END_S = 60.0, 136.0, 196.0
PODS = ("wallet-api-6d5f9c7b8-4xk2p", "wallet-api-6d5f9c7b8-9wq7z", "wallet-api-6d5f9c7b8-tn5vd")
ZONES = ("sa-east-1a", "sa-east-1b", "sa-east-1c")

FINDINGS = (
    Finding(
        "money",
        "no cent lost, none paid twice",
        Verdict.HELD,
        "11,760 transfers match their postings and the gateways' settlements, each once.",
        ("differences",),
    ),
    Finding(
        "recovery",
        "back in under 1 minute",
        Verdict.BROKEN,
        "Customers had not recovered within the 76 s before the undo began; "
        "the end of the outage was ours.",
        ("recovery",),
    ),
    Finding(
        "success",
        "above 99.9 %",
        Verdict.UNKNOWN,
        "Failures before the fault are at most 0.12 % at 95 % confidence, which does not exclude "
        "the promised 0.1 %: 2,420 requests are too few.",
        ("success_before", "success_after"),
    ),
    Finding(
        "failover",
        "bad gateways are isolated, customers do not notice",
        Verdict.BROKEN,
        "The backup carried 61.2 % after the breaker opened; 99 % was promised.",
        ("time_to_open", "backup_share", "lost_requests"),
    ),
    Finding(
        "balance-latency",
        "at most 2 s",
        Verdict.HELD,
        "None of 7,840 balance queries was slower than 2 s.",
        ("balance_slow",),
    ),
    Finding("audit log", "every step is logged", Verdict.UNKNOWN, f"No log was read. {HOSTILE}"),
)

OBSERVATIONS = (
    Observation("differences", 0.0, "transfers", "ledger and settlements", samples=11760),
    Observation("recovery", Interval(76.0, math.inf), "s", "customers.csv", samples=19600),
    Observation("success_before", Interval(0.9988, 1.0), "ratio", "customers.csv", samples=2420),
    Observation("success_after", None, "ratio", "customers.csv", why="the phase was too short"),
    Observation("time_to_open", Interval(2.31, 3.31), "s", "breaker_state, 1 s apart", samples=228),
    Observation("backup_share", 0.6123, "ratio", "gateway_calls", samples=3410),
    Observation("lost_requests", 126.0, "requests", "customers.csv", samples=19600),
    Observation("balance_slow", 0.0, "ratio", "customers.csv", samples=7840),
)

OBJECTIVES = (
    Objective("recovery", "back in under 1 minute", 60.0, "s", "service agreement, section 4.2"),
    Objective("failover", "opens in time", 1.5, "ratio of its floor", "service agreement, 4.3"),
)


def _requests() -> tuple[Bin, ...]:
    bad = {61: 14, 62: 58, 63: 60, 64: 3, 74: 9, 75: 6, 88: 1, 137: 2}
    return tuple(Bin(float(t), 100 - bad.get(t, 0), bad.get(t, 0)) for t in range(196))


def _latency() -> tuple[LatencyBin, ...]:
    bins = []
    for t in range(196):
        wave = 1 + 0.25 * math.sin(t / 3) + 0.1 * math.sin(t * 1.7)
        hit = 60 <= t < 64 or t in (74, 75, 88)
        p50, p99 = (1.9, 8.4) if hit else (0.021 * wave, 0.083 * wave)
        bins.append(LatencyBin(float(t), "pix-transfer", p50, p99, p99 * 1.2))
        if not 100 <= t < 104:
            quick = 0.004 * wave
            bins.append(LatencyBin(float(t), "balance", quick, quick * 3, quick * (9 + t % 7)))
    return tuple(bins)


def _breakers() -> tuple[BreakerSpan, ...]:
    spans = []
    for n, pod in enumerate(PODS):
        at = FAULT_S + 2.4 + n * 0.4
        spans.append(BreakerSpan("pix-primary", pod, "closed", 0.0, at))
        while at < UNDO_S - 13:
            spans.append(BreakerSpan("pix-primary", pod, "open", at, at + 10))
            spans.append(BreakerSpan("pix-primary", pod, "half_open", at + 10, at + 12.4))
            at += 12.4
        spans.append(BreakerSpan("pix-primary", pod, "open", at, at + 10))
        spans.append(BreakerSpan("pix-primary", pod, "half_open", at + 10, at + 11))
        spans.append(BreakerSpan("pix-primary", pod, "closed", at + 11, END_S))
        spans.append(BreakerSpan("pix-backup", pod, "closed", 0.0, END_S))
    return tuple(spans)


def _zones() -> tuple[ShareBin, ...]:
    def share(t: int) -> dict[str, float]:
        first = round(1 / 3 + 0.02 * math.sin(t / 2), 4)
        second = round(1 / 3 + 0.02 * math.sin(t / 5 + 2), 4)
        return dict(zip(ZONES, (first, second, round(1 - first - second, 4)), strict=True))

    return tuple(ShareBin(float(t), share(t)) for t in range(196))


def _gateways() -> tuple[ShareBin, ...]:
    def share(t: int) -> dict[str, float]:
        if t == 101:
            return {}
        backup = 0.0 if t < 63 or t > 150 else 0.61 + 0.005 * (t % 3)
        return {"pix-primary": 0.8 * (1 - backup), "pix-backup": 0.8 * backup, "ted": 0.2}

    return tuple(ShareBin(float(t), share(t)) for t in range(196))


def _timeline() -> tuple[Event, ...]:
    def at(seconds: float, text: str) -> Event:
        return Event(ORIGIN + timedelta(seconds=seconds), text)

    return (
        at(0.0, "Customers started: pix-transfer 60/s, balance 40/s."),
        at(59.1, "Steady state met."),
        at(60.0, "Fault applied: pix-primary slowed by 8,000 ms."),
        at(62.4, "First breaker opened."),
        at(136.0, "Undo began."),
        at(136.2, "Undo verified: no toxic of this run is left."),
        at(196.0, f"Customers stopped. {HOSTILE}"),
    )


def story(**changes: object) -> Report:
    """The run, with some of its fields replaced."""
    fields: dict[str, object] = {
        "experiment": "slow-gateway.yaml",
        "title": "The primary PIX gateway turns slow and the backup carries the transfers",
        "run_id": "9f31c02ab7de",
        "folder": "runs/slow-gateway/20261123T140359.001Z",
        "environment": "lab",
        "started": ORIGIN - timedelta(seconds=1),
        "ended": ORIGIN + timedelta(seconds=204),
        "origin": ORIGIN,
        "exit_code": 1,
        "verdict": Verdict.BROKEN,
        "findings": FINDINGS,
        "observations": OBSERVATIONS,
        "objectives": OBJECTIVES,
        "fault": Fault("gateway.slow", "pix-primary", "8,000 ms latency", FAULT_S, UNDO_S),
        "witness": (
            Proof(
                "exposed", True, "The proxy and the wallet counted 3,598 calls in the 60 s before."
            ),
            Proof("struck", True, "Calls through the proxy took 8.01 s at the median afterwards."),
            Proof("lasting", None, "The last reading before the undo was lost: " + HOSTILE),
        ),
        "phases": (
            Phase("before", 0.0, 60.0),
            Phase("fault", 60.0, 60.3),
            Phase("hold", 60.3, 136.0),
            Phase("after", 136.0, 196.0),
        ),
        "timeline": _timeline(),
        "requests": _requests(),
        "latency": _latency(),
        "limits": (Limit("pix-transfer", 5.0, 2.0), Limit("balance", 2.0)),
        "breakers": _breakers(),
        "zone_share": _zones(),
        "gateway_share": _gateways(),
        "notes": (f"The gateways are simulated. {HOSTILE}",),
        "commands": ("holdfast judge runs/slow-gateway/20261123T140359.001Z",),
        "versions": {"holdfast": "0.1.0", "Kubernetes": "1.34.1", "Toxiproxy": "2.12.0"},
    }
    return Report(**(fields | changes))  # type: ignore[arg-type]
