"""What a batch asks for: in stream order, bounded, and spread over transactions where it is too much for one."""

import sys
from datetime import UTC, datetime
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from daemon.stream.current import Current
from daemon.stream.decode import Decoder, StreamEvent
from daemon.stream.manual import Answer, Manual
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.plan import Candidate, Plan, Planner
from daemon.versions.workflow_index import WorkflowIndex
from rules.version import Version
from tests.support.bench import created, deleted, workflow_document
from tests.support.change import parsed

DECODER = Decoder({"leads": "lead"}, "workflows", "workflow_requests", "workflow_effects")
NOTHING = Current(sys.maxsize, {}, {})
AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Stream:
    """Events one after the other, and a planner that reads them."""

    def __init__(self) -> None:
        self.index = WorkflowIndex(parsed)
        self.planner = Planner(self.index, Manual(self.index, ["lead"]), max_depth=5)
        self._count = 0

    def event(self, collection: str, document_id: Any, operation: str = "insert", **more: Any) -> StreamEvent:
        self._count += 1
        body = {
            "_id": {"_data": f"82{self._count:08d}"},
            "operationType": operation,
            "clusterTime": Timestamp(100, self._count),
            "wallTime": AT,
            "ns": {"db": "crm", "coll": collection},
            "documentKey": {"_id": document_id},
            **more,
        }
        return DECODER.decode(RawBSONDocument(bson.encode(body)))

    def lead(self, lead_id: Any, **more: Any) -> StreamEvent:
        return self.event("leads", lead_id, fullDocument={"_id": lead_id}, **more)

    def workflow(self, **changes: Any) -> StreamEvent:
        document = workflow_document(created(), **changes)
        return self.event("workflows", document["_id"], "replace", fullDocument=document)

    async def plan(self, *events: StreamEvent, done: int = 0, **more: Any) -> Plan:
        return await self.planner.plan(events, done, NO_CAUSES, NOTHING, **more)


def entrants(plan: Plan) -> list[tuple[Any, Any]]:
    """Return (workflow id, entity id) of those that are to enter, in order."""
    return [
        (each.workflow.id, each.entity_id)
        for item in plan.items
        if isinstance(item, Candidate)
        for each in item.entrants
    ]


async def test_a_switch_takes_effect_at_its_place_among_the_changes() -> None:
    stream = Stream()
    plan = await stream.plan(
        stream.lead(1),
        stream.workflow(_id="w"),
        stream.lead(2),
        stream.workflow(_id="w", status="paused"),
        stream.lead(3),
        stream.workflow(_id="w"),
        stream.lead(4),
    )
    assert entrants(plan) == [("w", 2), ("w", 4)]
    assert [item.number for item in plan.items if isinstance(item, Version)] == [1, 2, 3]
    assert plan.consumed == 7


async def test_a_version_knows_when_it_was_written() -> None:
    stream = Stream()
    (version,) = (await stream.plan(stream.workflow())).items
    assert isinstance(version, Version)
    assert version.since == AT


async def test_a_replace_without_anything_new_is_to_be_answered_again() -> None:
    stream = Stream()
    await stream.plan(stream.workflow(_id="w"))
    plan = await stream.plan(stream.workflow(_id="w"))
    assert (plan.items, plan.rewritten) == ([], ["w"])


async def test_a_change_that_matches_more_than_a_transaction_holds_is_continued() -> None:
    stream = Stream()
    await stream.plan(*(stream.workflow(_id=f"w{n}") for n in range(7)))
    event, plan = stream.lead(1), Plan()
    seen = []
    for _ in range(4):
        plan = await stream.plan(event, done=plan.done, most_writes=4)
        seen += [workflow_id for workflow_id, _ in entrants(plan)]
    assert seen == [f"w{n}" for n in range(7)]
    assert (plan.done, plan.consumed, plan.last) == (0, 1, event)


async def test_a_plan_ends_where_a_transaction_is_full() -> None:
    stream = Stream()
    await stream.plan(stream.workflow(_id="w"))
    events = [stream.lead(n) for n in range(10)]
    plan = await stream.plan(*events, most_writes=9)
    assert (plan.consumed, plan.last) == (3, events[2])


async def test_large_entities_that_are_kept_count_by_their_size() -> None:
    stream = Stream()
    document = workflow_document(deleted(), _id="w")
    await stream.plan(stream.event("workflows", "w", fullDocument=document))
    big = {"_id": 1, "text": "x" * 3_000_000}
    events = [stream.event("leads", n, "delete", fullDocumentBeforeChange=big) for n in range(10)]
    assert (await stream.plan(*events)).consumed == 3


async def test_causes_hold_for_the_changes_of_their_transaction_only() -> None:
    stream = Stream()
    await stream.plan(stream.workflow(_id="w"))
    record = {"entity_type": "lead", "entity_id": 1, "execution_id": "e", "depth": 1, "chain": ["w"]}
    ours: dict[str, Any] = {"lsid": {"id": bson.Binary(b"s" * 16, 4)}, "txnNumber": 1}
    effects = stream.event("workflow_effects", "x", fullDocument={"causes": [record]}, **ours)
    plan = await stream.plan(effects, stream.lead(1, **ours), stream.lead(1))
    refused, entered = plan.items
    assert isinstance(refused, Candidate)
    assert isinstance(entered, Candidate)
    assert [each.reason for each in refused.refusals] == ["reentry"]
    assert len(entered.entrants) == 1
    assert plan.causes is NO_CAUSES


async def test_a_workflow_that_was_deleted_since_and_came_without_an_image_is_left_to_its_deletion() -> None:
    stream = Stream()
    plan = await stream.plan(
        stream.event("workflows", "w", "update", updateDescription={"updatedFields": {}, "removedFields": []})
    )
    assert (plan.items, plan.consumed) == ([], 1)


async def test_a_request_that_cannot_be_is_answered() -> None:
    stream = Stream()
    (answer,) = (await stream.plan(stream.event("workflow_requests", "r", fullDocument={"_id": "r"}))).items
    assert answer == Answer("r", "workflow_id: expected an id, found nothing")


async def test_structures_are_told_apart() -> None:
    stream = Stream()
    plan = await stream.plan(stream.event("leads", None, "drop"), stream.lead(1))
    assert [event.operation for event in plan.structures] == ["drop"]
    assert plan.consumed == 2
