"""A mixed load: creations and updates, four workflows, some executions of one step and some of two.

Half of the leads start a task, half two tasks, and half a task at their update; one in ten has a field of its own
changed, so its other executions wait behind that one. It is the load that ending at intake is judged by.
"""

import time
from typing import Any, Final

from bson import ObjectId

from benchmarks.burst import BurstRun, ended
from benchmarks.contender import Arena, Server, child, daemon, prepared
from benchmarks.workload import MATCHING, lead_documents

_TASK: Final = {"type": "create_task"}
_CREATED: Final = {"type": "entity_created", "entity_type": "lead"}
_UPDATED: Final = {"type": "field_updated", "entity_type": "lead", "field": "stage"}
WORKFLOWS: Final[list[dict[str, Any]]] = [
    {
        "name": "Call those who ask",
        "trigger": _CREATED,
        "conditions": [{"field": "source", "operator": "equals", "value": MATCHING}],
        "actions": [_TASK],
    },
    {
        "name": "Look at large budgets",
        "trigger": _CREATED,
        "conditions": [{"field": "budget", "operator": "greater_than", "value": 50_000}],
        "actions": [_TASK, _TASK],
    },
    {
        "name": "Mark the smallest budgets",
        "trigger": _CREATED,
        "conditions": [{"field": "budget", "operator": "less_than", "value": 10_000}],
        "actions": [{"type": "update_field", "field": "team", "value": "small"}],
    },
    {"name": "Prepare an offer", "trigger": _UPDATED, "actions": [_TASK]},
]


async def mixed(server: Server, module: str, leads: int) -> BurstRun:
    """Return the figures of one burst with the daemon in ``module``; raise RuntimeError if a task is missing."""
    expected, tasks = _expected(leads)
    async with prepared(server) as database:
        await database["workflows"].insert_many(
            [{"_id": ObjectId(), "status": "active", **workflow} for workflow in WORKFLOWS]
        )
        directory = server.directory / database.name
        async with (
            daemon(server, database.name, directory, module=module) as program,
            child(server, "mixed_writer", database.name, count=leads) as writer,
        ):
            stage = Arena(server, database, (program,))
            rss, own, mongod = stage.rss_mb(), stage.cpu_s(), server.cpu_s()
            await writer.give_word()
            await ended(stage, expected)
            ended_at = time.monotonic()
            own, mongod = stage.cpu_s() - own, server.cpu_s() - mongod
            took = ended_at - (await writer.heard())["began"]
            found = await database["tasks"].count_documents({})
            if found != tasks:
                raise RuntimeError(f"wrong result: expected {tasks} tasks, found {found}")
            changes = leads + leads // 2
            return BurstRun(
                changes / took, expected / took, own / expected * 1e6, mongod / expected * 1e6, rss, stage.rss_mb()
            )


def _expected(count: int) -> tuple[int, int]:
    """Return how many executions and tasks the leads of the writer start."""
    leads = lead_documents(count, 2)
    matching = sum(lead["source"] == MATCHING for lead in leads)
    large = sum(lead["budget"] > 50_000 for lead in leads)
    small = sum(lead["budget"] < 10_000 for lead in leads)
    updated = len(leads[::2])
    return matching + large + small + updated, matching + 2 * large + updated
