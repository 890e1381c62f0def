"""Runs by hand: a document inserted in workflow_requests is answered in place."""

from typing import Any

import pytest
from bson import ObjectId, Regex

from tests.support.bench import Bench, created, workflow_document

MANUAL = {"type": "manual", "entity_type": "lead"}


async def answer(bench: Bench, **request: Any) -> dict[str, Any]:
    """Insert a request; return it with its answer."""
    requests = bench.database["workflow_requests"]
    inserted = await requests.insert_one(request)

    async def is_answered() -> object:
        return await requests.find_one({"_id": inserted.inserted_id, "answered_at": {"$exists": True}})

    found = await bench.committed(is_answered)
    assert isinstance(found, dict)
    return found


async def lead(bench: Bench, **fields: Any) -> Any:
    return (await bench.leads.insert_one(fields)).inserted_id


async def test_a_request_runs_a_workflow_for_an_entity(shared: Bench) -> None:
    workflow, lead_id = await shared.add(MANUAL), await lead(shared)
    found = await answer(shared, workflow_id=workflow, entity_id=lead_id)
    assert found["status"] == "accepted"
    (run,) = await shared.ended(workflow, 1)
    assert run["_id"] == found["execution_id"]
    assert run["trigger"]["request_id"] == found["_id"]
    assert run["triggered_by_entity_id"] == lead_id


async def test_any_workflow_can_be_run_by_hand(shared: Bench) -> None:
    lead_id = await lead(shared)
    workflow = await shared.add(created())
    assert (await answer(shared, workflow_id=workflow, entity_id=lead_id))["status"] == "accepted"


async def test_ids_may_be_given_as_text(shared: Bench) -> None:
    workflow, lead_id = await shared.add(MANUAL), await lead(shared)
    assert (await answer(shared, workflow_id=str(workflow), entity_id=str(lead_id)))["status"] == "accepted"
    named = await shared.add(MANUAL, _id="named")
    await shared.leads.insert_one({"_id": "lead-1"})
    assert (await answer(shared, workflow_id=named, entity_id="lead-1"))["status"] == "accepted"
    (run,) = await shared.ended(workflow, 1)
    assert run["triggered_by_entity_id"] == lead_id


async def test_a_manual_workflow_without_a_type_takes_entities_of_all(shared: Bench) -> None:
    workflow = await shared.add({"type": "manual"})
    deal = (await shared.deals.insert_one({})).inserted_id
    assert (await answer(shared, workflow_id=workflow, entity_id=deal))["status"] == "accepted"
    (run,) = await shared.ended(workflow, 1)
    assert run["triggered_by_entity_type"] == "deal"


async def test_conditions_and_enrollment_are_asked_unless_forced(shared: Bench) -> None:
    asking = await shared.add(MANUAL, enrollment="once", conditions=[{"field": "n", "operator": "equals", "value": 1}])
    one, two = await lead(shared, n=1), await lead(shared, n=2)
    refused = await answer(shared, workflow_id=asking, entity_id=two)
    assert (refused["status"], refused["reason"]) == ("refused", "condition_not_met: n equals 1, found 2")
    assert (await answer(shared, workflow_id=asking, entity_id=one))["status"] == "accepted"
    again = await answer(shared, workflow_id=asking, entity_id=one)
    assert (again["status"], again["reason"]) == ("refused", "already_enrolled")
    for lead_id in (one, two):
        assert (await answer(shared, workflow_id=asking, entity_id=lead_id, force=True))["status"] == "accepted"


@pytest.mark.parametrize("status", ["paused", "draining", "stopped"])
async def test_a_workflow_that_is_not_active_runs_for_nobody(shared: Bench, status: str) -> None:
    workflow, lead_id = await shared.add(MANUAL, status=status), await lead(shared)
    found = await answer(shared, workflow_id=workflow, entity_id=lead_id, force=True)
    assert (found["status"], found["reason"]) == ("refused", status)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "workflow_id"),
        ({"workflow_id": "nobody", "entity_id": 1}, "workflow_not_found"),
        ({"workflow_id": {"$ne": None}, "entity_id": 1}, "workflow_not_found"),
        ({"workflow_id": "w", "entity_id": {"$ne": None}}, "entity_not_found"),
        ({"workflow_id": "w", "entity_id": "nobody"}, "entity_not_found"),
        ({"workflow_id": "w", "entity_id": Regex(".*")}, "entity_not_found"),
        ({"workflow_id": "w", "entity_id": [1]}, "entity_not_found"),
        ({"workflow_id": "w"}, "entity_id"),
        ({"workflow_id": "w", "entity_id": None}, "entity_not_found"),
        ({"workflow_id": "w", "entity_id": 1, "entity_type": "deal"}, "entity_type"),
        ({"workflow_id": "w", "entity_id": 1, "entity_type": ["lead"]}, "entity_type"),
        ({"workflow_id": "w", "entity_id": 1, "entity_type": 5}, "entity_type"),
        ({"workflow_id": "w", "entity_id": 1, "force": "yes"}, "force"),
        ({"workflow_id": "w", "entity_id": 1, "forse": True}, "forse"),
        ({"workflow_id": ["w"], "entity_id": [1, 2]}, "workflow_not_found"),
    ],
    ids=repr,
)
async def test_odd_requests_are_refused_with_a_reason(shared: Bench, request_: dict[str, Any], reason: str) -> None:
    await shared.workflows.replace_one({"_id": "w"}, workflow_document(MANUAL, _id="w"), upsert=True)
    found = await answer(shared, **request_)
    assert found["status"] == "refused"
    assert found["reason"].startswith(reason)


async def test_a_request_for_an_invalid_workflow_says_what_is_wrong_with_it(shared: Bench) -> None:
    workflow = await shared.add(MANUAL, actions=[])
    found = await answer(shared, workflow_id=workflow, entity_id=await lead(shared))
    assert found["reason"].startswith("workflow_invalid: actions")


async def test_many_requests_at_once_are_all_answered(shared: Bench) -> None:
    workflow = await shared.add(MANUAL)
    leads = [ObjectId() for _ in range(300)]
    await shared.leads.insert_many([{"_id": lead_id} for lead_id in leads])
    requests = shared.database["workflow_requests"]
    await requests.insert_many([{"workflow_id": workflow, "entity_id": lead_id} for lead_id in leads])

    async def are_answered() -> object:
        return await requests.count_documents({"workflow_id": workflow, "status": "accepted"}) == len(leads)

    await shared.committed(are_answered)
    assert sorted(await shared.ran_for(workflow)) == sorted(leads)
