"""One run of a scheduled workflow: page through every entity that meets the conditions and enqueue it.

Each page is committed in one transaction with the position it reached, so a crash in mid-sweep resumes there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Collections
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.schedule.page import Page, open_pages
from daemon.stream.intake import Intake
from daemon.stream.workflow_index import WorkflowIndex
from rules.explain import Refusal
from rules.identity import bson_bytes, change_id
from rules.workflow import Status, Workflow


@dataclass(slots=True)
class Progress:
    """How far a sweep has come. ``after`` holds the last id handled, in a list; empty before the first page."""

    fire_at: datetime
    after: list[Any] = field(default_factory=list)
    matched: int = 0
    enqueued: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "fire_at": self.fire_at,
            "after": list(self.after),
            "matched": self.matched,
            "enqueued": self.enqueued,
            "refused": dict(self.refused),
        }


def progress_from(document: object) -> Progress | None:
    """Return the progress that ``to_document`` stored, None if it is not that."""
    if not isinstance(document, Mapping):
        return None
    fire_at, after, refused = document.get("fire_at"), document.get("after"), document.get("refused")
    matched, enqueued = document.get("matched"), document.get("enqueued")
    if not isinstance(fire_at, datetime) or not isinstance(after, list) or not isinstance(refused, dict):
        return None
    if not isinstance(matched, int) or not isinstance(enqueued, int):
        return None
    return Progress(fire_at, after, matched, enqueued, dict(refused))


def schedule_id(workflow_id: Any) -> str:
    """Return the id of a workflow's schedule document in workflow_state."""
    return f"schedule/{bson_bytes(workflow_id).hex()}"


class Sweep:
    """Runs sweeps through the intake, so that they are numbered and fenced like everything else."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        entities: Mapping[str, str],
        intake: Intake,
        index: WorkflowIndex,
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._names = names
        self._entities = entities
        self._intake = intake
        self._index = index

    async def run(self, workflow: Workflow, progress: Progress) -> bool:
        """Enqueue every entity that meets the conditions; return False if the workflow was switched or edited.

        Raises as ``Intake.take`` does; then the stored progress is where the next run goes on.
        """
        entities = self._database[self._entities[workflow.trigger.entity_type or ""]]
        async with open_pages(entities, workflow, progress.fire_at, progress.after) as pages:
            while True:
                page = await pages.next()
                if not await self._commit(workflow, progress, page):
                    return False
                if page.is_last:
                    return True

    async def _commit(self, workflow: Workflow, progress: Progress, page: Page) -> bool:
        """Commit one page and the progress; return False, and commit nothing, if the workflow was switched."""
        async with self._intake.lock:
            head = self._index.get(workflow.id)
            if head is None or head.version != workflow.version or head.status is not Status.ACTIVE:
                return False

            def write(enqueued: int, refusals: Sequence[Refusal]) -> list[tuple[str, list[UpdateOne]]]:
                progress.after = page.after or progress.after
                progress.matched += len(page.entrants)
                progress.enqueued += enqueued
                for refusal in refusals:
                    reason = str(refusal.reason)
                    progress.refused[reason] = progress.refused.get(reason, 0) + 1
                return self._position(workflow, progress, is_last=page.is_last)

            await self._intake.take_entrants(page.entrants, write)
            if CRASH_AT is not None:
                reach(CrashPoint.AFTER_PAGE)
        return True

    def _position(self, workflow: Workflow, progress: Progress, *, is_last: bool) -> list[tuple[str, list[UpdateOne]]]:
        """Return the writes that store how far the sweep has come, and its summary when it is at its end."""
        where = {"_id": schedule_id(workflow.id)}
        if not is_last:
            return [(self._names.state, [UpdateOne(where, {"$set": {"sweep": progress.to_document()}})])]
        done = {"$set": {"position": progress.fire_at}, "$unset": {"sweep": ""}}
        summary = {
            "kind": "sweep",
            "workflow_id": workflow.id,
            "workflow_name": workflow.name,
            "entity_type": workflow.trigger.entity_type,
            "at": progress.fire_at,
            "matched": progress.matched,
            "enqueued": progress.enqueued,
            "refused": dict(progress.refused),
        }
        summary_id = change_id(int(progress.fire_at.timestamp()), "sweep", workflow.id, progress.fire_at)
        return [
            (self._names.state, [UpdateOne(where, done)]),
            (self._names.decisions, [UpdateOne({"_id": summary_id}, {"$set": summary}, upsert=True)]),
        ]
