"""What was predicted of replicas, beside what a run saw: told, never judged."""

from dataclasses import replace
from typing import Any

import pytest

from holdfast.judge import judge
from holdfast.model import Json, Observation, Record
from tests.judge_stories import Story, told
from tests.stories import ns

DROPPED = Story("zones.drop", hold=70.0, objectives=("restart",))


def predicted(record: Record, *workloads: Json) -> Record:
    """The record, had this been predicted before the run."""
    prediction = {"carries": "yes", "why": [], "workloads": workloads, "budgets": []}
    return replace(record, plan={**record.plan, "prediction": prediction})


def workload(placed: dict[str, int], *, service: bool = True) -> dict[str, Any]:
    return {"workload": "wallet/x", "service": service, "placed": placed, "pending": []}


def came_back(record: Record) -> Observation:
    """The one observation about it."""
    (found,) = [one for one in judge(record).observations if one.name == "replicas-came-back"]
    return found


@pytest.mark.parametrize(
    ("placed", "as_many", "same_places"),
    [
        ({"d": 1}, True, True),
        ({"c": 1}, True, False),
        ({"d": 2}, False, False),
        ({}, False, False),
    ],
)
def test_the_replicas_that_came_back_beside_those_that_were_foretold(
    placed: dict[str, int], as_many: bool, same_places: bool
) -> None:
    """`wallet-d` came back, in a zone of its own letter."""
    others = workload({"b": 5}, service=False)
    found = came_back(predicted(told(DROPPED), workload(placed), others))
    assert found.value == 1
    assert found.detail["seen"] == {"d": 1}
    assert found.detail["predicted"] == placed
    assert found.detail["as_many"] is as_many
    assert found.detail["same_places"] is same_places
    assert "seen: 1 in d" in found.why


def test_none_came_back() -> None:
    found = came_back(predicted(told(replace(DROPPED, back=None)), workload({})))
    assert (found.value, found.detail["as_many"]) == (0, True)
    assert found.why == "predicted: none; seen: none"


def test_one_that_came_back_and_was_not_ready_at_the_last_look_still_came_back() -> None:
    """Whether it stayed ready is what `restart` judges."""
    record = predicted(told(DROPPED), workload({"d": 1}))
    pods = tuple(_unready(one) if one["looked_ns"] > ns(60) else one for one in record.pods)
    assert came_back(replace(record, pods=pods)).value == 1


def _unready(look: Json) -> Json:
    return {**look, "pods": [{**pod, "ready": False} for pod in look["pods"]]}


def test_pods_that_nobody_saw_during_the_fault() -> None:
    record = told(DROPPED)
    early = tuple(one for one in record.pods if one["looked_ns"] < ns(0))
    found = came_back(predicted(replace(record, pods=early), workload({"d": 1})))
    assert found.value is None
    assert found.why == "the pods were not seen before and after the fault"


def test_a_run_without_a_prediction_tells_of_none() -> None:
    names = {one.name for one in judge(told(DROPPED)).observations}
    assert "replicas-came-back" not in names


def test_a_wrong_prediction_changes_no_verdict() -> None:
    record = told(DROPPED)
    wrong = predicted(record, workload({"c": 7}))
    assert judge(wrong).findings == judge(record).findings
