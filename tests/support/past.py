"""What happened in a database, read from its change stream after the fact: attempts and checkpoints over time."""

from dataclasses import dataclass, field
from typing import Any, Final

from bson import Timestamp
from pymongo.asynchronous.database import AsyncDatabase

_FIELDS: Final = ("step", "attempt", "refunds")


@dataclass
class Past:
    """Every breach of I3 and I6 that the stream shows, and how often each thing was done."""

    breaches: list[str] = field(default_factory=list)
    checkpoints: int = 0
    moves: int = 0  # of executions


async def past_since(database: AsyncDatabase[dict[str, Any]], since: Timestamp) -> Past:
    """Return what the stream tells from ``since`` until now; the stream must reach back that far."""
    past = Past()
    pipeline = [{"$match": {"ns.coll": {"$in": ["workflow_executions", "workflow_state"]}}}]
    executions: dict[Any, dict[str, int]] = {}
    checkpoint = {"commit": -1, "seq": -1}
    until = (await database.command("ping"))["operationTime"]
    async with await database.watch(pipeline, start_at_operation_time=since, max_await_time_ms=200) as stream:
        while stream.alive:
            event = await stream.try_next()
            if event is None:
                break
            if event["clusterTime"] > until:
                break
            if event["ns"]["coll"] == "workflow_executions":
                _move(past, executions, event)
            elif event.get("documentKey", {}).get("_id") == "checkpoint":
                _checkpoint(past, checkpoint, event)
    return past


def _move(past: Past, executions: dict[Any, dict[str, int]], event: dict[str, Any]) -> None:
    """I3: steps only grow; within a step attempts only grow, unless a refund is recorded."""
    past.moves += 1
    key = event["documentKey"]["_id"]
    if event["operationType"] == "insert":
        executions[key] = {name: event["fullDocument"].get(name, 0) for name in _FIELDS}
        return
    before = executions.get(key)
    if before is None or event["operationType"] != "update":
        return
    changed = event["updateDescription"]["updatedFields"]
    after = {name: changed.get(name, before[name]) for name in _FIELDS}
    if after["step"] < before["step"] or after["step"] > before["step"] + 1:
        past.breaches.append(f"I3: execution {key} went from step {before['step']} to {after['step']}")
    is_refunded = after["refunds"] > before["refunds"]
    if after["step"] == before["step"] and after["attempt"] < before["attempt"] and not is_refunded:
        past.breaches.append(f"I3: execution {key} went from attempt {before['attempt']} to {after['attempt']}")
    executions[key] = after


def _checkpoint(past: Past, checkpoint: dict[str, int], event: dict[str, Any]) -> None:
    """I6: the checkpoint never moves back."""
    past.checkpoints += 1
    document = event.get("fullDocument")
    if document is None:
        return
    for name in ("commit", "seq"):
        if document[name] < checkpoint[name]:
            past.breaches.append(f"I6: {name} of the checkpoint went from {checkpoint[name]} to {document[name]}")
        checkpoint[name] = document[name]
