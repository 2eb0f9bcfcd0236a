"""Where everything of lab number L lives: addresses in 127.L.0.0/16 and one folder.

Pods report 10.L.z.n to Kubernetes, whose EndpointSlices refuse loopback addresses; everyone who
wants to reach them maps 10 back to 127.
"""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ZONES = {"node-a": "sa-east-1a", "node-b": "sa-east-1b", "node-c": "sa-east-1c"}
GATEWAYS = ("pix-primary", "pix-backup", "ted")
ID_VARIABLE = "HOLDFAST_LAB_ID"

_OCTETS_PER_ZONE = 64
_HOSTS = 254


@dataclass(frozen=True)
class Lab:
    """One lab: its number (1 to 254) and the folder with its logs, data and state."""

    number: int
    folder: Path

    @classmethod
    def of(cls, number: int) -> "Lab":
        """The lab of that number, below $HOLDFAST_LAB_HOME or the user's cache."""
        home = os.environ.get("HOLDFAST_LAB_HOME") or Path.home() / ".cache" / "holdfast"
        return cls(number, Path(home) / f"lab-{number}")

    @property
    def id(self) -> str:
        """What each of its processes carries in its environment, so that orphans are found."""
        return f"{self.number}:{self.folder}"

    @property
    def logs(self) -> Path:
        """One log file per piece and pod; kept when the lab goes down."""
        return self.folder / "logs"

    @property
    def data(self) -> Path:
        """Everything that the pieces write; removed when the lab goes down."""
        return self.folder / "data"

    @property
    def slow_start(self) -> Path:
        """While this file exists, wallet pods that start are not ready for 90 s."""
        return self.data / "slow-start"

    def at(self, host: int, port: int) -> str:
        """`address:port` of a piece outside the zones."""
        return f"127.{self.number}.0.{host}:{port}"

    def gateways(self, host: int, port: int) -> dict[str, str]:
        """The URL of each gateway, numbered from the port upwards."""
        return {
            name: f"http://{self.at(host, port + number)}"
            for number, name in enumerate(GATEWAYS, 1)
        }

    def owns(self, address: str) -> bool:
        """Does the IPv4 address belong to this lab?"""
        return address.startswith(f"127.{self.number}.")

    @property
    def etcd(self) -> str:
        """Where etcd answers clients."""
        return self.at(1, 2379)

    @property
    def apiserver(self) -> str:
        """Where the API server answers, by HTTPS."""
        return self.at(2, 6443)

    @property
    def entrance(self) -> str:
        """Where customers enter."""
        return self.at(10, 8080)

    @property
    def edge_admin(self) -> str:
        """The edge's own metrics and health."""
        return self.at(10, 9090)

    @property
    def toxiproxy(self) -> str:
        """Toxiproxy's API."""
        return self.at(11, 8474)

    @property
    def banks(self) -> str:
        """The bank side's settlement record."""
        return self.at(12, 8100)

    @property
    def prometheus(self) -> str:
        """Prometheus."""
        return self.at(13, 9090)

    @property
    def postgres(self) -> str:
        """The ledger's database."""
        return self.at(14, 5432)


def pod_address(lab: int, zone: int, count: int) -> str:
    """The address of the `count`th pod (from 1) of zone 1, 2 or 3: none is handed out twice.

    Raises:
        ValueError: the zone's 16,256 addresses are used up.
    """
    overflow, host = divmod(count - 1, _HOSTS)
    if overflow >= _OCTETS_PER_ZONE:
        raise ValueError(f"the addresses of zone {zone} are used up: restart the lab")
    return f"127.{lab}.{zone * _OCTETS_PER_ZONE + overflow}.{host + 1}"


def reported(address: str) -> str:
    """What is told to Kubernetes: 10.x for 127.x."""
    return f"10.{address.removeprefix('127.')}"


def listening(address: str) -> str:
    """Where a reported pod address really listens: 127.x for 10.x."""
    return f"127.{address.removeprefix('10.')}"
