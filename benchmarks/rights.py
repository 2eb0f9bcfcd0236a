"""What each of holdfast's service accounts may do on the running lab: `kubectl auth can-i --list`.

Asked of the API server itself (SelfSubjectRulesReview), with a token of each account. What every
account of every cluster may ask (itself, the API's own description) is left out.

Then what the admission policy costs: a dry run of a fault on a node, as holdfast and as the
administrator, whom no policy looks at; and how long after the lock changed hands the API server
still refuses its new token, since it compares with a copy.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from holdfast.clock import SECOND, now_ns
from lab import kubeconfig
from lab.addresses import Lab

ACCOUNTS = ("holdfast", "holdfast-reaper")
NAMESPACES = ("default", "holdfast", "kube-system", "wallet")
EVERYWHERE = "(cluster)"
MERGE = "application/merge-patch+json"
_OF_EVERYBODY = ("selfsubjectreviews", "selfsubjectrulesreviews")
_LIMIT_S = 10.0


@dataclass(frozen=True)
class Person:
    """Somebody who talks to the lab's API server."""

    session: requests.Session
    url: str

    def call(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer of one call."""
        headers = {"Content-Type": kind}
        answer = self.session.request(
            method, f"{self.url}{path}", json=body, headers=headers, timeout=_LIMIT_S
        )
        return answer.status_code, answer.json()


def person(lab: Lab, token: str) -> Person:
    """Whoever has that token."""
    session = requests.Session()
    session.trust_env = False  # a CA bundle named there would outrank the one named here
    session.verify = str(kubeconfig.certificate(lab))
    session.headers["Authorization"] = f"Bearer {token}"
    return Person(session, f"https://{lab.apiserver}")


def admin(lab: Lab) -> Person:
    """The lab's administrator."""
    return person(lab, kubeconfig.access(lab, kubeconfig.ADMIN).token)


def account(lab: Lab, name: str) -> Person:
    """A service account of namespace holdfast, with a token that lasts ten minutes."""
    path = f"/api/v1/namespaces/holdfast/serviceaccounts/{name}/token"
    _, answer = admin(lab).call("POST", path, {"spec": {"expirationSeconds": 600}})
    return person(lab, answer["status"]["token"])


def may(who: Person, namespace: str) -> set[str]:
    """Every right in that namespace, as `verb resource`, or `verb resource/NAME=name`."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    code, answer = who.call("POST", path, body)
    if code != 201 or answer["status"]["incomplete"]:
        raise SystemExit(f"the API server does not tell the rights whole: {answer}")
    return {one for rule in answer["status"]["resourceRules"] for one in _rights(rule)}


def _rights(rule: dict[str, Any]) -> Iterator[str]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            if resource in _OF_EVERYBODY:
                continue
            what = f"{resource}.{group}" if group else resource
            for name in rule.get("resourceNames") or [""]:
                yield from (f"{verb} {what} {name}".rstrip() for verb in rule["verbs"])


def table(lab: Lab, name: str) -> dict[str, set[str]]:
    """The rights of an account: those in every namespace, and those in one more."""
    who = account(lab, name)
    found = {namespace: may(who, namespace) for namespace in NAMESPACES}
    everywhere = set.intersection(*found.values())
    rest = {namespace: rights - everywhere for namespace, rights in found.items()}
    return {EVERYWHERE: everywhere} | {where: rights for where, rights in rest.items() if rights}


def _rows(name: str, found: dict[str, set[str]]) -> Iterator[tuple[str, str, str, str]]:
    for where, rights in found.items():
        by_object: dict[str, list[str]] = {}
        for right in sorted(rights):
            verb, what = right.split(" ", 1)
            by_object.setdefault(what, []).append(verb)
        for what, verbs in sorted(by_object.items()):
            yield what, ",".join(verbs), where, name


@dataclass(frozen=True)
class Fencing:
    """The lock and a fault that needs it, as a dry run."""

    boss: Person
    runner: Person

    def take(self, holder: str | None) -> str:
        """Give the lock to somebody; the token that is right from now on."""
        path = "/apis/coordination.k8s.io/v1/namespaces/holdfast/leases/holdfast"
        _, before = self.boss.call("GET", path)
        count = before["spec"].get("leaseTransitions", 0) + 1
        spec = {"holderIdentity": holder, "leaseTransitions": count}
        _, lease = self.boss.call("PATCH", path, {"spec": spec}, MERGE)
        return f"{lease['metadata']['uid']}/{count}"

    def fault(self, who: Person, token: str) -> tuple[int, float]:
        """Its status, and the milliseconds that it took."""
        marks = {"holdfast.io/run": "benchmark", "holdfast.io/token": token}
        body = {"metadata": {"annotations": marks}, "spec": {"unschedulable": True}}
        began = now_ns()
        code, _ = who.call("PATCH", "/api/v1/nodes/node-a?dryRun=All", body, MERGE)
        return code, (now_ns() - began) / SECOND * 1000

    def lag_ms(self) -> float:
        """From the answer to the lock's change until the new token is accepted."""
        token, began = self.take("benchmark"), now_ns()
        while self.fault(self.runner, token)[0] != 200:
            if now_ns() - began > _LIMIT_S * SECOND:
                raise SystemExit(f"the token {token} was not accepted within {_LIMIT_S:g} s")
        return (now_ns() - began) / SECOND * 1000


def _measured(lab: Lab, times: int) -> list[tuple[str, list[float]]]:
    fencing = Fencing(admin(lab), account(lab, "holdfast"))
    try:
        lags = [fencing.lag_ms() for _ in range(times)]
        token = fencing.take("benchmark")
        pairs = [
            (fencing.fault(fencing.runner, token)[1], fencing.fault(fencing.boss, token)[1])
            for _ in range(times)
        ]
    finally:
        fencing.take(None)
    ours, theirs = map(list, zip(*pairs, strict=True))
    return [
        ("a fault, as holdfast (ms)", ours),
        ("the same, as the administrator (ms)", theirs),
        ("new token accepted after (ms), that call included", lags),
    ]


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/rights.py --lab 1",
    )
    number = int(os.environ.get("HOLDFAST_LAB", "1"))
    parser.add_argument("--lab", type=int, default=number, help="number of the running lab")
    parser.add_argument("--times", type=int, default=100, help="measurements (default: 100)")
    arguments = parser.parse_args()
    lab = Lab.of(arguments.lab)
    rows = [row for name in ACCOUNTS for row in _rows(name, table(lab, name))]
    print(machine.table(["resource (and name)", "verbs", "where", "service account"], rows))
    figures = [
        [what, *(f"{of(found):.1f}" for of in (min, statistics.median, max))]
        for what, found in _measured(lab, arguments.times)
    ]
    print()
    print(machine.table([f"{arguments.times} times each", "min", "median", "max"], figures))
    print(machine.line())


if __name__ == "__main__":
    main()
