"""What holdfast's service accounts may do, decided by the lab's real API server with real tokens.

Most attempts are server-side dry runs: every check of the API server is made, and nothing changes.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from benchmarks.rights import ACCOUNTS, EVERYWHERE, Person, account, admin, table
from holdfast import heal
from holdfast import lock as lock_module
from holdfast.clock import until
from holdfast.cluster import Cluster
from holdfast.documents import read_environment
from holdfast.errors import Refused
from holdfast.store import Run
from lab.addresses import Lab
from tests.lab.conftest import holdfast

pytestmark = pytest.mark.lab

LEASES = "/apis/coordination.k8s.io/v1/namespaces/holdfast/leases"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
PODS = "/api/v1/namespaces/wallet/pods"
MERGE = "application/merge-patch+json"
DRY = "?dryRun=All"
NODE = "/api/v1/nodes/node-a"
# our taint, with an effect that drives no wallet pod off its node
TAINT = {"key": "holdfast.io/dropped", "value": "run1", "effect": "PreferNoSchedule"}

RIGHTS = {
    "holdfast": {
        EVERYWHERE: {
            "get namespaces kube-system",
            "get nodes",
            "list nodes",
            "patch nodes",
            "create selfsubjectaccessreviews.authorization.k8s.io",
        },
        "default": {"create events"},
        "holdfast": {
            "create leases.coordination.k8s.io",
            "get leases.coordination.k8s.io holdfast",
            "update leases.coordination.k8s.io holdfast",
            "patch leases.coordination.k8s.io holdfast",
            "get leases.coordination.k8s.io holdfast-reaper",
        },
        "wallet": {
            "create events",
            "get pods",
            "list pods",
            "watch pods",
            "delete pods",
            "get deployments.apps",
            "list deployments.apps",
            "list statefulsets.apps",
            "list daemonsets.apps",
            "get replicasets.apps",
            "list replicasets.apps",
            "get poddisruptionbudgets.policy",
            "list poddisruptionbudgets.policy",
            "list networkpolicies.networking.k8s.io",
        },
    },
    "holdfast-reaper": {
        EVERYWHERE: {
            "get namespaces kube-system",
            "get nodes",
            "list nodes",
            "patch nodes",
            "create selfsubjectaccessreviews.authorization.k8s.io",
        },
        "default": {"create events"},
        "holdfast": {
            "create leases.coordination.k8s.io",
            "get leases.coordination.k8s.io holdfast",
            "update leases.coordination.k8s.io holdfast",
            "patch leases.coordination.k8s.io holdfast",
            "get leases.coordination.k8s.io holdfast-reaper",
            "update leases.coordination.k8s.io holdfast-reaper",
        },
    },
}


@pytest.fixture(scope="module")
def here(lab: dict[str, Any]) -> Lab:
    """The lab that runs."""
    return Lab.of(int(lab["name"].removeprefix("lab-")))


@pytest.fixture(scope="module")
def boss(here: Lab) -> Person:
    """The administrator: prepares what the tests need, and tidies up."""
    return admin(here)


@pytest.fixture(scope="module")
def runner(here: Lab) -> Person:
    """The service account that runs experiments."""
    return account(here, "holdfast")


@pytest.fixture(scope="module")
def reaper(here: Lab) -> Person:
    """The service account that heals when the runner is gone."""
    return account(here, "holdfast-reaper")


@dataclass
class Lock:
    """The lock's Lease, as the administrator sets it; the runner sees when that counts."""

    boss: Person
    runner: Person

    def set(self, holder: str, stop: str | None = None) -> str:
        """Give it a next holder (empty: nobody), stopped or not; the token that is now right.

        The API server compares with a copy of the lock that it watches, so it may lag a little.
        """
        path = f"{LEASES}/holdfast"
        count = self.boss.call("GET", path)[1]["spec"].get("leaseTransitions", 0) + 1
        body = {
            "metadata": {"annotations": {"holdfast.io/stop": stop}},
            "spec": {"holderIdentity": holder, "leaseTransitions": count},
        }
        code, lease = self.boss.call("PATCH", path, body, MERGE)
        assert code == 200, lease
        token = f"{lease['metadata']['uid']}/{count}"
        wanted = f"stopped: {stop}" if stop else token if holder else "nobody holds the lock"
        assert until(lambda: wanted in self._refusal(), seconds=5, every=0.01)
        return token

    def _refusal(self) -> str:
        """What is said to a fault with a wrong token, on a node that no test prepares."""
        body = {"metadata": marks("wrong")}
        return said(self.runner.call("PATCH", f"/api/v1/nodes/node-c{DRY}", body, MERGE))


@pytest.fixture
def lock(boss: Person, runner: Person) -> Iterator[Lock]:
    """The lock; nobody's again afterwards."""
    it = Lock(boss, runner)
    yield it
    it.set("")


@pytest.fixture
def pod(boss: Person) -> str:
    """The path of a wallet pod."""
    return f"{PODS}/{boss.call('GET', PODS)[1]['items'][0]['metadata']['name']}"


@pytest.fixture
def node(boss: Person) -> Iterator[Callable[..., None]]:
    """Sets node-a up as the administrator, with labels, annotations and spec; undone afterwards."""
    before = boss.call("GET", NODE)[1]

    def prepare(labels: Any = None, annotations: Any = None, **spec: Any) -> None:
        metadata = {"labels": labels or {}, "annotations": annotations or {}}
        code, answer = boss.call("PATCH", NODE, {"metadata": metadata, "spec": spec}, MERGE)
        assert code == 200, answer

    yield prepare
    now = boss.call("GET", NODE)[1]
    for part in ("labels", "annotations"):
        was, gone = before["metadata"].get(part, {}), now["metadata"].get(part, {})
        prepare(**{part: {key: was.get(key) for key in gone}})
    prepare(unschedulable=None, taints=None)


def change(who: Person, metadata: Any = None, dry: bool = True, **spec: Any) -> str:
    """What the API server says to a change of node-a: `ok`, or its code and words."""
    body = {"metadata": metadata or {}, "spec": spec}
    return said(who.call("PATCH", f"{NODE}{DRY if dry else ''}", body, MERGE))


def said(answer: tuple[int, dict[str, Any]]) -> str:
    """An answer in short."""
    code, document = answer
    return "ok" if code in (200, 201) else f"{code} {document['message']}"


def marks(token: str = "", **others: Any) -> dict[str, Any]:
    """The annotations that a fault leaves on a node."""
    wanted = {"holdfast.io/run": "run1"} | ({"holdfast.io/token": token} if token else {})
    return {"annotations": wanted, **others}


def unmarked(*keys: str) -> dict[str, Any]:
    """Annotations taken away."""
    return {"annotations": dict.fromkeys(keys)}


def retaint(who: Person, boss: Person, ours: list[dict[str, Any]]) -> None:
    """Write our taints on node-a beside those of others, which change: it follows each cordon."""

    def done() -> bool:
        taints = boss.call("GET", NODE)[1]["spec"].get("taints", [])
        theirs = [one for one in taints if one["key"] != TAINT["key"]]
        return change(who, dry=False, taints=[*theirs, *ours]) == "ok"

    assert until(done, seconds=2, every=0.05)


def refused(answer: str, words: str) -> bool:
    """Is it a 403 of the admission policy with these words?"""
    return (
        answer.startswith("403")
        and "ValidatingAdmissionPolicy 'holdfast-" in answer
        and (words in answer)
    )


# ── rights ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ACCOUNTS)
def test_a_service_account_may_do_this_and_no_more(here: Lab, name: str) -> None:
    """The equivalent of `kubectl auth can-i --list`, in four namespaces."""
    assert table(here, name) == RIGHTS[name]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/kube-system/secrets"),
        ("GET", "/api/v1/namespaces/wallet/secrets"),
        ("GET", "/api/v1/namespaces/holdfast/secrets"),
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/namespaces/kube-system/pods"),
        ("DELETE", f"/api/v1/namespaces/kube-system/pods/any{DRY}"),
        ("DELETE", f"{PODS}{DRY}"),
        ("DELETE", f"{NODE}{DRY}"),
        ("DELETE", f"/api/v1/namespaces/wallet{DRY}"),
        ("DELETE", f"{LEASES}/holdfast{DRY}"),
        ("POST", f"/api/v1/namespaces/holdfast/serviceaccounts/holdfast/token{DRY}"),
        ("PATCH", f"/apis/apps/v1/namespaces/wallet/deployments/wallet-api{DRY}"),
        ("PATCH", f"{NODE}/status{DRY}"),
    ],
)
def test_what_nobody_granted_is_refused(
    runner: Person, reaper: Person, method: str, path: str
) -> None:
    """RBAC, before any policy is asked."""
    for who in (runner, reaper):
        kind = MERGE if method == "PATCH" else "application/json"
        code, answer = who.call(method, path, {} if method == "PATCH" else None, kind)
        assert code == 403, answer
        assert "cannot" in answer["message"]


def test_the_reaper_deletes_no_pod(reaper: Person, lock: Lock, pod: str) -> None:
    lock.set("run1")
    assert "cannot delete resource" in said(reaper.call("DELETE", f"{pod}{DRY}"))


# ── pods ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_pod_of_an_allowed_namespace_may_be_deleted(
    runner: Person, lock: Lock, boss: Person, pod: str
) -> None:
    lock.set("run1")
    uid = boss.call("GET", pod)[1]["metadata"]["uid"]
    assert said(runner.call("DELETE", f"{pod}?gracePeriodSeconds=0")) == "ok"
    assert boss.call("GET", pod)[1].get("metadata", {}).get("uid") != uid


@pytest.mark.parametrize(("value", "kept"), [("true", True), ("yes", True), ("false", False)])
def test_a_protected_pod_stays(
    runner: Person, lock: Lock, boss: Person, pod: str, value: str, kept: bool
) -> None:
    """A person who writes `yes` means it: only `false` takes the protection away."""
    lock.set("run1")
    labels = {"metadata": {"labels": {"holdfast.io/protected": value}}}
    assert boss.call("PATCH", pod, labels, MERGE)[0] == 200
    answer = said(runner.call("DELETE", f"{pod}{DRY}"))
    labels["metadata"]["labels"] = {"holdfast.io/protected": None}  # type: ignore[dict-item]
    assert boss.call("PATCH", pod, labels, MERGE)[0] == 200
    assert refused(answer, "labelled holdfast.io/protected") is kept


@pytest.fixture
def elsewhere(boss: Person) -> Iterator[Callable[[dict[str, str]], str]]:
    """A pod in a namespace of its own, where holdfast has every right that it has in `wallet`."""
    name = f"elsewhere-{token_hex(4)}"

    def make(labels: dict[str, str]) -> str:
        space = {"metadata": {"name": name, "labels": labels}}
        assert boss.call("POST", "/api/v1/namespaces", space)[0] == 201
        binding = {
            "metadata": {"name": "holdfast-pods"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "holdfast-pods",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "holdfast", "namespace": "holdfast"}],
        }
        bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings"
        assert boss.call("POST", bindings, binding)[0] == 201
        body: dict[str, Any] = {
            "metadata": {"name": "victim"},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": "it", "image": "none:1"}],
            },
        }
        path = f"/api/v1/namespaces/{name}/pods"
        assert until(lambda: boss.call("POST", path, body)[0] == 201, seconds=5, every=0.1)
        return f"{path}/victim"

    yield make
    boss.call("DELETE", f"/api/v1/namespaces/{name}")


def test_a_pod_of_a_namespace_that_is_not_labelled_stays_whatever_rbac_says(
    runner: Person, lock: Lock, boss: Person, elsewhere: Callable[[dict[str, str]], str]
) -> None:
    lock.set("run1")
    victim = elsewhere({})

    def answered(words: str) -> Callable[[], bool]:
        return lambda: words in said(runner.call("DELETE", f"{victim}{DRY}"))

    wanted = "the namespace is not labelled holdfast.io/allowed=true"
    assert until(answered(wanted), seconds=5, every=0.1)
    labels = {"metadata": {"labels": {"holdfast.io/allowed": "true"}}}
    assert boss.call("PATCH", victim.partition("/pods/")[0], labels, MERGE)[0] == 200
    assert until(answered("ok"), seconds=5, every=0.1)


def test_pods_are_not_deleted_while_nobody_holds_the_lock(
    runner: Person, lock: Lock, pod: str
) -> None:
    lock.set("")
    assert refused(said(runner.call("DELETE", f"{pod}{DRY}")), "nobody holds the lock")


def test_nothing_is_broken_once_somebody_pulled_the_lever(
    runner: Person, lock: Lock, pod: str
) -> None:
    token = lock.set("run1", stop="incident 4711")
    words = "stopped: incident 4711"
    assert refused(said(runner.call("DELETE", f"{pod}{DRY}")), words)
    assert refused(change(runner, marks(token), unschedulable=True), words)


# ── nodes ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_is_cordoned_and_tainted_with_the_right_token_and_given_back(
    runner: Person, lock: Lock, boss: Person, node: Callable[..., None]
) -> None:
    """For real, not as a dry run; and given back although the lock is nobody's by then."""
    token = lock.set("run1")
    assert change(runner, marks(token), dry=False, unschedulable=True) == "ok"
    retaint(runner, boss, [TAINT])
    lock.set("")
    keys = ("holdfast.io/run", "holdfast.io/token")
    assert change(runner, unmarked(*keys), dry=False, unschedulable=None) == "ok"
    retaint(runner, boss, [])
    assert TAINT not in boss.call("GET", NODE)[1]["spec"].get("taints", [])
    assert not boss.call("GET", NODE)[1]["spec"].get("unschedulable")


@pytest.mark.parametrize("who", ["runner", "reaper"])
@pytest.mark.parametrize("held", ["", "run2"])
def test_an_undo_is_always_possible(
    request: pytest.FixtureRequest,
    boss: Person,
    lock: Lock,
    node: Callable[..., None],
    who: str,
    held: str,
) -> None:
    """Whoever holds the lock by then, stopped or not, and on a node that is protected by now."""
    lock.set(held, stop="stop it")
    protected = {"holdfast.io/protected": "true"}
    node(labels=protected, **marks("old/1"), unschedulable=True, taints=[TAINT])
    person = request.getfixturevalue(who)
    assert (
        change(person, unmarked("holdfast.io/run", "holdfast.io/token"), unschedulable=None) == "ok"
    )
    retaint(person, boss, [])


@pytest.mark.row(39)
@pytest.mark.row(39)
@pytest.mark.parametrize(
    "token", ["", "nonsense", "{uid}/{before}", "00000000-0000-0000-0000-000000000000/{count}"]
)
def test_a_token_that_is_not_the_lock_s_is_refused(runner: Person, lock: Lock, token: str) -> None:
    """None at all, of an earlier holder, or of a lock that was made anew."""
    uid, count = lock.set("run2").split("/")
    stale = token.format(uid=uid, before=int(count) - 1, count=count)
    for spec in ({"unschedulable": True}, {"taints": [TAINT]}, {}):
        answer = change(runner, marks(stale), **spec)
        assert refused(answer, "is not that of the lock"), answer


def test_no_node_is_broken_while_nobody_holds_the_lock(runner: Person, lock: Lock) -> None:
    token = lock.set("")
    assert refused(change(runner, marks(token), unschedulable=True), "nobody holds the lock")


def test_a_node_that_is_protected_is_not_broken(
    runner: Person, lock: Lock, node: Callable[..., None]
) -> None:
    token = lock.set("run1")
    node(labels={"holdfast.io/protected": "true"})
    assert refused(
        change(runner, marks(token), unschedulable=True), "labelled holdfast.io/protected"
    )


def test_a_fault_without_a_mark_is_refused(runner: Person, lock: Lock) -> None:
    """Nobody could tell whose it is, or take it back."""
    metadata = {"annotations": {"holdfast.io/token": lock.set("run1")}}
    assert refused(change(runner, metadata, unschedulable=True), "carries the mark holdfast.io/run")


def test_the_reaper_only_undoes(reaper: Person, lock: Lock) -> None:
    token = lock.set("run1")
    for spec in ({"unschedulable": True}, {"taints": [TAINT]}, {}):
        answer = change(reaper, marks(token), **spec)
        assert refused(answer, "every other one only undoes"), answer


def test_a_cordon_of_somebody_else_is_not_lifted(
    runner: Person, reaper: Person, node: Callable[..., None]
) -> None:
    node(unschedulable=True)
    for who in (runner, reaper):
        assert refused(change(who, unschedulable=None), "cordoned, and not by holdfast")


@pytest.mark.parametrize(
    ("metadata", "spec", "words"),
    [
        ({"labels": {"holdfast.io/protected": None, "a": "b"}}, {}, "changes no labels"),
        ({"labels": {"topology.kubernetes.io/zone": "elsewhere"}}, {}, "changes no labels"),
        ({"annotations": {"cluster-autoscaler/off": "true"}}, {}, "changes no annotations"),
        ({"annotations": {"theirs": None}}, {}, "changes no annotations"),
        ({"annotations": {"theirs": "other"}}, {}, "changes no annotations"),
        ({}, {"taints": [{"key": "a", "effect": "NoExecute"}]}, "changes no taint"),
        ({}, {"taints": None}, "changes no taint"),
        ({}, {"providerID": "another"}, "changes nothing in a node's spec"),
        ({}, {"podCIDR": "10.1.2.0/24", "podCIDRs": ["10.1.2.0/24"]}, "changes nothing in a node"),
        ({"finalizers": ["a.b/c"]}, {}, "neither finalizers nor owners"),
    ],
    ids=str,
)
def test_nothing_else_of_a_node_changes(
    runner: Person,
    reaper: Person,
    lock: Lock,
    node: Callable[..., None],
    metadata: Any,
    spec: Any,
    words: str,
) -> None:
    """Even by the holder of the lock, with the right token."""
    token = lock.set("run1")
    node(annotations={"theirs": "stays"}, taints=[{"key": "theirs", "effect": "PreferNoSchedule"}])
    assert refused(change(reaper, metadata, **spec), words)
    fault = {
        **metadata,
        "annotations": {**metadata.get("annotations", {}), **marks(token)["annotations"]},
    }
    answer = change(runner, fault, **{"unschedulable": True} | spec)
    assert refused(answer, words), answer


def test_a_node_has_no_field_that_the_policy_does_not_know(boss: Person) -> None:
    """A later Kubernetes may add one, and a comparison field by field would not see it."""
    schemas = boss.call("GET", "/openapi/v3/api/v1")[1]["components"]["schemas"]
    known = {
        "configSource",
        "externalID",
        "podCIDR",
        "podCIDRs",
        "providerID",
        "taints",
        "unschedulable",
    }
    assert set(schemas["io.k8s.api.core.v1.NodeSpec"]["properties"]) == known


def test_everybody_else_is_left_alone(boss: Person, lock: Lock, pod: str) -> None:
    """The policy asks who makes the request before it asks anything else."""
    lock.set("", stop="stop it")
    assert change(boss, {"labels": {"a": "b"}, **marks("nonsense")}, unschedulable=True) == "ok"
    assert said(boss.call("DELETE", f"{pod}{DRY}")) == "ok"


# ── the lock ──────────────────────────────────────────────────────────────────────────────────────


def test_whoever_is_on_call_may_pull_the_lever_and_nothing_else(
    here: Lab, boss: Person, lock: Lock
) -> None:
    """The role holdfast-stop, bound to a person."""
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": f"on-call-{token_hex(4)}"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "holdfast-stop"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "maria"}],
    }
    bindings = f"/apis/{group}/v1/namespaces/holdfast/rolebindings"
    assert said(boss.call("POST", bindings, binding)) == "ok"
    maria = admin(here)
    maria.session.headers["Impersonate-User"] = "maria"
    path = f"{LEASES}/holdfast"
    lock.set("run1")
    stop = {"metadata": {"annotations": {"holdfast.io/stop": "incident 4711"}}}
    assert until(lambda: maria.call("GET", path)[0] == 200, seconds=5, every=0.05)
    assert said(maria.call("PUT", f"{path}{DRY}", maria.call("GET", path)[1])) == "ok"
    assert said(maria.call("PATCH", f"{path}{DRY}", stop, MERGE)) == "ok"
    assert "cannot delete" in said(maria.call("DELETE", f"{path}{DRY}"))
    assert "cannot patch" in change(maria, marks("x"), unschedulable=True)
    boss.call("DELETE", f"{bindings}/{binding['metadata']['name']}")  # type: ignore[index]


def test_the_lock_is_not_deleted_and_its_count_never_goes_back(boss: Person, lock: Lock) -> None:
    lock.set("run1")
    path = f"{LEASES}/holdfast"
    assert refused(said(boss.call("DELETE", f"{path}{DRY}")), "without the lock no fault is fenced")
    body = {"spec": {"leaseTransitions": 0}}
    assert refused(said(boss.call("PATCH", f"{path}{DRY}", body, MERGE)), "never goes back")


def test_a_missing_parameter_denies_everybody_when_the_binding_says_deny(
    boss: Person, here: Lab
) -> None:
    """Why fencing.yaml says `Allow`: who makes the request is asked only after the parameter."""
    name = "of-a-test"
    policy = {
        "metadata": {"name": name},
        "spec": {
            "paramKind": {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"},
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["configmaps"],
                        "resourceNames": [name],
                    }
                ]
            },
            "matchConditions": [
                {"name": "nobody", "expression": "request.userInfo.username == 'nobody'"}
            ],
            "validations": [{"expression": "false"}],
        },
    }
    ref = {"name": "absent", "namespace": "holdfast", "parameterNotFoundAction": "Deny"}
    spec = {"policyName": name, "validationActions": ["Deny"], "paramRef": ref}
    binding = {"metadata": {"name": name}, "spec": spec}
    kinds = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    for kind, body in zip(kinds, (policy, binding), strict=True):
        assert said(boss.call("POST", f"{POLICIES}/{kind}", body)) == "ok"
    path = f"/api/v1/namespaces/default/configmaps{DRY}"

    def answer() -> str:
        return said(boss.call("POST", path, {"metadata": {"name": name}}))

    try:
        assert until(lambda: "no params found" in answer(), seconds=10, every=0.05), answer()
    finally:
        for kind in kinds:
            boss.call("DELETE", f"{POLICIES}/{kind}/{name}")
    assert until(lambda: answer() == "ok", seconds=10, every=0.05)


# ── a pod of the lab ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run_in_pod(boss: Person, here: Lab) -> Iterator[Callable[[str, str], str]]:
    """Runs a Python program as a pod of a service account; answers with what it printed."""
    pods = "/api/v1/namespaces/holdfast/pods"
    name = f"test-{token_hex(4)}"

    def run(account_name: str, program: str) -> str:
        security = {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": "it",
            "image": "holdfast:0.1.0",
            "command": ["python", "-c"],
            "args": [f"{program}\nprint('done', flush=True)\nimport signal\nsignal.pause()"],
            "securityContext": security,
        }
        spec = {
            "serviceAccountName": account_name,
            "automountServiceAccountToken": True,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        }
        assert said(boss.call("POST", pods, {"metadata": {"name": name}, "spec": spec})) == "ok"
        log = here.logs / f"pod-{name}.log"
        assert until(lambda: log.exists() and "done" in log.read_text(), seconds=15, every=0.1)
        return log.read_text()

    yield run
    boss.call("DELETE", f"{pods}/{name}?gracePeriodSeconds=0")


@pytest.mark.parametrize("name", ACCOUNTS)
def test_a_pod_has_a_real_token_of_its_service_account_bound_to_the_pod(
    run_in_pod: Callable[[str, str], str], lab: dict[str, Any], name: str
) -> None:
    """It reads the cluster's uid with it, and is told no where its account has no right."""
    found = run_in_pod(
        name,
        "import base64, os, pathlib\n"
        "from holdfast.cluster import Cluster\n"
        "from holdfast.errors import Unreachable\n"
        "print(Cluster('in-cluster').uid())\n"
        "token = pathlib.Path(os.environ['HOLDFAST_SERVICEACCOUNT'], 'token').read_text()\n"
        "print(base64.urlsafe_b64decode(token.split('.')[1] + '==').decode())\n"
        "try: Cluster('in-cluster').pods('kube-system')\n"
        "except Unreachable as error: print(error)",
    ).splitlines()
    assert found[0] == lab["kubernetes"]["cluster_uid"]
    claims = json.loads(found[1])
    assert claims["sub"] == f"system:serviceaccount:holdfast:{name}"
    assert claims["kubernetes.io"]["pod"]["name"].startswith("test-")
    assert "no right to list pods in namespace kube-system (403)" in found[2]


def test_a_pod_that_could_be_root_is_not_admitted(boss: Person) -> None:
    """The namespace enforces the Pod Security standard `restricted`."""
    spec = {"containers": [{"name": "it", "image": "holdfast:0.1.0"}]}
    body = {"metadata": {"name": "root"}, "spec": spec}
    answer = said(boss.call("POST", f"/api/v1/namespaces/holdfast/pods{DRY}", body))
    assert answer.startswith("403")
    assert 'violates PodSecurity "restricted' in answer


def test_doctor_finds_the_rights_and_tries_the_policy(lab_folder: Path, boss: Person) -> None:
    """With the service account of holdfast, which may not even list policies."""
    before = boss.call("GET", NODE)[1]["metadata"]
    done = holdfast("doctor", "--json", folder=lab_folder)
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert found["admission policy"] == "present"
    assert found["rights"].startswith(
        "undo: list nodes, get nodes, patch nodes, list pods in wallet"
    )
    after = boss.call("GET", NODE)[1]["metadata"]
    assert (after["labels"], after.get("annotations")) == (
        before["labels"],
        before.get("annotations"),
    )


def test_holdfast_itself_breaks_and_mends_under_the_policy(
    lab_folder: Path, tmp_path: Path, boss: Person, node: Callable[..., None]
) -> None:
    """Its own client, marks, lock and token; and once the lock is given back, nothing breaks."""
    environment = read_environment(lab_folder / "environment.yaml")
    cluster = Cluster(environment.kubernetes.kubeconfig)
    run = Run.create(tmp_path / "runs", "rights")
    target = next(one for one in cluster.nodes() if one.name == "node-a")
    token = lock_module.acquire(run, environment).token
    marks_of_run = heal.marks(run, "uncordon", token)
    cluster.cordon(target, marks_of_run)
    (victim, *_) = cluster.pods("wallet")
    cluster.delete_pods([victim], 0)
    lock_module.release(run, environment)
    with pytest.raises(Refused, match="'holdfast-fencing' does not let us delete pods"):
        cluster.delete_pod(cluster.pods("wallet")[0], 0)
    other = next(one for one in cluster.nodes() if one.name == "node-b")
    with pytest.raises(Refused, match="'holdfast-fencing' does not let us patch nodes: nobody"):
        cluster.cordon(other, marks_of_run)
    cluster.uncordon(target.name, target.uid, run.id)  # unless the reaper was faster
    assert not boss.call("GET", NODE)[1]["spec"].get("unschedulable")


def test_the_reapers_pod_takes_back_what_a_dead_run_left_and_says_so_on_the_node(
    boss: Person, lock: Lock, node: Callable[..., None]
) -> None:
    """With its own service account and no run folder; nobody holds the lock."""
    lock.set("")
    run = f"dead{token_hex(4)}"
    node(annotations={"holdfast.io/run": run, "holdfast.io/undo": "uncordon"}, unschedulable=True)

    def mended() -> bool:
        found = boss.call("GET", NODE)[1]
        left = [key for key in found["metadata"]["annotations"] if key.startswith("holdfast.io/")]
        return not left and not found["spec"].get("unschedulable")

    def told() -> bool:
        events = boss.call("GET", "/api/v1/namespaces/default/events")[1]["items"]
        return any(run in one["message"] and one["reason"] == "FaultUndone" for one in events)

    assert until(mended, seconds=30, every=0.2)
    assert until(told, seconds=5, every=0.2)


# ── whatever RBAC says ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def overgranted(boss: Person, reaper: Person, pod: str) -> Iterator[None]:
    """Somebody gave holdfast's service accounts everything, in the whole cluster."""
    group, name = "rbac.authorization.k8s.io", f"too-much-{token_hex(4)}"
    subject = {"apiGroup": group, "kind": "Group", "name": "system:serviceaccounts:holdfast"}
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [subject],
    }
    bindings = f"/apis/{group}/v1/clusterrolebindings"

    def allowed() -> bool:
        return reaper.call("GET", "/api/v1/secrets?limit=1")[0] == 200

    assert said(boss.call("POST", bindings, binding)) == "ok"
    assert until(allowed, seconds=5, every=0.05)
    yield
    assert boss.call("DELETE", f"{bindings}/{name}")[0] == 200
    assert until(lambda: not allowed(), seconds=5, every=0.05)


def test_nothing_but_the_runner_deletes_pods(
    reaper: Person, lock: Lock, pod: str, overgranted: None
) -> None:
    lock.set("run1")
    words = "only the service account holdfast deletes pods"
    assert refused(said(reaper.call("DELETE", f"{pod}{DRY}")), words)


def test_pods_are_neither_made_nor_changed_nor_evicted(
    runner: Person, lock: Lock, pod: str, overgranted: None
) -> None:
    """An eviction names a pod and shows no label of it."""
    lock.set("run1")
    words = "it does not make, change or evict them"
    name = pod.rpartition("/")[2]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    assert refused(said(runner.call("POST", f"{pod}/eviction{DRY}", eviction)), words)
    labels = {"metadata": {"labels": {"a": "b"}}}
    assert refused(said(runner.call("PATCH", f"{pod}{DRY}", labels, MERGE)), words)
    body = {"metadata": {"name": "mine"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    assert refused(said(runner.call("POST", f"{PODS}{DRY}", body)), words)


def test_holdfasts_own_namespace_is_never_broken_even_if_somebody_labels_it(
    runner: Person, lock: Lock, boss: Person, overgranted: None
) -> None:
    lock.set("run1")
    space = "/api/v1/namespaces/holdfast"
    labels = {"metadata": {"labels": {"holdfast.io/allowed": "true"}}}
    assert boss.call("PATCH", space, labels, MERGE)[0] == 200
    (reapers,) = boss.call("GET", f"{space}/pods?labelSelector=app.kubernetes.io/component=reaper")[
        1
    ]["items"]
    path = f"{space}/pods/{reapers['metadata']['name']}"
    unprotected = {"metadata": {"labels": {"holdfast.io/protected": None}}}
    assert boss.call("PATCH", path, unprotected, MERGE)[0] == 200
    words = "pods of this namespace are never broken"
    found = until(
        lambda: refused(said(runner.call("DELETE", f"{path}{DRY}")), words), seconds=2, every=0.05
    )
    labels["metadata"]["labels"] = {"holdfast.io/allowed": None}  # type: ignore[dict-item]
    assert boss.call("PATCH", space, labels, MERGE)[0] == 200
    assert found


def test_nodes_are_neither_made_nor_removed(
    runner: Person, reaper: Person, lock: Lock, overgranted: None
) -> None:
    lock.set("run1")
    for who in (runner, reaper):
        words = "neither makes nor removes nodes"
        assert refused(said(who.call("DELETE", f"{NODE}{DRY}")), words)
        body = {"metadata": {"name": "node-x"}}
        assert refused(said(who.call("POST", f"/api/v1/nodes{DRY}", body)), words)
