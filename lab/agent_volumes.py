"""The volumes of a pod: folders below the lab's data, filled as a kubelet fills them.

A process has no mounts. So in its command, arguments and environment a path below a mount path
becomes one in the volume's folder, and HOLDFAST_SERVICEACCOUNT names the folder that Kubernetes
mounts at /var/run/secrets/kubernetes.io/serviceaccount. The token there is a real one, of the pod's
service account and bound to the pod; it is renewed when four fifths of its time are over. A
ConfigMap is read once: a later change of it reaches the next pod.
"""

import asyncio
import logging
import shutil
from pathlib import Path

from lab.agent_pods import Object, Pod
from lab.kubeconfig import write_private
from lab.kubernetes_api import TRANSIENT, Api

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

_RETRY = 0.5  # seconds; the node authorizer learns of a pod a moment after its agent does
_RENEW_AT = 0.8  # of a token's life, as a kubelet does
_TOKEN_S = 3600  # what TokenRequest gives unless asked otherwise

log = logging.getLogger("lab.agent")


class UnknownVolumeError(Exception):
    """A kind of volume that the lab does not have."""


class Volumes:
    """The volumes that a pod's container mounts, in a folder of the pod's own."""

    def __init__(self, pod: Pod, api: Api, folder: Path) -> None:
        self._pod = pod
        self._api = api
        self._folder = folder / pod.uid
        self._tokens: list[tuple[Path, float]] = []

    async def fill(self) -> None:
        """Write every file; tried until what they are made of is there.

        Raises:
            UnknownVolumeError: the pod asks for what the lab does not have.
        """
        for name in self._pod.mounts.values():
            for folder in (self._folder.parent, self._folder, self._at(name)):
                folder.mkdir(exist_ok=True, mode=0o700)
            while True:
                try:
                    await self._write(self._at(name), self._pod.volumes[name])
                    break
                except TRANSIENT as error:
                    log.warning("pod %s: volume %s: %r", self._pod.name, name, error)
                    await asyncio.sleep(_RETRY)

    async def renew(self) -> None:
        """Keep the tokens fresh, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for path, seconds in self._tokens:
                group.create_task(self._keep(path, seconds))

    def place(self, word: str) -> str:
        """The word, with a mount path at its start replaced by the volume's folder."""
        for mount, name in self._pod.mounts.items():
            if word == mount or word.startswith(f"{mount}/"):
                return f"{self._at(name)}{word[len(mount) :]}"
        return word

    def variables(self) -> dict[str, str]:
        """The environment of the pod's spec with its paths replaced, and where the token is."""
        found = {name: self.place(value) for name, value in self._pod.environment.items()}
        if SERVICE_ACCOUNT in self._pod.mounts:
            found["HOLDFAST_SERVICEACCOUNT"] = self.place(SERVICE_ACCOUNT)
        return found

    def remove(self) -> None:
        """Delete them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _at(self, name: str) -> Path:
        return self._folder / name

    async def _write(self, folder: Path, volume: Object) -> None:
        if "emptyDir" in volume:
            return
        if "configMap" in volume:
            await self._config_map(folder, volume["configMap"])
            return
        if "projected" not in volume:
            raise UnknownVolumeError(f"the lab has no volumes such as {volume}")
        for source in volume["projected"]["sources"]:
            await self._project(folder, source)

    async def _project(self, folder: Path, source: Object) -> None:
        ((kind, wanted),) = source.items()
        if kind == "configMap":
            await self._config_map(folder, wanted)
        elif kind == "serviceAccountToken":
            path, seconds = folder / wanted["path"], wanted.get("expirationSeconds", _TOKEN_S)
            write_private(path, await self._token(seconds))
            self._tokens.append((path, seconds))
        elif kind == "downwardAPI" and _is_namespace(wanted):
            write_private(folder / wanted["items"][0]["path"], self._pod.namespace)
        else:
            raise UnknownVolumeError(f"the lab projects nothing such as {source}")

    async def _config_map(self, folder: Path, wanted: Object) -> None:
        path = f"/api/v1/namespaces/{self._pod.namespace}/configmaps/{wanted['name']}"
        data = (await self._api.get(path)).get("data", {})
        items = wanted.get("items") or [{"key": key, "path": key} for key in data]
        for item in items:
            write_private(folder / item["path"], data[item["key"]])

    async def _token(self, seconds: float) -> str:
        pod, account = self._pod, self._pod.account
        path = f"/api/v1/namespaces/{pod.namespace}/serviceaccounts/{account}/token"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
        spec = {"expirationSeconds": seconds, "boundObjectRef": bound}
        return str((await self._api.post(path, {"spec": spec}))["status"]["token"])

    async def _keep(self, path: Path, seconds: float) -> None:
        wait = seconds * _RENEW_AT
        while True:
            await asyncio.sleep(wait)
            try:
                write_private(path, await self._token(seconds))
                wait = seconds * _RENEW_AT
            except TRANSIENT as error:
                log.warning("pod %s: its token: %r", self._pod.name, error)
                wait = _RETRY


def _is_namespace(wanted: Object) -> bool:
    fields = [item.get("fieldRef", {}).get("fieldPath") for item in wanted["items"]]
    return fields == ["metadata.namespace"]
