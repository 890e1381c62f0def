"""One run of a scheduled workflow: page through every entity that meets the conditions and enqueue it.

Each page is committed in one transaction with the position it reached, so a crash in mid-sweep resumes there. A sweep
goes on with the version that it began with, even if the workflow is edited. When a switch ends it, the decision
records how many entities are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.settings import Collections
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.mongo.codec import raw_collection
from daemon.pace import AS_SHIPPED, Pace
from daemon.schedule.page import SIMPLE, Page, filter_behind, open_pages
from daemon.stream.intake import Intake
from daemon.stream.writes import Operations
from daemon.telemetry import emit
from daemon.versions.workflow_index import WorkflowIndex
from rules.explain import Refusal
from rules.identity import bson_bytes, change_id
from rules.version import Version
from rules.workflow import Workflow, WorkflowStatus

_COUNT_MS: Final = 2_000  # for counting the entities that a sweep left out


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep of a workflow's ``version`` has come.

    ``after`` holds the last id handled, in a list; empty before the first page. ``stopped_seq`` is that of the
    workflow when the sweep began: a higher one now means that it was stopped since. None: unknown.
    """

    fire_at: datetime
    version: int
    stopped_seq: int | None = None
    after: Sequence[Any] = ()
    matched: int = 0
    enqueued: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "fire_at": self.fire_at,
            "version": self.version,
            "stopped_seq": self.stopped_seq,
            "after": list(self.after),
            "matched": self.matched,
            "enqueued": self.enqueued,
            "refused": dict(self.refused),
        }

    def behind(self, page: Page, enqueued: int, refusals: Sequence[Refusal]) -> "Progress":
        """Return the progress after ``page``, of whose entrants so many were enqueued."""
        refused = dict(self.refused)
        for refusal in refusals:
            reason = str(refusal.reason)
            refused[reason] = refused.get(reason, 0) + 1
        return replace(
            self,
            after=page.after or self.after,
            matched=self.matched + len(page.entrants),
            enqueued=self.enqueued + enqueued,
            refused=refused,
        )


def progress_from(document: object, version: int) -> Progress | None:
    """Return the progress that ``to_document`` stored, None for other values. ``version`` is the schedule's."""
    if not isinstance(document, Mapping):
        return None
    fire_at, after, refused = document.get("fire_at"), document.get("after"), document.get("refused")
    matched, enqueued = document.get("matched"), document.get("enqueued")
    of_version, stopped_seq = document.get("version", version), document.get("stopped_seq")
    if not isinstance(fire_at, datetime) or not isinstance(after, list) or not isinstance(refused, dict):
        return None
    if not all(isinstance(number, int) for number in (matched, enqueued, of_version)):
        return None
    stopped_seq = stopped_seq if isinstance(stopped_seq, int) else None
    return Progress(fire_at, of_version, stopped_seq, after, matched or 0, enqueued or 0, dict(refused))


def schedule_id(workflow_id: Any) -> str:
    """Return the id of a workflow's schedule document in workflow_state."""
    return f"schedule/{bson_bytes(workflow_id).hex()}"


class Sweep:
    """Runs sweeps through the intake, which numbers and fences their executions like all others."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        names: Collections,
        entities: Mapping[str, str],
        intake: Intake,
        index: WorkflowIndex,
        pace: Pace = AS_SHIPPED,
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._names = names
        self._entities = entities
        self._intake = intake
        self._index = index
        self._page = pace.sweep_page

    async def run(self, workflow: Workflow, progress: Progress, note: Callable[[Progress], None]) -> None:
        """Enqueue every entity that meets the conditions, or record why the others were left out.

        ``workflow`` is the version that the progress is of; ``note`` is told of each progress that was committed.
        Raises as ``Intake.take`` does; then the stored progress is where the next run goes on.
        """
        entities = raw_collection(self._database, self._entities[workflow.trigger.entity_type or ""])
        async with open_pages(entities, workflow, progress.fire_at, list(progress.after), self._page) as pages:
            is_over = False
            while not is_over:
                page = await pages.next()
                async with self._intake.lock:
                    reason = cut_off(self._index.get(workflow.id), progress)
                    if reason is None:
                        progress = await self._commit(workflow, progress, page)
                if reason is not None:
                    await self.leave(workflow, progress, reason)
                    return
                note(progress)
                is_over = page.is_last
        emit(
            Event.SCHEDULE_SWEEP_DONE,
            workflow_id=workflow.id,
            fire_at=progress.fire_at,
            matched=progress.matched,
            enqueued=progress.enqueued,
        )

    async def leave(self, workflow: Workflow, progress: Progress, reason: str, error: str | None = None) -> None:
        """End a sweep, and record the reason, the progress and, if countable, how many entities are left out."""
        left: dict[str, Any] = {"reason": reason, "after": list(progress.after), "entities": None}
        if error is not None:
            left["error"] = error
        else:
            left["entities"] = await self._left(workflow, progress)
        emit(
            Event.SCHEDULE_CUT_OFF,
            workflow_id=workflow.id,
            fire_at=progress.fire_at,
            reason=reason,
            enqueued=progress.enqueued,
            left=left["entities"],
            error=error,
        )
        async with self._intake.lock:
            await self._intake.take_entrants([], lambda *_: self._ended(workflow, progress, {"left_out": left}))

    async def _left(self, workflow: Workflow, progress: Progress) -> int | None:
        """Return how many entities a sweep had still to read; None where counting takes too long."""
        entities = self._database[self._entities[workflow.trigger.entity_type or ""]]
        behind = filter_behind(workflow, progress.fire_at, list(progress.after))
        try:
            return await entities.count_documents(behind, collation=SIMPLE, maxTimeMS=_COUNT_MS)
        except OperationFailure:
            return None

    async def _commit(self, workflow: Workflow, progress: Progress, page: Page) -> Progress:
        """Commit one page and the progress; return that. The intake must be locked."""
        moved = progress

        def write(enqueued: int, refusals: Sequence[Refusal]) -> Operations:
            nonlocal moved
            moved = progress.behind(page, enqueued, refusals)
            if page.is_last:
                return self._ended(workflow, moved, {})
            where = {"_id": schedule_id(workflow.id)}
            return [(self._names.state, [UpdateOne(where, {"$set": {"sweep": moved.to_document()}})])]

        await self._intake.take_entrants(page.entrants, write)
        if CRASH_AT is not None:
            reach(CrashPoint.AFTER_PAGE)
        return moved

    def _ended(self, workflow: Workflow, progress: Progress, more: Mapping[str, Any]) -> Operations:
        """Return the writes that store the end of a sweep and its summary."""
        summary = {
            "kind": "sweep",
            "workflow_id": workflow.id,
            "workflow_name": workflow.name,
            "workflow_version": progress.version,
            "entity_type": workflow.trigger.entity_type,
            "at": progress.fire_at,
            "matched": progress.matched,
            "enqueued": progress.enqueued,
            "refused": dict(progress.refused),
            **more,
        }
        summary_id = change_id(int(progress.fire_at.timestamp()), "sweep", workflow.id, progress.fire_at)
        done = {"$set": {"position": progress.fire_at}, "$unset": {"sweep": ""}}
        return [
            (self._names.state, [UpdateOne({"_id": schedule_id(workflow.id)}, done)]),
            (self._names.decisions, [UpdateOne({"_id": summary_id}, {"$set": summary}, upsert=True)]),
        ]


def cut_off(version: Version | None, progress: Progress) -> str | None:
    """Return why a sweep that began may not go on, None if it may: an edit does not keep it from its end."""
    if version is None or version.is_deleted:
        return "deleted"
    if progress.stopped_seq is not None and version.stopped_seq > progress.stopped_seq:
        return str(WorkflowStatus.STOPPED)  # it may be active again since
    return None if version.status is WorkflowStatus.ACTIVE else str(version.status)
