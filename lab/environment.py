"""The environment file: what holdfast is told of the lab, and what it may break there."""

import sys
from pathlib import Path

import yaml

from lab.addresses import GATEWAYS, Lab

_ACCOUNTS = 200  # synthetic customers, of the wallet's 1000 accounts
_PAYEES = 50

# of manifests/wallet.yaml, of the wallet's breakers, of the edge and of Kubernetes' defaults
_PERIODS = {
    "scrape": "1s",
    "gateway_check": "30s",
    "breaker_wait": "10s",
    "keep_alive": "30s",
    "node_grace": "50s",
}


def document(lab: Lab, kubeconfig: str, cluster_uid: str) -> dict[str, object]:
    """The content of environment.yaml."""
    return {
        "name": f"lab-{lab.number}",
        "kind": "laboratory",
        "kubernetes": {"kubeconfig": kubeconfig, "cluster_uid": cluster_uid},
        "prometheus": {"url": f"http://{lab.prometheus}"},
        "toxiproxy": [{"url": f"http://{lab.toxiproxy}"}],
        "customers": {
            "url": f"http://{lab.entrance}",
            "values": {
                "accounts": [f"acc-{number:04}" for number in range(1, _ACCOUNTS + 1)],
                "payees": [f"ext-{number:04}" for number in range(1, _PAYEES + 1)],
            },
        },
        "ledger": {
            "transfers": f"http://{lab.entrance}/ledger/transfers",
            "settlements": f"http://{lab.banks}/settlements",
            "sums": f"http://{lab.entrance}/ledger/sums",
        },
        "workload": {"namespace": "wallet", "selector": "app=wallet-api"},
        "breakers": {
            "pix-primary": {"backup": "pix-backup", "failures": 10, "call_limit": "2s"},
            "pix-backup": {"failures": 10, "call_limit": "2s"},
            "ted": {"failures": 10, "call_limit": "2s"},
        },
        "periods": dict(_PERIODS),
        "policy": {"namespaces": ["wallet"], "proxies": [*GATEWAYS]},
        "controls": {"command": _defect(lab)},
    }


def _defect(lab: Lab) -> list[str]:
    """The command that plants a defect; it works in any folder."""
    root = Path(__file__).parent.parent
    python = [sys.executable, "-m", "lab", "--lab", str(lab.number), "defect"]
    return ["env", f"PYTHONPATH={root}", *python]


def write(path: Path, content: dict[str, object]) -> None:
    """Write it whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    header = "# Written by `python -m lab up`: where the lab is, and what may be broken there.\n"
    new.write_text(header + yaml.safe_dump(content, sort_keys=False, width=100))
    new.replace(path)
