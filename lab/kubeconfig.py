"""Who may talk to the lab's API server: users with their tokens, and the files that carry them."""

import json
import os
import secrets
from pathlib import Path

from lab.addresses import ZONES, Lab
from lab.kubernetes_api import Access, Object

ADMIN = "lab-admin"
CONTROLLERS = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
EDGE = "edge"
PROMETHEUS = "prometheus"

# user → groups, for the API server's token file
USERS = {
    ADMIN: "system:masters",
    CONTROLLERS: "",
    SCHEDULER: "",
    EDGE: "",
    PROMETHEUS: "",
    **{f"system:node:{node}": "system:nodes" for node in ZONES},
}


def certificates(lab: Lab) -> Path:
    """Where the API server keeps the certificate that it makes for itself."""
    return lab.data / "certificates"


def certificate(lab: Lab) -> Path:
    """The API server's certificate, which clients trust as its own authority."""
    return certificates(lab) / "apiserver.crt"


def private_key(lab: Lab) -> Path:
    """The RSA key of that certificate; it signs service account tokens, too."""
    return certificates(lab) / "apiserver.key"


def token_file(lab: Lab) -> Path:
    """The API server's list of tokens."""
    return lab.data / "tokens.csv"


def write_identities(lab: Lab) -> None:
    """A fresh token and a kubeconfig for each user of the lab's own pieces."""
    tokens = {user: secrets.token_hex(24) for user in USERS}
    lines = [f'{token},{user},{user},"{USERS[user]}"\n' for user, token in tokens.items()]
    write_private(token_file(lab), "".join(lines))
    for user, token in tokens.items():
        write_kubeconfig(lab, user, token)


def path_of(lab: Lab, user: str) -> Path:
    """The kubeconfig of a user."""
    return lab.data / f"{user.replace(':', '-')}.kubeconfig"


def write_kubeconfig(lab: Lab, user: str, token: str) -> Path:
    """Write the kubeconfig of a user, readable by its owner only."""
    cluster = {
        "server": f"https://{lab.apiserver}",
        "certificate-authority": str(certificate(lab)),
    }
    content: Object = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    }
    return write_private(path_of(lab, user), json.dumps(content, indent=1) + "\n")


def access(lab: Lab, user: str) -> Access:
    """How that user reaches the API server."""
    content = json.loads(path_of(lab, user).read_text())
    return Access(
        url=f"https://{lab.apiserver}",
        ca=certificate(lab),
        token=content["users"][0]["user"]["token"],
    )


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner may read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)
    return path
