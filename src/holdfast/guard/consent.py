"""Is this the environment that the experiment and the person mean?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.documents import Environment
from holdfast.errors import Refused


@dataclass(frozen=True)
class Consent:
    """What the person who starts a run says on the command line; production needs all three."""

    confirm: str = ""
    operator: str = ""
    approval: Path | None = None


def check_cluster(environment: Environment, uid: str) -> str:
    """Is this the very cluster that the environment file names?"""
    if uid != environment.kubernetes.cluster_uid:
        raise Refused(
            f"cluster {uid}",
            f"the environment file names {environment.kubernetes.cluster_uid}",
            "Point the kubeconfig at the right cluster, or correct `kubernetes.cluster_uid`",
        )
    return f"it is cluster {uid}"


def check_environment(environment: Environment, names: Sequence[str]) -> str:
    """Is the experiment meant for this environment? In production it has to say so by name."""
    name = environment.name
    if not names and environment.kind == "production":
        raise Refused(
            f"environment {name}",
            "it is production, and the experiment does not say where it may run",
            f"Add `environments: [{name}]` to its extension if it may run there",
        )
    if names and name not in names:
        raise Refused(
            f"environment {name}",
            f"the experiment may run in {', '.join(names)}",
            "Name the right environment file, or correct `environments:` of the experiment",
        )
    return f"{environment.kind} {name}" + (", which the experiment names" if names else "")


def check_confirmed(environment: Environment, consent: Consent) -> str:
    """Did the person type this environment's name? Production needs it."""
    if consent.confirm == environment.name:
        return f"{environment.name} was typed"
    if not consent.confirm and environment.kind != "production":
        return f"not needed in {environment.kind}"
    raise Refused(
        f"environment {environment.name}",
        f"`--confirm` says {consent.confirm!r}"
        if consent.confirm
        else "it is production, and nobody typed its name",
        f"Type `--confirm {environment.name}` if this is where you mean to break something",
    )
