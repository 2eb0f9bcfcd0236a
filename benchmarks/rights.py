"""What each of holdfast's service accounts may do on the running lab: `kubectl auth can-i --list`.

Asked of the API server itself (SelfSubjectRulesReview), with a token of each account. What every
account of every cluster may ask (itself, the API's own description) is left out.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import machine
from lab import kubeconfig
from lab.addresses import Lab

ACCOUNTS = ("holdfast", "holdfast-reaper")
NAMESPACES = ("default", "holdfast", "kube-system", "wallet")
EVERYWHERE = "(cluster)"
PATCH = "application/json-patch+json"
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


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example:\n  uv run python benchmarks/rights.py --lab 1",
    )
    number = int(os.environ.get("HOLDFAST_LAB", "1"))
    parser.add_argument("--lab", type=int, default=number, help="number of the running lab")
    lab = Lab.of(parser.parse_args().lab)
    rows = [row for name in ACCOUNTS for row in _rows(name, table(lab, name))]
    print(machine.table(["resource (and name)", "verbs", "where", "service account"], rows))
    print(machine.line())


if __name__ == "__main__":
    main()
