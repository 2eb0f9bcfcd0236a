"""The lab's pieces: what each runs, where it answers, how it is asked, what it waits for."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from lab import kubeconfig
from lab.addresses import GATEWAYS, ZONES, Lab
from lab.agent import node_host
from lab.postgres import Cluster
from lab.programs import Programs

SERVICE_RANGE = "10.{lab}.255.0/24"

_CONTROLLERS = "*,-nodeipam,-cloud-node-lifecycle,-node-route-controller,-service-lb-controller"


@dataclass(frozen=True)
class Piece:
    """One process of the lab; `health` answers 200, or takes a connection as a database.

    `needs` names what must be up before it is started: other pieces, or steps of `lab.up`.
    """

    name: str
    version: str
    address: str
    health: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def pieces(lab: Lab, programs: Programs, cluster: Cluster) -> list[Piece]:
    """Every piece, in the order of `status`."""
    return [
        *_control_plane(lab, programs),
        *(_agent(lab, node) for node in ZONES),
        _postgres(lab, programs, cluster),
        _toxiproxy(lab, programs),
        _banks(lab),
        _prometheus(lab, programs),
        _edge(lab, programs),
    ]


def _control_plane(lab: Lab, programs: Programs) -> list[Piece]:
    return [
        _etcd(lab, programs),
        _apiserver(lab, programs),
        _controller_manager(lab, programs),
        _scheduler(lab, programs),
    ]


def _etcd(lab: Lab, programs: Programs) -> Piece:
    client, peer = f"http://{lab.etcd}", f"http://{lab.at(1, 2380)}"
    flags = {
        "name": "lab",
        "data-dir": str(lab.data / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"lab={peer}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    command = (str(programs.control_plane), "etcd", *_flags(flags))
    return Piece("etcd", programs.versions["etcd"], lab.etcd, f"{client}/health", command)


def _apiserver(lab: Lab, programs: Programs) -> Piece:
    host, port = lab.apiserver.split(":")
    key = str(kubeconfig.private_key(lab))
    flags = {
        "etcd-servers": f"http://{lab.etcd}",
        "bind-address": host,
        "secure-port": port,
        "advertise-address": host.replace("127.", "10.", 1),
        "external-hostname": host,
        "endpoint-reconciler-type": "none",
        "cert-dir": str(kubeconfig.certificates(lab)),
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        # agents register their nodes ready: no taint that is taken off 5 s later
        "disable-admission-plugins": "TaintNodesByCondition",
        "token-auth-file": str(kubeconfig.token_file(lab)),
        "service-account-issuer": f"https://{lab.apiserver}",
        "service-account-key-file": key,
        "service-account-signing-key-file": key,
        "service-cluster-ip-range": SERVICE_RANGE.format(lab=lab.number),
        "profiling": "false",
    }
    health = f"https://{lab.apiserver}/readyz"
    command = (str(programs.control_plane), "apiserver", *_flags(flags))
    version = programs.versions["kubernetes"]
    return Piece("apiserver", version, lab.apiserver, health, command, ("etcd", "keys"))


def _controller_manager(lab: Lab, programs: Programs) -> Piece:
    flags = _component(lab, kubeconfig.CONTROLLERS, 10257) | {
        "use-service-account-credentials": "true",
        "service-account-private-key-file": str(kubeconfig.private_key(lab)),
        "root-ca-file": str(kubeconfig.certificate(lab)),
        "controllers": _CONTROLLERS,
        "kube-api-qps": "200",  # by default its own start waits 4 s for its own rate limit
        "kube-api-burst": "400",
    }
    return _kubernetes(programs, "controller-manager", flags)


def _scheduler(lab: Lab, programs: Programs) -> Piece:
    return _kubernetes(programs, "scheduler", _component(lab, kubeconfig.SCHEDULER, 10259))


def _component(lab: Lab, user: str, port: int) -> dict[str, str]:
    identity = str(kubeconfig.path_of(lab, user))
    return {
        "kubeconfig": identity,
        "authentication-kubeconfig": identity,
        "authorization-kubeconfig": identity,
        "bind-address": lab.apiserver.split(":")[0],
        "secure-port": str(port),
        "leader-elect": "false",
        "profiling": "false",
    }


def _kubernetes(programs: Programs, name: str, flags: dict[str, str]) -> Piece:
    address = f"{flags['bind-address']}:{flags['secure-port']}"
    return Piece(
        name=name,
        version=programs.versions["kubernetes"],
        address=address,
        health=f"https://{address}/healthz",
        command=(str(programs.control_plane), name, *_flags(flags)),
        needs=("apiserver",),
    )


def _agent(lab: Lab, node: str) -> Piece:
    address = f"127.{lab.number}.0.{node_host(node)}:10248"
    where = ("--lab", str(lab.number), "--folder", str(lab.folder))
    command = (sys.executable, "-m", "lab.agent", *where, "--node", node)
    health = f"http://{address}/healthz"
    return Piece(node, _python(), address, health, command, ("certificate",))


def _postgres(lab: Lab, programs: Programs, cluster: Cluster) -> Piece:
    health = f"postgresql://wallet@{lab.postgres}/wallet"
    version = programs.versions["postgres"]
    command = cluster.command(lab.postgres)
    needs = ("database",)
    return Piece("postgres", version, lab.postgres, health, command, needs, cluster.user)


def _toxiproxy(lab: Lab, programs: Programs) -> Piece:
    host, port = lab.toxiproxy.split(":")
    config = str(lab.data / "toxiproxy.json")
    flags = ("-host", host, "-port", port, "-config", config, "-proxy-metrics")
    version = programs.versions["toxiproxy"]
    health = f"http://{lab.toxiproxy}/version"
    return Piece(
        "toxiproxy", version, lab.toxiproxy, health, (str(programs.toxiproxy), *flags), ("keys",)
    )


def _banks(lab: Lab) -> Piece:
    host = lab.banks.split(":")[0]
    return Piece(
        name="banks",
        version=_python(),
        address=lab.banks,
        health=f"http://{lab.banks}/healthz",
        command=(sys.executable, "-m", "lab.wallet.banks"),
        environment={"HOST": host},
    )


def _prometheus(lab: Lab, programs: Programs) -> Piece:
    flags = {
        "config.file": str(lab.data / "prometheus.yaml"),
        "storage.tsdb.path": str(lab.data / "prometheus"),
        "storage.tsdb.retention.time": "2h",
        "web.listen-address": lab.prometheus,
        "log.level": "warn",
    }
    health = f"http://{lab.prometheus}/-/ready"
    command = (str(programs.prometheus), *_flags(flags))
    version = programs.versions["prometheus"]
    return Piece("prometheus", version, lab.prometheus, health, command, ("rights",))


def _edge(lab: Lab, programs: Programs) -> Piece:
    flags = {
        "listen": lab.entrance,
        "metrics": lab.edge_admin,
        "kubeconfig": str(kubeconfig.path_of(lab, kubeconfig.EDGE)),
    }
    health = f"http://{lab.edge_admin}/healthz"
    command = (str(programs.control_plane), "edge", *_flags(flags))
    version = programs.versions["kubernetes"]
    return Piece("edge", version, lab.entrance, health, command, ("rights",))


def gateway_proxies(lab: Lab) -> list[dict[str, str | bool]]:
    """Toxiproxy's configuration: a proxy before each gateway of the banks."""
    return [
        {
            "name": gateway,
            "listen": lab.at(11, 9100 + number),
            "upstream": lab.at(12, 8100 + number),
            "enabled": True,
        }
        for number, gateway in enumerate(GATEWAYS, 1)
    ]


def _flags(flags: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in flags.items())


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))
