"""Who holdfast is to the API server: a kubeconfig, or the token that Kubernetes mounts into a pod.

TLS is always verified, and no credential stands in what we write.
"""

import os
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from holdfast import files
from holdfast.addresses import check_host
from holdfast.clock import within
from holdfast.errors import InvalidInput, Refused
from holdfast.redact import keep_secret

IN_CLUSTER = "in-cluster"  # as `kubernetes.kubeconfig`: the service account of this pod
FOLDER = "HOLDFAST_SERVICEACCOUNT"  # where the pod's token lies, if not where Kubernetes mounts it

_MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
_MOST_BYTES = 1 << 20  # of a kubeconfig
_OPEN_S = 10.0  # reading a kubeconfig: it may name a program that fetches credentials


def source(kubeconfig: str) -> Path:
    """The file that says who we are; when it changes, it has to be read again."""
    if kubeconfig == IN_CLUSTER:
        return Path(os.environ.get(FOLDER, _MOUNTED)) / "token"
    return Path(kubeconfig).expanduser()


def load(kubeconfig: str) -> Any:
    """Where the API server is and who we are, as the kubernetes package keeps it; read now.

    Raises:
        InvalidInput: it cannot be used.
        Refused: it turns the verification of TLS off.
    """
    from kubernetes.client.configuration import Configuration

    configuration = Configuration(proxy="")  # none of our environment's; a kubeconfig may name one
    configuration.retries = False
    into = _from_pod if kubeconfig == IN_CLUSTER else _from_file
    try:
        within(_OPEN_S, lambda: into(source(kubeconfig), configuration))
    except Exception as error:  # noqa: BLE001  # the package raises anything at all on a malformed file
        what = "service account" if kubeconfig == IN_CLUSTER else "kubeconfig"
        place = str(source(kubeconfig))
        raise InvalidInput(
            place, f"is no usable {what}: {error}", "Correct the file, or `kubernetes.kubeconfig`"
        ) from None
    try:
        keep_secrets(configuration)
    except ValueError as error:
        raise InvalidInput(kubeconfig, str(error), "Use longer credentials") from None
    _check_tls(kubeconfig, configuration)
    try:
        check_host(urlsplit(configuration.host).hostname or "")
    except ValueError as error:
        raise Refused(kubeconfig, str(error), "Name the API server there") from None
    return configuration


def _from_file(path: Path, configuration: Any) -> None:
    from kubernetes.config.kube_config import load_kube_config

    files.read(path, _MOST_BYTES)  # a device or a huge file would be read for ever
    load: Any = load_kube_config
    load(str(path), None, configuration, persist_config=False)


def _from_pod(token: Path, configuration: Any) -> None:
    from kubernetes.config.incluster_config import InClusterConfigLoader

    loader: Any = InClusterConfigLoader
    certificate = str(token.with_name("ca.crt"))
    loader(str(token), certificate, try_refresh_token=False).load_and_set(configuration)


def _check_tls(kubeconfig: str, configuration: Any) -> None:
    host = urlsplit(configuration.host)
    loopback = host.hostname == "localhost" or (host.hostname or "").startswith("127.")
    if not configuration.verify_ssl or (host.scheme != "https" and not loopback):
        raise Refused(
            kubeconfig,
            "it turns the verification of TLS off",
            "Name the cluster's CA there instead",
        )


def keep_secrets(configuration: Any) -> None:
    """No token, password or key of a kubeconfig stands in what we write.

    Raises:
        ValueError: one of them is too short for that.
    """
    found: list[str | None] = []
    for kind, _, value in (one.rpartition(" ") for one in configuration.api_key.values()):
        found.append(value)
        if kind == "Basic":
            found.append(b64decode(value).decode().partition(":")[2])
    found += [urlsplit(url or "").password for url in (configuration.host, configuration.proxy)]
    if configuration.key_file:
        found.append(Path(configuration.key_file).read_text("utf-8"))
    for one in filter(None, found):
        keep_secret(one)
