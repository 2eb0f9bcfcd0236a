"""What a pod of the lab finds where its volumes are: asked of a small API server on loopback."""

import asyncio
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import certifi
import pytest
from aiohttp import web

from lab.agent_pods import Pod
from lab.agent_runner import beside_python, command_line
from lab.agent_volumes import UnknownVolumeError, Volumes
from lab.kubernetes_api import Access, Api

pytestmark = pytest.mark.integration

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def pod(*volumes: dict[str, Any], **container: Any) -> Pod:
    """A pod of the service account `reaper`."""
    meta = {"namespace": "holdfast", "name": "reaper-x", "uid": "u-1"}
    spec = {
        "serviceAccountName": "reaper",
        "containers": [{"name": "it", "image": "holdfast:0.1.0", **container}],
        "volumes": [*volumes],
    }
    return Pod.parse({"metadata": meta, "spec": spec})


def with_token(seconds: float) -> Pod:
    """A pod as the ServiceAccount admission plugin leaves it."""
    sources = [
        {"serviceAccountToken": {"expirationSeconds": seconds, "path": "token"}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {
            "downwardAPI": {
                "items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]
            }
        },
    ]
    volume = {"name": "access", "projected": {"sources": sources}}
    return pod(volume, volumeMounts=[{"name": "access", "mountPath": TOKEN_MOUNT}])


def run(work: Callable[[Api, list[Any]], Awaitable[None]]) -> None:
    """Do the work with an API server whose tokens are `token-1`, `token-2`, and so on."""
    asked: list[Any] = []

    async def token(request: web.Request) -> web.Response:
        asked.append((request.path, await request.json()))
        return web.json_response({"status": {"token": f"token-{len(asked)}"}})

    async def config_map(request: web.Request) -> web.Response:
        data = {"ca.crt": "the certificate", "environment.yaml": "name: here"}
        return web.json_response({"data": data})

    async def all_of_it() -> None:
        app = web.Application()
        accounts = "/api/v1/namespaces/holdfast/serviceaccounts/{name}/token"
        app.router.add_post(accounts, token)
        app.router.add_get("/api/v1/namespaces/holdfast/configmaps/{name}", config_map)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.10.0.2", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        access = Access(f"http://{host}:{port}", Path(certifi.where()), "of-the-node")
        async with asyncio.timeout(10), Api(access) as api:
            await work(api, asked)
        await runner.cleanup()

    asyncio.run(all_of_it())


def test_the_token_is_asked_for_this_pod_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    async def work(api: Api, asked: list[Any]) -> None:
        volumes = Volumes(with_token(3607), api, tmp_path)
        await volumes.fill()
        folder = Path(volumes.variables()["HOLDFAST_SERVICEACCOUNT"])
        found = {path.name: path.read_text() for path in folder.iterdir()}
        assert found == {"token": "token-1", "ca.crt": "the certificate", "namespace": "holdfast"}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "reaper-x", "uid": "u-1"}
        body = {"spec": {"expirationSeconds": 3607, "boundObjectRef": bound}}
        assert asked == [("/api/v1/namespaces/holdfast/serviceaccounts/reaper/token", body)]
        volumes.remove()
        assert list(tmp_path.iterdir()) == []

    run(work)


def test_the_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    async def work(api: Api, asked: list[Any]) -> None:
        volumes = Volumes(with_token(0.05), api, tmp_path)
        await volumes.fill()
        renewing = asyncio.create_task(volumes.renew())
        token = Path(volumes.place(f"{TOKEN_MOUNT}/token"))
        while token.read_text() != "token-3":
            await asyncio.sleep(0.01)
        renewing.cancel()

    run(work)


def test_a_path_below_a_mount_is_one_in_the_pods_own_folder(tmp_path: Path) -> None:
    async def work(api: Api, asked: list[Any]) -> None:
        volumes = Volumes(
            pod(
                {"name": "environment", "configMap": {"name": "holdfast-environment"}},
                {"name": "tmp", "emptyDir": {}},
                volumeMounts=[
                    {"name": "environment", "mountPath": "/etc/holdfast"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
                env=[{"name": "TMPDIR", "value": "/tmp"}, {"name": "OTHER", "value": "/tmpfs"}],
            ),
            api,
            tmp_path,
        )
        await volumes.fill()
        place = volumes.place("/etc/holdfast/environment.yaml")
        assert place == str(tmp_path / "u-1" / "environment" / "environment.yaml")
        assert Path(place).read_text() == "name: here"
        assert volumes.place("--environment") == "--environment"
        assert volumes.variables() == {"TMPDIR": str(tmp_path / "u-1" / "tmp"), "OTHER": "/tmpfs"}
        assert asked == []

    run(work)


@pytest.mark.parametrize(
    "volume",
    [
        {"name": "it", "hostPath": {"path": "/"}},
        {"name": "it", "projected": {"sources": [{"secret": {"name": "s"}}]}},
    ],
)
def test_a_volume_that_the_lab_does_not_have_is_said(tmp_path: Path, volume: Any) -> None:
    """A pod that runs without it would seem to work."""

    async def work(api: Api, asked: list[Any]) -> None:
        mounts = [{"name": "it", "mountPath": "/it"}]
        with pytest.raises(UnknownVolumeError, match="the lab"):
            await Volumes(pod(volume, volumeMounts=mounts), api, tmp_path).fill()

    run(work)


def test_a_pods_command_and_arguments_are_those_of_its_spec() -> None:
    it = pod(command=["python", "-m", "holdfast.reaper"], args=["--environment", "e.yaml"])
    assert it.command == ("python", "-m", "holdfast.reaper")
    assert it.arguments == ("--environment", "e.yaml")
    assert (pod().command, pod().arguments) == ((), ())


def test_a_program_is_the_one_beside_the_interpreter() -> None:
    assert Path(beside_python("python")).is_file()
    assert Path(beside_python("holdfast")).is_file()
    assert beside_python("sleep") == "sleep"
    assert beside_python("/bin/python") == "/bin/python"


def test_a_checkout_below_a_path_that_a_pod_mounts() -> None:
    """As one in /tmp, where the reaper mounts a folder of its own."""
    ours = str(Path(sys.executable).parent)
    words = ("python", "-m", "holdfast.reaper", f"{ours}/environment.yaml")
    line = command_line(words, lambda word: word.replace(ours, "/volume"))
    assert line == (f"{ours}/python", "-m", "holdfast.reaper", "/volume/environment.yaml")
