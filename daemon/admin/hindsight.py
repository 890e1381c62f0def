"""Judge a past moment again: how a workflow stood for an entity, by the version that was in force then.

The judgement uses stored versions, decisions, executions and enrollments, and the changes that the server still has.
Where none of them has the answer, the answer is "unknown", and never guessed from the present.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from config.collection_names import Collections
from config.error import WorkflowError
from daemon.admin.change_history import ChangeHistory
from daemon.admin.standing import NOT_RUNNING, check, clock, condition_words, is_for, stands, trigger_words
from daemon.versions.parsing import parsed_aside
from rules.budget import TooCostly
from rules.change import Change, Kind
from rules.condition import Subject
from rules.enrollment import Mode
from rules.explain import Reason
from rules.judgement import NotConcerned, judge
from rules.trigger import TriggerType
from rules.version import Parse
from rules.workflow import Workflow, WorkflowStatus

NEAR: Final = timedelta(seconds=2)  # around the moment that was asked about
_LONGEST_LOOK_S: Final = 10.0
_OLDEST: Final = timedelta(days=400)  # no server keeps its history for so long
_GONE: Final = "the server no longer has the changes of that time"
_ABSENT: Final = "there was no such entity yet"
_SLOW: Final = "the changes since then are too many to read back"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: ``entity_ids`` are the readings of the id, ``entity`` is None if it no longer exists."""

    workflow_id: Any
    entity_type: str
    entity_ids: Sequence[Any]
    entity: Mapping[str, Any] | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """The records of that moment: its executions, and decisions against executions; newest first."""

    executions: Sequence[Document]
    decisions: Sequence[Document]

    @property
    def instants(self) -> set[datetime]:
        """When the recorded changes were made."""
        return {run["triggered_at"] for run in self.executions} | {each["at"] for each in self.decisions}

    @property
    def reason(self) -> str | None:
        """The reason of the refusal, None where it ran or nothing is stored."""
        return None if self.executions or not self.decisions else str(self.decisions[0].get("reason"))


@dataclass(frozen=True, slots=True)
class Seen:
    """From the change history: the change at that moment, the entity as it was; ``missing`` names a gap."""

    change: Change | None = None
    entity: Mapping[str, Any] | None = None
    missing: str = ""


class Hindsight:
    """Judges the past. Reads only."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        names: Collections,
        history: ChangeHistory,
        parse: Parse,
        now: Callable[[], datetime],
        *,
        max_runs_per_hour: int,
    ) -> None:
        self._versions = database[names.versions]
        self._enrollments = database[names.enrollments]
        self._executions = database[names.executions]
        self._history = history
        self._parse = parse
        self._now = now
        self._max_runs_per_hour = max_runs_per_hour

    async def entity_type(self, workflow_id: Any, at: datetime) -> str | None:
        """Return the entity type that the workflow was for at that time, None where it is not known."""
        workflow, _ = await self._workflow(await self._version(workflow_id, at + NEAR))
        return workflow.trigger.entity_type if workflow is not None else None

    async def look(self, asked: Asked, record: Record) -> tuple[list[Document], list[Document]]:
        """Return the checks, and the verdict of each condition."""
        seen = Seen()
        workflow, _ = await self._workflow(await self._version(asked.workflow_id, asked.at + NEAR))
        if workflow is not None:
            seen = await self._seen(asked, record, workflow)
        told = [seen.change.at] if seen.change is not None else record.instants
        # The time that was typed has whole seconds: an edit may lie between it and the change.
        moment = min(told, key=lambda at: abs(at - asked.at), default=asked.at)
        version = await self._version(asked.workflow_id, moment)
        workflow, says = await self._workflow(version)
        if version is None or workflow is None:
            return [check("version", None if version is None else False, says)], []
        subject = Subject(seen.entity, moment, seen.change)
        conditions = stands(workflow, subject)
        verdict_and_words = condition_words(
            workflow, subject, f"unknown: {seen.missing or 'the entity as it was then is not kept'}"
        )
        if seen.missing == _ABSENT:
            verdict_and_words = False, _ABSENT
        status = WorkflowStatus(version["status"])
        checks = [
            check("version", True, says),
            _trigger(workflow, asked, record, seen),
            check("status", status is WorkflowStatus.ACTIVE, f"it was {NOT_RUNNING.get(status, 'active')}"),
            check("conditions", *verdict_and_words),
            await self._enrollment(workflow, asked, record, seen.entity, moment),
            _loop(record),
            await self._throttle(workflow, asked, record, moment),
        ]
        return checks, conditions

    async def _version(self, workflow_id: Any, at: datetime) -> Document | None:
        found = self._versions.find({"workflow_id": workflow_id, "since": {"$lte": at}})
        return next(iter(await found.sort("version", -1).limit(1).to_list()), None)

    async def _workflow(self, version: Document | None) -> tuple[Workflow | None, str]:
        """Return the workflow that was in force, if any, and a sentence about its version."""
        if version is None:
            return None, "no version of that time is on record"
        number = version["version"]
        if version.get("is_deleted"):
            return None, f"it had been deleted, at {clock(version['since'])}"
        error = version.get("error")
        refused = f"; it refused the edit of {clock(version['since'])}: {_said(error)}" if error else ""
        if version.get("definition") is None:
            return None, f"it had no valid version{refused}"
        workflow = await parsed_aside(self._parse, version["workflow_id"], number, version["definition"])
        if isinstance(workflow, WorkflowError):
            return None, f"version {number} was in force; this version of reflexd cannot read it: {workflow}"
        since = f", of {clock(version['since'])}," if not error else ""
        return workflow, f"version {number}{since} was in force{refused}"

    async def _seen(self, asked: Asked, record: Record, workflow: Workflow) -> Seen:
        """Return the change at the moment; for schedules and requests, the entity as it was."""
        trigger, now = workflow.trigger, self._now()
        if not is_for(trigger, asked.entity_type) or not now - _OLDEST < asked.at < now:
            return Seen(missing=_GONE)
        try:
            async with asyncio.timeout(_LONGEST_LOOK_S):
                if trigger.type.follows_change:
                    return await self._change(asked, record, workflow)
                return await self._as_it_was(asked)
        except TimeoutError:
            return Seen(missing=_SLOW)
        except OperationFailure:
            return Seen(missing=_GONE)

    async def _change(self, asked: Asked, record: Record, workflow: Workflow) -> Seen:
        """Return the change nearest to the moment; recorded ones first, then those that the workflow judged."""
        found: list[Change] = []
        until = asked.at + NEAR
        read = self._history.changes(asked.entity_type, asked.at - NEAR, until, asked.entity_ids)
        async with aclosing(read) as batches:
            async for changes, _ in batches:
                found += [change for change in changes if asked.at - NEAR <= change.at <= until]

        def rank(change: Change) -> tuple[bool, bool, timedelta]:
            is_foreign = isinstance(
                judge(workflow, WorkflowStatus.ACTIVE, change, max_depth=1, explains=False), NotConcerned
            )
            return change.at not in record.instants, is_foreign, abs(change.at - asked.at)

        change = min(found, key=rank, default=None)
        return Seen(change, change.entity if change is not None else None)

    async def _as_it_was(self, asked: Asked) -> Seen:
        """Return the entity as its first change after the moment found it, else as it is: it has not changed since."""
        read = self._history.changes(asked.entity_type, asked.at, self._now(), asked.entity_ids)
        async with aclosing(read) as batches:
            async for changes, _ in batches:
                for change in changes:
                    if change.at > asked.at:
                        lacks = _ABSENT if change.kind is Kind.CREATED else _GONE if change.before is None else ""
                        return Seen(entity=change.before, missing=lacks)
        return Seen(entity=asked.entity)

    async def _enrollment(
        self, workflow: Workflow, asked: Asked, record: Record, entity: Mapping[str, Any] | None, moment: datetime
    ) -> Document:
        rule = workflow.enrollment
        if record.reason in (Reason.ENROLLED, Reason.COOLDOWN):
            return check("enrollment", False, f"{record.reason}: it had entered before")
        if rule.mode is Mode.ALWAYS:
            return check("enrollment", True, "an entity may enter any number of times")
        if record.executions:
            return check("enrollment", True, "it entered then")
        if rule.mode is Mode.ONCE_PER and entity is None:
            return check("enrollment", None, f"unknown: {rule.field} as it was then is not kept")
        try:
            spellings = rule.keys(entity)
        except TooCostly as error:
            return check("enrollment", False, str(error))
        keys = [
            {"workflow_id": workflow.id, "entity_type": asked.entity_type, "entity_id": each, "key": key}
            for each in asked.entity_ids
            for key in spellings
        ]
        stored = await self._enrollments.find_one({"_id": {"$in": keys}})
        entered_at = stored.get("at") if stored is not None else None
        if not isinstance(entered_at, datetime):
            return check("enrollment", True, "it had not entered before")
        if entered_at > moment and rule.mode is Mode.COOLDOWN:
            return check(
                "enrollment", None, f"unknown: it entered later, at {clock(entered_at)}, which is all that is kept"
            )
        if entered_at > moment:
            return check("enrollment", True, f"it had not entered before; it did later, at {clock(entered_at)}")
        reason = rule.refusal(stored, None, moment)
        return check(
            "enrollment", reason is None, f"{reason or 'it might enter again'}: it entered at {clock(entered_at)}"
        )

    async def _throttle(self, workflow: Workflow, asked: Asked, record: Record, moment: datetime) -> Document:
        if record.reason == Reason.THROTTLED:
            return check("throttle", False, "it had run too often for this entity within the hour")
        runs = await self._executions.count_documents(
            {
                "triggered_by_entity_id": {"$in": list(asked.entity_ids)},
                "workflow_id": workflow.id,
                "triggered_at": {"$gt": moment - timedelta(hours=1), "$lt": moment},
                "triggered_by_entity_type": asked.entity_type,
            },
            limit=self._max_runs_per_hour,
        )
        says = f"{runs} runs on record within the hour before, of {self._max_runs_per_hour} allowed"
        return check("throttle", True, says)


def _trigger(workflow: Workflow, asked: Asked, record: Record, seen: Seen) -> Document:
    """Return whether the trigger matched."""
    trigger, kind = workflow.trigger, asked.entity_type
    words = trigger_words(trigger, kind)
    if not is_for(trigger, kind):
        return check("trigger", False, words)
    if trigger.type is TriggerType.MANUAL:
        return check("trigger", bool(record.executions) or None, words)
    if trigger.schedule is not None:
        fire_at = trigger.schedule.next_after(asked.at - NEAR)
        is_due = fire_at <= asked.at + NEAR
        return check("trigger", is_due, f"it was due then: {words}" if is_due else f"not due then: {words}")
    if seen.change is None and seen.missing:
        stood = record.executions or record.reason not in (None, Reason.TRANSITION, Reason.TRIGGER_UNKNOWN)
        recorded = "; the records show that it matched" if stood else ""
        return check("trigger", True if stood else None, f"{seen.missing}{recorded}: {words}")
    if seen.change is None:
        return check("trigger", False, f"no change of this {kind} was made within 2 s of that time: {words}")
    what = ", ".join(sorted(seen.change.touched or ())[:5]) if seen.change.kind is Kind.UPDATED else ""
    did = f"the {kind} was {seen.change.kind} at {clock(seen.change.at)}{f' ({what})' if what else ''}"
    try:
        return check("trigger", trigger.matches(seen.change), f"{did}: {words}")
    except TooCostly as error:
        return check("trigger", None, f"{error}: {words}")


def _loop(record: Record) -> Document:
    if record.executions:
        depth = (record.executions[0].get("cause") or {}).get("depth")
        return check("loop", True, "other workflows led to it" if depth else "no workflow led to it")
    if record.reason in (Reason.REENTRY, Reason.DEPTH):
        chain = (record.decisions[0].get("detail") or {}).get("chain") or ()
        return check(
            "loop",
            False,
            f"{record.reason}: its own effects would have started it again, by {' → '.join(map(str, chain))}",
        )
    if record.reason in (Reason.ENROLLED, Reason.COOLDOWN, Reason.THROTTLED):
        return check("loop", True, "it was no loop")
    return check("loop", None, "unknown: the cause of a change is kept only for executions and refused loops")


def _said(error: Mapping[str, Any]) -> str:
    return str(WorkflowError(str(error.get("path")), str(error.get("problem"))))
