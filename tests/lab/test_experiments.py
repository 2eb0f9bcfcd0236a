"""Every experiment holds on the healthy wallet, and every planted defect is found out."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.conftest import RunExperiment, Switch, told

DEFECTS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "defects.yaml").read_text()
)
# 3,300 transfers decide `success`; a window holds 299 balance queries or more. Half of two cores:
# unit tests and the other lab run beside it
HEALTHY = {"before": "45s", "after": "45s", "load": {"pix-transfer": "74/s", "balance": "32/s"}}
SHORT = {"before": "10s", "after": "10s"}
KILL = {"kill-wallet-pods": {"at_least": "20s"}}  # nothing is held: no slower mechanism to wait for


@pytest.mark.lab
@pytest.mark.parametrize("name", ["kill-wallet-pods", "drop-zone", "slow-gateway", "dead-gateway"])
def test_the_healthy_wallet_keeps_every_promise(
    name: str, switch: Switch, run_experiment: RunExperiment
) -> None:
    """An experiment that cannot pass on a healthy platform proves nothing about another."""
    switch("none")
    ran = run_experiment(name, **HEALTHY, **KILL.get(name, {}))
    assert set(ran.verdicts.values()) == {"held"}, told(ran)
    assert ran.exit_code == 0, told(ran)


@pytest.mark.lab
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_gives_exactly_its_findings(
    defect: str, switch: Switch, run_experiment: RunExperiment
) -> None:
    """holdfast goes red for the right reason, and only there."""
    expected = DEFECTS[defect]
    switch(defect)
    changes = {"objectives": list(expected["verdicts"]) or ["recovery"]}
    changes |= {"at_least": expected["at_least"]} if "at_least" in expected else {}
    ran = run_experiment(expected["experiment"], **SHORT, **changes)
    assert ran.verdicts == expected["verdicts"], told(ran)
    assert ran.exit_code == expected["exit_code"], ran.stderr
    assert expected.get("stderr", "") in ran.stderr
    assert all(expected.get("why", "") in why for why in ran.whys.values())
    assert expected.get("money", "") in ran.whys.get("money", "")
