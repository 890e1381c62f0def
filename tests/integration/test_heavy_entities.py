"""One document's weight is its own workflow's affair: a lead of many megabytes is judged rightly, and nobody waits."""

from typing import Any, Final

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from tests.support.bench import TASK, Bench, created, deleted, updated
from tests.support.watchdog import least_stall

STALL_S: Final = 0.05  # of the loop's own processor time
TEXT: Final = "x" * 200_000
FIRST: Final = {"email": "a@example.com", "status": "new"}
LAST: Final = {"stage": "won", "address": {"city": "Berlin"}}
LARGEST: Final = {"history": [TEXT] * 79}
HEAVY: Final[list[dict[str, Any]]] = [  # so large that an event holds both images
    {"history": [TEXT] * 37},
    {"numbers": list(range(600_000))},
    {"documents": [{"n": 1}] * 320_000},
]


def is_won(field: str = "stage", value: str = "won") -> dict[str, Any]:
    return {"field": field, "operator": "equals", "value": value}


def encoded(more: dict[str, Any]) -> RawBSONDocument:
    """Return a lead that the driver has nothing to do with but to send it."""
    return RawBSONDocument(bson.encode({"_id": ObjectId(), **FIRST, **more, **LAST}))


async def test_a_heavy_lead_is_judged_rightly_and_holds_up_nobody(shared: Bench) -> None:
    asked = [is_won(), is_won("address.city", "Berlin"), is_won("email", "a@example.com")]
    steps = [
        {**TASK, "conditions": asked},
        {"type": "update_field", "field": "stage", "value": "seen"},
        {**TASK, "conditions": [is_won("stage", "seen")]},
    ]
    made = await shared.add(created(), conditions=asked)
    moved = await shared.add(updated("status"), conditions=asked, actions=steps)
    grown = await shared.add(updated("history"), actions=[TASK])
    seen = [is_won("stage", "seen"), *asked[1:]]
    gone = await shared.add(deleted(), conditions=seen, actions=[{**TASK, "conditions": seen, "delay": 0.1}])
    await shared.taken_in()
    leads = [bytes(encoded(more).raw) for more in HEAVY]
    largest = encoded(LARGEST)
    await shared.leads.insert_one(largest)
    ids: list[Any] = [largest["_id"]]
    grew: list[Any] = []

    async def have_ended(workflow: Any) -> None:
        """Count only: to read the executions here, in the same loop, would decode their images."""
        ended = {"workflow_id": workflow, "completed_at": {"$ne": None}}

        async def count() -> bool:
            return await shared.executions.count_documents(ended) == len(grew)

        await shared.committed(count)

    async def write() -> None:
        for raw in leads:
            lead_id = ObjectId()
            await shared.leads.insert_one(RawBSONDocument(raw[:9] + lead_id.binary + raw[21:]))
            ids.append(lead_id)
            grew.append(lead_id)
            await shared.leads.update_one({"_id": lead_id}, {"$push": {"history": TEXT}, "$set": {"status": "moved"}})
        await have_ended(moved)
        for lead_id in grew[-len(leads) :]:
            await shared.leads.delete_one({"_id": lead_id})
        await have_ended(gone)

    stall = await least_stall(write, STALL_S)
    assert await shared.ran_for(made) == ids
    for workflow in (moved, grown, gone):
        runs = await shared.ended(workflow, len(grew))
        assert [run["triggered_by_entity_id"] for run in runs] == grew
        assert {run["status"] for run in runs} == {"completed"}
        assert {step["status"] for run in runs for step in run["actions_executed"]} == {"success"}
    assert stall < STALL_S


async def test_what_one_workflow_decodes_keeps_no_other_from_its_enrollment_or_run(shared: Bench) -> None:
    once = await shared.add(created(), enrollment={"once_per": "email"})
    by_hand = await shared.add({"type": "manual"}, conditions=[is_won()])
    costly = [{"field": "texts", "operator": "contains", "value": "x"}]
    await shared.add(created(), conditions=costly)
    costly_by_hand = await shared.add({"type": "manual"}, conditions=costly)
    lead = RawBSONDocument(bson.encode({"_id": ObjectId(), "texts": ["a text"] * 40_000, **FIRST, **LAST}))
    await shared.leads.insert_one(lead)
    assert await shared.ran_for(once) == [lead["_id"]]

    requests = shared.database["workflow_requests"]
    wanted = [
        {"workflow_id": each, "entity_id": lead["_id"], "entity_type": "lead"} for each in (costly_by_hand, by_hand)
    ]
    async with shared.database.client.start_session() as session, await session.start_transaction():
        await requests.insert_many(wanted, session=session)  # read together
    assert await shared.ran_for(by_hand) == [lead["_id"]]
