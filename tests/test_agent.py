"""What a node agent decides: nothing here starts a process or opens a socket."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab.addresses import Lab, listening, pod_address, reported
from lab.agent import Addresses, node_host, read_images
from lab.agent_pods import Observed, Pod, Probe, Streak, backoff, ended, ready_condition

NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
IMAGES = Path(__file__).parent.parent / "lab" / "images.yaml"


def pod(**metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "wallet", "name": "wallet-api-x", "uid": "u-1", **metadata},
        "spec": {
            "containers": [
                {
                    "name": "wallet-api",
                    "image": "wallet-api:1",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "env": [{"name": "DEFECTS", "value": "bypass"}, {"name": "EMPTY"}],
                    "readinessProbe": {
                        "httpGet": {"path": "/healthz/ready", "port": "http"},
                        "periodSeconds": 1,
                        "failureThreshold": 2,
                    },
                }
            ]
        },
    }


def probe(failures: int = 3, successes: int = 1) -> Probe:
    return Probe("/", 80, 0, 1, 1, failures, successes)


def test_a_pod_of_zone_2_in_lab_8_listens_in_127_8_128() -> None:
    assert pod_address(8, 2, 1) == "127.8.128.1"


def test_the_third_octet_makes_room_when_254_addresses_were_handed_out() -> None:
    assert [pod_address(1, 1, count) for count in (254, 255)] == ["127.1.64.254", "127.1.65.1"]


def test_no_address_is_handed_out_twice_in_a_zone() -> None:
    handed_out = [pod_address(1, 3, count) for count in range(1, 16_257)]
    assert len(set(handed_out)) == 16_256


def test_a_zone_without_addresses_left_refuses() -> None:
    with pytest.raises(ValueError, match="zone 3 are used up"):
        pod_address(1, 3, 16_257)


def test_pods_report_10_where_they_listen_on_127() -> None:
    assert reported("127.8.64.3") == "10.8.64.3"
    assert listening("10.8.64.3") == "127.8.64.3"


def test_a_new_agent_goes_on_where_the_one_before_it_stopped(tmp_path: Path) -> None:
    lab = Lab(1, tmp_path)
    lab.data.mkdir()
    first = [Addresses(lab, "node-a").next() for _ in range(2)]
    assert [*first, Addresses(lab, "node-a").next()] == [
        "127.1.64.1",
        "127.1.64.2",
        "127.1.64.3",
    ]


def test_each_node_has_an_address_of_its_own() -> None:
    assert [node_host(name) for name in ("node-a", "node-b", "node-c")] == [21, 22, 23]


def test_a_pods_spec_is_read() -> None:
    read = Pod.parse(pod())
    assert read.image == "wallet-api:1"
    assert read.environment == {"DEFECTS": "bypass", "EMPTY": ""}
    assert read.readiness == Probe("/healthz/ready", 8080, 0, 1, 1, 2, 1)
    assert read.liveness is None
    assert read.grace is None


def test_a_pod_that_is_being_deleted_has_its_grace_period() -> None:
    read = Pod.parse(pod(deletionTimestamp="2026-03-02T12:00:10Z", deletionGracePeriodSeconds=10))
    assert read.grace == 10.0


def test_a_first_container_has_no_restarts() -> None:
    assert Pod.parse(pod()).restarts == 0


def test_a_container_that_an_earlier_agent_ran_counts_as_restarted() -> None:
    item = pod() | {"status": {"containerStatuses": [{"restartCount": 4}]}}
    assert Pod.parse(item).restarts == 5


def test_a_process_is_told_where_it_runs() -> None:
    given = Pod.parse(pod()).variables("127.1.64.1", "node-a", "sa-east-1a")
    assert given == {
        "DEFECTS": "bypass",
        "EMPTY": "",
        "POD_NAME": "wallet-api-x",
        "POD_UID": "u-1",
        "POD_NAMESPACE": "wallet",
        "POD_IP": "10.1.64.1",
        "HOST": "127.1.64.1",
        "PORT": "8080",
        "NODE_NAME": "node-a",
        "ZONE": "sa-east-1a",
    }


def test_only_probes_by_http_are_made() -> None:
    assert Probe.parse({"exec": {"command": ["true"]}}, {}) is None
    assert Probe.parse(None, {}) is None


def test_one_good_answer_makes_a_pod_ready() -> None:
    assert Streak(False).after(True, probe()).verdict is True


def test_a_ready_pod_stays_ready_until_three_answers_in_a_row_failed() -> None:
    streak = Streak(True)
    verdicts = []
    for good in (False, False, True, False, False, False):
        streak = streak.after(good, probe(failures=3))
        verdicts.append(streak.verdict)
    assert verdicts == [True, True, True, True, True, False]


def test_answers_that_fail_keep_a_pod_that_never_was_ready_out() -> None:
    assert Streak(False).after(False, probe(failures=1)).verdict is False


def test_the_first_restart_comes_at_once_and_later_ones_wait_longer() -> None:
    assert [backoff(restarts) for restarts in (0, 1, 2, 3, 4)] == [0, 0, 10, 20, 40]
    assert backoff(30) == 300


def test_a_pod_that_is_not_started_yet_is_pending() -> None:
    status = Observed(NOON, NOON).status(Pod.parse(pod()), "10.1.0.21")
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    assert "podIP" not in status


def test_a_pod_that_is_ready_says_since_when_and_where() -> None:
    later = NOON + timedelta(seconds=3)
    seen = Observed(NOON, later, address="10.1.64.1", pid=77, began=NOON, ready=True)
    status = seen.status(Pod.parse(pod()), "10.1.0.21")
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert ready == {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": "2026-03-02T12:00:03Z",
    }
    assert (status["phase"], status["podIP"]) == ("Running", "10.1.64.1")
    assert status["containerStatuses"][0]["state"]["running"] == {
        "startedAt": "2026-03-02T12:00:00Z"
    }


def test_a_process_that_died_waits_and_keeps_how_it_died() -> None:
    died = ended(-9, NOON, NOON + timedelta(seconds=5))
    seen = Observed(NOON, NOON, began=NOON, restarts=2, waiting=("CrashLoopBackOff", ""), last=died)
    container = seen.status(Pod.parse(pod()), "10.1.0.21")["containerStatuses"][0]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 137
    assert container["restartCount"] == 2


def test_a_clean_exit_is_completed() -> None:
    assert ended(0, NOON, NOON)["reason"] == "Completed"


def test_a_node_that_stays_ready_keeps_the_instant_since_when() -> None:
    known = {
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-02T11:00:00Z"}
            ]
        }
    }
    condition = ready_condition(known, NOON)
    assert condition["lastTransitionTime"] == "2026-03-02T11:00:00Z"
    assert condition["lastHeartbeatTime"] == "2026-03-02T12:00:00Z"


def test_a_node_that_was_lost_is_ready_since_now() -> None:
    known = {
        "status": {
            "conditions": [
                {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-03-02T11:00:00Z"}
            ]
        }
    }
    assert ready_condition(known, NOON)["lastTransitionTime"] == "2026-03-02T12:00:00Z"
    assert ready_condition(None, NOON)["lastTransitionTime"] == "2026-03-02T12:00:00Z"


def test_an_image_is_the_name_of_a_command() -> None:
    command = read_images(IMAGES)["wallet-api:1"]
    assert command[1:] == ("-m", "lab.wallet.api")
