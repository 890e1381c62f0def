"""Apply commands of people, and edits of execution documents by hand, each in one transaction.

The transaction reads the execution, so nobody else moves it meanwhile: the unit of an executor conflicts and is lost.
Counters stay exact by one rule: ``counted_as`` in the document names its counter, and every move of the execution
changes the counters in the same transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from bson import DatetimeMS
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from config.collection_names import Collections
from daemon.executions.command import Command, CommandRefused, Do
from daemon.executions.counter import counter_id
from daemon.executions.job import is_workflow_id
from daemon.executions.machine import advance
from daemon.executions.move import Move
from daemon.executions.occurrence import CancelAsked, CancelledByHand, EditRefused, Occurrence, Resolved, RetryAsked
from daemon.executions.standing import standing_of, unreadable
from daemon.executions.status import ENDED, QUEUED, Status, StepStatus
from daemon.executions.update import command_update, marking_update
from daemon.mongo.transaction import in_transaction
from rules.identity import bson_bytes
from rules.program import NO_PROGRAM, Program, outline
from rules.workflow import WorkflowStatus

_TIMEOUT_S: Final = 30.0
_ACTIONS: Final = {"definition.actions": 1}
_ODD: Final = (KeyError, TypeError, IndexError, AttributeError, ValueError)  # of a document that a person has edited
_NOT_ASKED: Final = {"entity": 0, "trigger": 0, "retried": {"$slice": 1}}  # of an execution; what may be large
_COUNTED: Final = {Status.COMPLETED: "success_count", Status.FAILED: "failure_count"}


@dataclass(frozen=True, slots=True)
class _Pinned:
    """The workflow of an execution: the program of its version, and its status now."""

    program: Program
    is_stopped: bool
    stopped_seq: int


@dataclass(frozen=True, slots=True)
class _Change:
    """A move, and the update of the document that carries it out."""

    move: Move
    update: Mapping[str, Any]


class Interventions:
    """Moves executions for people."""

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], names: Collections, now: Callable[[], datetime]
    ) -> None:
        """``now`` tells the server's time."""
        self._database = database
        self._executions = database[names.executions]
        self._versions = database[names.versions]
        self._state = database[names.state]
        self._now = now

    async def perform(self, command: Command) -> Status:
        """Carry out a command and return the execution's new status; raise CommandRefused, or the driver's error."""
        return await in_transaction(self._database.client, partial(self.apply, command), timeout_s=_TIMEOUT_S)

    async def apply(self, command: Command, session: AsyncClientSession) -> Status:
        """Do as ``perform`` within the caller's transaction; nothing is written where it raises CommandRefused."""
        execution = await self._executions.find_one({"_id": command.execution_id}, session=session)
        if execution is None:
            raise CommandRefused("execution_not_found")
        (pinned,) = await self._pinned([execution], session)
        try:
            change = self._change(command, execution, pinned)
        except _ODD as error:
            missing = f": {error.args[0]} is missing" if isinstance(error, KeyError) else ""
            raise CommandRefused(f"corrupt: the document is not what the daemon wrote{missing}") from error
        await self._store([(execution, change)], session)
        return change.move.status

    async def settle(self, execution_ids: Sequence[Any]) -> list[tuple[Any, Status]]:
        """Move executions whose ``status`` somebody edited by hand, all in one transaction.

        Return the ids of those that were edited, with their new status.
        """
        work = partial(self._settle, execution_ids)
        return await in_transaction(self._database.client, work, timeout_s=_TIMEOUT_S)

    def _change(self, command: Command, execution: Mapping[str, Any], pinned: _Pinned) -> _Change:
        if command.do is Do.CANCEL:
            return self._moved(execution, pinned, CancelAsked(), with_history=False)
        records = execution["actions_executed"]
        if command.do is Do.RETRY:
            occurrence: Occurrence = RetryAsked(execution["status"], records, self._now())
        else:
            occurrence = Resolved(StepStatus(str(command.outcome)), command.node, records)
        return self._moved(execution, pinned, occurrence, with_history=True)

    def _moved(
        self, execution: Mapping[str, Any], pinned: _Pinned, occurrence: Occurrence, *, with_history: bool
    ) -> _Change:
        """Return the machine's move, with a number that the last stop of the workflow does not cancel."""
        now = self._now()
        standing = standing_of(execution, now, with_history=with_history)
        if isinstance(occurrence, RetryAsked) and not pinned.program.nodes:
            raise CommandRefused("the workflow version it points to is gone")
        move = advance(pinned.program, standing, occurrence, now)
        update = command_update(pinned.program, standing, move, now)
        if move.status in QUEUED:
            if pinned.is_stopped:
                raise CommandRefused("stopped: its workflow is stopped or deleted")
            if execution["seq"] <= pinned.stopped_seq:
                update["$set"]["seq"] = pinned.stopped_seq + 1
        return _Change(move, update)

    async def _settle(self, execution_ids: Sequence[Any], session: AsyncClientSession) -> list[tuple[Any, Status]]:
        found = self._executions.find({"_id": {"$in": list(execution_ids)}}, _NOT_ASKED, session=session)
        executions = [execution for execution in await found.to_list() if is_edited(execution)]
        changes = [
            (execution, self._completed(execution, pinned))
            for execution, pinned in zip(executions, await self._pinned(executions, session), strict=True)
        ]
        await self._store(changes, session)
        return [(execution["_id"], change.move.status) for execution, change in changes]

    def _completed(self, execution: Mapping[str, Any], pinned: _Pinned) -> _Change:
        """Return the change for an edit of ``status``; an edit that the machine refuses is undone, with the reason."""
        was = Status.CANCELLED if execution["status"] == Status.CANCELLED else execution.get("counted_as")
        try:
            return self._followed(execution, pinned, was)
        except CommandRefused as refused:
            problem = str(refused)
        except _ODD:
            problem = "the document is not what the daemon wrote"
        now = self._now()
        standing = unreadable(now)
        move = advance(pinned.program, standing, EditRefused(was, problem), now)
        return _Change(move, marking_update(standing, move, now))

    def _followed(self, execution: Mapping[str, Any], pinned: _Pinned, was: Any) -> _Change:
        due_at, now = execution.get("due_at"), self._now()
        if execution["status"] == Status.CANCELLED:
            was_queued = isinstance(due_at, datetime) or execution.get("held_due_at") is not None
            occurrence: Occurrence = CancelledByHand(was_queued, execution.get("step_started_at"))
            return self._moved(execution, pinned, occurrence, with_history="retried" in execution)
        records = execution["actions_executed"]
        occurrence = RetryAsked(was, records, due_at if isinstance(due_at, datetime) else now)
        return self._moved(execution, pinned, occurrence, with_history=True)

    async def _pinned(self, executions: Sequence[Mapping[str, Any]], session: AsyncClientSession) -> list[_Pinned]:
        """Return the workflow of each execution, in the same order; each version is read once."""
        keys = [_version_of(execution) for execution in executions]
        wanted = {bson_bytes(key): key for key in keys if is_workflow_id(key["workflow_id"])}
        by_workflow = {bson_bytes(key["workflow_id"]): key["workflow_id"] for key in wanted.values()}
        programs: dict[bytes, Program] = {}
        latest: dict[bytes, Mapping[str, Any]] = {}
        if wanted:
            found = self._versions.find({"_id": {"$in": list(wanted.values())}}, _ACTIONS, session=session)
            for version in await found.to_list():
                programs[bson_bytes(version["_id"])] = outline((version.get("definition") or {}).get("actions"))
            newest = {"workflow_id": {"$in": list(by_workflow.values())}, "latest": True}
            fields = {"workflow_id": 1, "status": 1, "stopped_seq": 1}
            async for version in self._versions.find(newest, fields, session=session):
                latest[bson_bytes(version["workflow_id"])] = version
        return [_pinned_from(programs.get(bson_bytes(key)), latest.get(bson_bytes(key["workflow_id"]))) for key in keys]

    async def _store(self, changes: Sequence[tuple[Mapping[str, Any], _Change]], session: AsyncClientSession) -> None:
        """Write the changes, and one update of the counters for each workflow."""
        updates: list[UpdateOne] = []
        counts: dict[bytes, tuple[Any, dict[str, int]]] = {}
        for execution, change in changes:
            counted_as = execution.get("counted_as")
            counted_as = Status(counted_as) if counted_as in ENDED else None
            updates.append(UpdateOne({"_id": execution["_id"]}, change.update))
            workflow_id = execution.get("workflow_id")
            if is_workflow_id(workflow_id):
                _, by_name = counts.setdefault(bson_bytes(workflow_id), (workflow_id, {}))
                for name, by in _counter_change(counted_as, change.move.counted_as).items():
                    by_name[name] = by_name.get(name, 0) + by
        if updates:
            await self._executions.bulk_write(updates, ordered=False, session=session)
        counters = [self._counter_update(*each) for each in counts.values() if any(each[1].values())]
        if counters:
            await self._state.bulk_write(counters, session=session)

    def _counter_update(self, workflow_id: Any, change: Mapping[str, int]) -> UpdateOne:
        values: dict[str, Any] = {
            "$inc": dict(change),
            "$set": {"kind": "counter", "workflow_id": workflow_id},
            "$currentDate": {"changed_at": True},
        }
        if change.get("execution_count", 0) > 0:
            values["$max"] = {"last_executed_at": self._now()}
        return UpdateOne({"_id": counter_id(workflow_id, "command")}, values, upsert=True)


def _version_of(execution: Mapping[str, Any]) -> dict[str, Any]:
    return {"workflow_id": execution.get("workflow_id"), "version": execution.get("workflow_version")}


def _pinned_from(program: Program | None, latest: Mapping[str, Any] | None) -> _Pinned:
    is_stopped = latest is not None and latest["status"] == WorkflowStatus.STOPPED
    return _Pinned(program or NO_PROGRAM, is_stopped, latest["stopped_seq"] if latest is not None else -1)


def is_edited(execution: Mapping[str, Any]) -> bool:
    """Return whether somebody set the status by hand: cancelled without an end, or queued with one."""
    status, has_ended = execution.get("status"), isinstance(execution.get("completed_at"), datetime | DatetimeMS)
    return (status == Status.CANCELLED and not has_ended) or (status in QUEUED and has_ended)


def _counter_change(before: Status | None, after: Status | None) -> dict[str, int]:
    """Return the change of the counters for an execution counted as ``before`` that is now counted as ``after``."""
    change: dict[str, int] = {}
    for counted_as, by in ((before, -1), (after, 1)):
        if counted_as is None:
            continue
        for name in filter(None, ("execution_count", _COUNTED.get(counted_as))):
            change[name] = change.get(name, 0) + by
    return {name: by for name, by in change.items() if by}
