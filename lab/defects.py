"""Planted defects, switched on a running lab, so that holdfast can be shown to go red for them."""

import aiohttp

from lab import kubeconfig, platform
from lab.addresses import ZONES, Lab
from lab.agent_pods import stamp, utc_now
from lab.errors import LabError
from lab.kubernetes_api import Api, Object
from lab.up import good

DEFECTS = (
    "breaker-stuck",
    "pays-twice",
    "money-lost",
    "one-zone",
    "slow-start",
    "metrics-silent",
    "bypass",
)

_ZONE = "topology.kubernetes.io/zone"
_ONE_ZONE = "sa-east-1b"


def parse(names: tuple[str, ...]) -> frozenset[str]:
    """The wanted defects; `none` is the healthy wallet.

    Raises:
        LabError: there is no such defect.
    """
    if names == ("none",):
        return frozenset()
    unknown = sorted(set(names) - set(DEFECTS))
    if unknown:
        known = ", ".join(DEFECTS)
        raise LabError(
            ", ".join(unknown), "no such defect", f"There are {known}, or none by itself"
        )
    return frozenset(names)


def patch(wanted: frozenset[str], pods: list[Object], now: str) -> Object:
    """What changes in the Deployment.

    A zone that was lost and came back stays without a pod, since Kubernetes moves none: replicas
    that are not spread over the zones are made anew, whatever is wanted.
    """
    value = ",".join(name for name in DEFECTS if name in wanted)
    variables = [{"name": "DEFECTS", "value": value}]
    zone = _ONE_ZONE if "one-zone" in wanted else None
    containers = [{"name": "wallet-api", "env": variables}]
    pod = {"nodeSelector": {_ZONE: zone}, "containers": containers}
    template: Object = {"spec": pod}
    if zone is None and {item["spec"].get("nodeName") for item in pods} != set(ZONES):
        template["metadata"] = {"annotations": {"holdfast-lab/spread-at": now}}
    return {"spec": {"template": template}}


async def switch(lab: Lab, wanted: frozenset[str]) -> None:
    """Roll the wallet out with these defects, and wait until only such pods are left.

    A slow start holds for pods that are made after this rollout: the file that they look for is
    written once it is complete.
    """
    lab.slow_start.unlink(missing_ok=True)
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        Api(kubeconfig.access(lab, kubeconfig.ADMIN)) as api,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        change = patch(wanted, await platform.wallet_pods(api), stamp(utc_now()))
        await api.patch(platform.DEPLOYMENT, change)
        await good(lambda: platform.rolled_out(api), "the wallet's rollout")
        await good(lambda: _served(lab, api, http), "the wallet as edge and Prometheus see it")
    if "slow-start" in wanted:
        lab.slow_start.touch()


async def _served(lab: Lab, api: Api, http: aiohttp.ClientSession) -> bool:
    """Do edge and Prometheus see these pods and no others, and does each say that it is ready?

    A run that began before their counters have a past could not tell what was before its fault.
    """
    pods = await platform.wallet_pods(api)
    if await platform.edge_sees(http, lab) != len(pods):
        return False
    uids = {item["metadata"]["uid"] for item in pods}
    known = await platform.prometheus_knows(http, lab)
    remembered = await platform.prometheus_remembers(http, lab)
    return known == uids <= remembered and await platform.pods_answer(http, pods)
