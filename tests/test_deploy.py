"""What is installed in a cluster: every file of deploy/, read as YAML."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*.yaml") if path.name != "kustomization.yaml")
ROLES = ("Role", "ClusterRole")
VERBS = {"get", "list", "watch", "create", "update", "patch", "delete"}
# what RBAC good practices list as ways to more rights, and more than any fault needs
NEVER = {
    "secrets",
    "configmaps",
    "serviceaccounts",
    "nodes/proxy",
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
    "certificatesigningrequests",
    "validatingwebhookconfigurations",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "persistentvolumes",
    "customresourcedefinitions",
}


def objects(*kinds: str) -> list[dict[str, Any]]:
    """Every object of these kinds."""
    found = [one for path in FILES for one in yaml.safe_load_all(path.read_text())]
    return [one for one in found if not kinds or one["kind"] in kinds]


def rules() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each rule of each role, with the role's name."""
    for role in objects(*ROLES):
        for rule in role["rules"]:
            yield role["metadata"]["name"], rule


def pod_specs() -> list[dict[str, Any]]:
    """The spec of each pod that is made from these files."""
    deployments = [one["spec"]["template"]["spec"] for one in objects("Deployment")]
    jobs = [one["spec"]["jobTemplate"]["spec"]["template"]["spec"] for one in objects("CronJob")]
    return [*deployments, *jobs]


def test_each_file_is_applied() -> None:
    listed = {
        kustomization.parent / name
        for kustomization in DEPLOY.rglob("kustomization.yaml")
        for name in yaml.safe_load(kustomization.read_text())["resources"]
    }
    assert listed == set(FILES)


def test_no_role_has_a_wildcard_or_a_verb_that_leads_to_more_rights() -> None:
    """Not `*`, not bind, escalate or impersonate, and nothing for whole collections."""
    for name, rule in rules():
        assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}, name
        assert set(rule["verbs"]) <= VERBS, name
        assert "*" not in str(rule), name


def test_no_role_reaches_secrets_shells_tokens_or_other_roles() -> None:
    for name, rule in rules():
        named = {one.removesuffix("s") for one in rule["resources"]}
        assert not named & {one.removesuffix("s") for one in NEVER}, name
        assert not any("/" in one for one in rule["resources"]), f"{name}: a subresource"


def test_no_role_deletes_anything_but_pods() -> None:
    deleted = {one for _, rule in rules() if "delete" in rule["verbs"] for one in rule["resources"]}
    assert deleted == {"pods"}


def test_what_deletes_pods_is_bound_in_namespaces_only() -> None:
    """A right to delete pods in the whole cluster would rest on our own code alone."""
    killers = {name for name, rule in rules() if "delete" in rule["verbs"]}
    everywhere = {one["roleRef"]["name"] for one in objects("ClusterRoleBinding")}
    assert killers == {"holdfast-pods"}
    assert not killers & everywhere


def test_bindings_name_our_service_accounts_only() -> None:
    """Not a group, not a person: those are bound by whoever answers for them."""
    accounts = {one["metadata"]["name"] for one in objects("ServiceAccount")}
    assert accounts == {"holdfast", "holdfast-reaper"}
    for one in objects("RoleBinding", "ClusterRoleBinding"):
        for subject in one["subjects"]:
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "holdfast")
            assert subject["name"] in accounts


def test_the_reaper_has_no_role_with_which_the_runner_breaks() -> None:
    roles = {
        one["roleRef"]["name"]
        for one in objects("RoleBinding", "ClusterRoleBinding")
        if one["subjects"][0]["name"] == "holdfast-reaper"
    }
    assert roles == {"holdfast-reaper", "holdfast-events"}


def test_every_policy_denies_and_says_why() -> None:
    """`Warn` or `Audit` alone would let it pass; a reason other than Forbidden is no 403."""
    policies = objects("ValidatingAdmissionPolicy")
    bound = {one["spec"]["policyName"]: one for one in objects("ValidatingAdmissionPolicyBinding")}
    assert {one["metadata"]["name"] for one in policies} == set(bound)
    for binding in bound.values():
        assert binding["spec"]["validationActions"] == ["Deny"]
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Fail"
        for one in policy["spec"]["validations"]:
            assert one["reason"] == "Forbidden"
            assert "message" in one or "messageExpression" in one


def test_no_policy_can_lock_others_out_of_their_cluster() -> None:
    """Each is about holdfast's own service accounts, or about the lock's lease.

    A binding that denies without its parameter denies everybody: tests/lab/test_rights.py shows it.
    """
    ours = "'system:serviceaccounts:holdfast' in request.userInfo.groups"
    for policy in objects("ValidatingAdmissionPolicy"):
        if policy["metadata"]["name"] == "holdfast-lock":
            (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
            assert (rule["resources"], rule["resourceNames"]) == (["leases"], ["holdfast"])
            continue
        assert policy["spec"]["matchConditions"][0]["expression"] == ours
    for binding in objects("ValidatingAdmissionPolicyBinding"):
        found = binding["spec"].get("paramRef", {}).get("parameterNotFoundAction", "Allow")
        assert found == "Allow"


def test_the_lock_ships_without_a_holder() -> None:
    """Fencing compares with it, so it has to be there before the first run."""
    (lease,) = objects("Lease")
    assert lease["metadata"] == {"name": "holdfast", "namespace": "holdfast"}
    assert lease["spec"] == {}


def test_the_namespace_enforces_the_restricted_standard() -> None:
    (namespace,) = objects("Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "holdfast.io/allowed" not in labels


@pytest.mark.parametrize("spec", pod_specs(), ids=lambda spec: str(spec["serviceAccountName"]))
def test_pods_run_without_root_capabilities_or_a_writable_root(spec: dict[str, Any]) -> None:
    assert not any(key.startswith("host") for key in spec)
    assert spec["terminationGracePeriodSeconds"] == 60
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["image"] == "holdfast:0.1.0"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    assert "ports" not in container
    assert {next(iter(set(one) - {"name"})) for one in spec["volumes"]} <= {"configMap", "emptyDir"}


def test_a_game_day_ships_suspended() -> None:
    """Applying these files breaks nothing."""
    (cronjob,) = objects("CronJob")
    assert cronjob["spec"]["suspend"] is True
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"
    assert cronjob["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0


def test_nothing_comes_in_over_the_network_and_little_goes_out() -> None:
    policies = objects("NetworkPolicy")
    assert all("ingress" not in one["spec"] for one in policies)
    (nothing,) = [one for one in policies if one["spec"]["podSelector"] == {}]
    assert nothing["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (calls,) = [one for one in policies if one["metadata"]["name"] == "calls"]
    ports = {port["port"] for rule in calls["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 443, 6443, 8474, 9090}
