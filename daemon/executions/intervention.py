"""Carry out what people ask of executions, by command or by editing the document: each in one transaction.

The transaction reads the execution, so nobody moves it meanwhile: an executor that tries conflicts and finds its
compare-and-set lost. The counters move with it.
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
from daemon.executions.command import (
    Command,
    CommandRefused,
    Do,
    Move,
    cancelled,
    cancelled_by_hand,
    put_back,
    resolved,
    retried,
)
from daemon.executions.counter import counter_id
from daemon.executions.job import is_workflow_id
from daemon.executions.status import ENDED, QUEUED, Status
from daemon.mongo.transaction import in_transaction
from rules.identity import bson_bytes
from rules.workflow import Status as WorkflowStatus

_TIMEOUT_S: Final = 30.0
# Of a definition, what its steps are and how long they wait: the largest take milliseconds to decode.
_ACTIONS: Final = {
    "definition.actions.type": 1,
    "definition.actions.delay": 1,
}
_NOT_ASKED: Final = {"entity": 0, "trigger": 0, "retried": 0}  # of an execution; what may be large
_COUNTED: Final = {Status.COMPLETED: "success_count", Status.FAILED: "failure_count"}


@dataclass(frozen=True, slots=True)
class _Pinned:
    """What a command needs to know of an execution's workflow: its pinned actions, and its switch as it is now."""

    actions: Sequence[Mapping[str, Any]]
    is_stopped: bool
    stopped_seq: int


class Interventions:
    """Moves executions on behalf of people."""

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
            move = self._move(command, execution, pinned)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            missing = f": {error.args[0]} is missing" if isinstance(error, KeyError) else ""
            raise CommandRefused(f"corrupt: the document is not what the daemon wrote{missing}") from error
        await self._store([(execution, move)], session)
        return move.status

    async def settle(self, execution_ids: Sequence[Any]) -> list[tuple[Any, Status]]:
        """Complete what somebody began by editing ``status`` by hand, all in one transaction.

        Return the ids of those that were edited, with their new status.
        """
        work = partial(self._settle, execution_ids)
        return await in_transaction(self._database.client, work, timeout_s=_TIMEOUT_S)

    def _move(self, command: Command, execution: Mapping[str, Any], pinned: _Pinned) -> Move:
        now = self._now()
        match command.do:
            case Do.CANCEL:
                return cancelled(execution, now)
            case Do.RETRY:
                return _admitted(
                    retried(execution, execution["status"], len(pinned.actions), now, now), execution, pinned
                )
            case Do.RESOLVE:
                return _admitted(resolved(execution, command, pinned.actions, now), execution, pinned)

    async def _settle(self, execution_ids: Sequence[Any], session: AsyncClientSession) -> list[tuple[Any, Status]]:
        found = self._executions.find({"_id": {"$in": list(execution_ids)}}, _NOT_ASKED, session=session)
        executions = [execution for execution in await found.to_list() if is_edited(execution)]
        moves = [
            (execution, self._completed(execution, pinned))
            for execution, pinned in zip(executions, await self._pinned(executions, session), strict=True)
        ]
        await self._store(moves, session)
        return [(execution["_id"], move.status) for execution, move in moves]

    def _completed(self, execution: Mapping[str, Any], pinned: _Pinned) -> Move:
        try:
            return self._settled(execution, pinned)
        except (KeyError, TypeError, IndexError, AttributeError):
            was = Status.CANCELLED if execution["status"] == Status.CANCELLED else execution.get("counted_as")
            return put_back(was, "the document is not what the daemon wrote", self._now())

    def _settled(self, execution: Mapping[str, Any], pinned: _Pinned) -> Move:
        now, was = self._now(), execution.get("counted_as")
        if execution["status"] == Status.CANCELLED:
            actions, step = pinned.actions, execution["step"]
            return cancelled_by_hand(execution, str(actions[step]["type"]) if step < len(actions) else "", now)
        due_at = execution.get("due_at")
        try:
            move = retried(execution, was, len(pinned.actions), due_at if isinstance(due_at, datetime) else now, now)
            return _admitted(move, execution, pinned)
        except CommandRefused as refused:
            return put_back(was, str(refused), now)

    async def _pinned(self, executions: Sequence[Mapping[str, Any]], session: AsyncClientSession) -> list[_Pinned]:
        """Return what each execution points to, in the same order; what they have in common is read once."""
        keys = [_version_of(execution) for execution in executions]
        wanted = {bson_bytes(key): key for key in keys if is_workflow_id(key["workflow_id"])}
        by_workflow = {bson_bytes(key["workflow_id"]): key["workflow_id"] for key in wanted.values()}
        versions: dict[bytes, Mapping[str, Any]] = {}
        heads: dict[bytes, Mapping[str, Any]] = {}
        if wanted:
            found = self._versions.find({"_id": {"$in": list(wanted.values())}}, _ACTIONS, session=session)
            for version in await found.to_list():
                versions[bson_bytes(version["_id"])] = version
            newest = {"workflow_id": {"$in": list(by_workflow.values())}, "latest": True}
            fields = {"workflow_id": 1, "status": 1, "stopped_seq": 1}
            async for head in self._versions.find(newest, fields, session=session):
                heads[bson_bytes(head["workflow_id"])] = head
        return [_pinned_from(versions.get(bson_bytes(key)), heads.get(bson_bytes(key["workflow_id"]))) for key in keys]

    async def _store(self, moves: Sequence[tuple[Mapping[str, Any], Move]], session: AsyncClientSession) -> None:
        """Write the moves, and what they make of the counters: one update for each workflow."""
        updates: list[UpdateOne] = []
        counts: dict[bytes, tuple[Any, dict[str, int]]] = {}
        for execution, move in moves:
            counted_as = execution.get("counted_as")
            counted_as = Status(counted_as) if counted_as in ENDED else None
            updates.append(UpdateOne({"_id": execution["_id"]}, _update_of(move)))
            workflow_id = execution.get("workflow_id")
            if is_workflow_id(workflow_id):
                _, change = counts.setdefault(bson_bytes(workflow_id), (workflow_id, {}))
                for name, by in _counter_change(counted_as, move.counted_as).items():
                    change[name] = change.get(name, 0) + by
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


def _pinned_from(version: Mapping[str, Any] | None, head: Mapping[str, Any] | None) -> _Pinned:
    actions = ((version or {}).get("definition") or {}).get("actions") or ()
    is_stopped = head is not None and head["status"] == WorkflowStatus.STOPPED
    return _Pinned(actions, is_stopped, head["stopped_seq"] if head is not None else -1)


def _update_of(move: Move) -> dict[str, Any]:
    update = dict(move.update)
    if move.counted_as is None:
        update["$unset"] = {**update.get("$unset", {}), "counted_as": ""}
    else:
        update["$set"] = {**update["$set"], "counted_as": move.counted_as}
    return update


def is_edited(execution: Mapping[str, Any]) -> bool:
    """Return whether somebody set the status by hand: cancelled without an end, or queued with one."""
    status, has_ended = execution.get("status"), isinstance(execution.get("completed_at"), datetime | DatetimeMS)
    return (status == Status.CANCELLED and not has_ended) or (status in QUEUED and has_ended)


def _admitted(move: Move, execution: Mapping[str, Any], pinned: _Pinned) -> Move:
    """Return a move that queues with a number that the last stop of the workflow does not cancel."""
    if move.status not in QUEUED:
        return move
    if not pinned.actions:
        raise CommandRefused("the workflow version it points to is gone")
    if pinned.is_stopped:
        raise CommandRefused("stopped: its workflow is stopped or deleted")
    if execution["seq"] > pinned.stopped_seq:
        return move
    return Move(
        move.status, {**move.update, "$set": {**move.update["$set"], "seq": pinned.stopped_seq + 1}}, move.counted_as
    )


def _counter_change(before: Status | None, after: Status | None) -> dict[str, int]:
    """Return how the counters move when an execution counted as ``before`` is counted as ``after``."""
    change: dict[str, int] = {}
    for counted_as, by in ((before, -1), (after, 1)):
        if counted_as is None:
            continue
        for name in filter(None, ("execution_count", _COUNTED.get(counted_as))):
            change[name] = change.get(name, 0) + by
    return {name: by for name, by in change.items() if by}
