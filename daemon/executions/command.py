"""What a person may ask of an execution, and what it makes of the execution document. Pure: no I/O, no clock.

``retry`` runs again what failed, and only that; a cancelled execution goes on where it stood. ``cancel`` ends what
waits; what an action is at work on is not cut off. ``resolve`` says how an uncertain step ended. Counters stay exact
by one rule: a document says in ``counted_as`` what it is counted as, and whoever moves it moves the counters along.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from bson import ObjectId

from config.duration import parse_duration
from config.error import ReflexdError, WorkflowError, nearest
from config.found import found
from daemon.executions.status import ENDED, QUEUED, Status, StepStatus

_KEYS: Final = ("execution_id", "do", "as", "step")
_RETRIES_KEPT: Final = 50
_NOT_WAITING: Final = {"due_at": "", "held_due_at": "", "held_status": ""}


class Do(StrEnum):
    """What may be done to an execution."""

    RETRY = "retry"
    CANCEL = "cancel"
    RESOLVE = "resolve"


class CommandRefused(ReflexdError):
    """A command cannot be carried out; the message is the answer."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``outcome`` and ``step`` are for resolve; without ``step`` the only uncertain one is meant."""

    execution_id: ObjectId
    do: Do
    outcome: StepStatus | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What a command does: the new status, the update of the document, and what it is counted as from then on."""

    status: Status
    update: Mapping[str, Any]
    counted_as: Status | None


def command_from(request: Mapping[str, Any]) -> Command:
    """Return the command of ``{execution_id, do, as?, step?}``; raise CommandRefused if it is none."""
    for name in request:
        if name not in _KEYS and name != "_id":
            raise CommandRefused(f"{name[:80]}: unknown key{nearest(name[:80], _KEYS)}")
    do = request.get("do")
    if do not in list(Do):
        hint = nearest(do, list(Do)) if isinstance(do, str) else ""
        raise CommandRefused(f"do: expected one of {', '.join(Do)}; found {found(do)}{hint}")
    given = request.get("execution_id")
    execution_id = ObjectId(given) if isinstance(given, str) and ObjectId.is_valid(given) else given
    if not isinstance(execution_id, ObjectId):
        raise CommandRefused(f"execution_id: expected the id of an execution, found {found(given)}")
    outcome, step = request.get("as"), request.get("step")
    if do == Do.RESOLVE and outcome not in (StepStatus.SUCCESS, StepStatus.FAILED):
        raise CommandRefused(f"as: expected success or failed, found {found(outcome)}")
    if step is not None and (not isinstance(step, int) or isinstance(step, bool) or step < 0):
        raise CommandRefused(f"step: expected the number of a step, found {found(step)}")
    return Command(execution_id, Do(do), StepStatus(str(outcome)) if do == Do.RESOLVE else None, step)


def cancelled(execution: Mapping[str, Any], now: datetime) -> Move:
    """Return the move that ends an execution that waits; raise CommandRefused for any other."""
    status = execution["status"]
    if status == Status.RUNNING:
        raise CommandRefused("running: an action is at work; cancel it when this step has ended")
    if status not in (*QUEUED, Status.HELD):
        raise CommandRefused(f"it has ended already: {status}")
    return _ended(Status.CANCELLED, {"reason": "cancelled"}, now)


def cancelled_by_hand(execution: Mapping[str, Any], action_type: str, now: datetime) -> Move:
    """Return the move that completes an edit of ``status`` to cancelled.

    What was not queued while it had begun an attempt was at work: nobody can know whether its effect took place, so
    its step is recorded as uncertain, and no retry sends it again blindly.
    """
    move = _ended(Status.CANCELLED, {"reason": "cancelled"}, now)
    was_queued = isinstance(execution.get("due_at"), datetime) or execution.get("held_due_at") is not None
    if was_queued or not execution["attempt"]:
        return move
    record = {
        "action_type": action_type,
        "status": StepStatus.UNCERTAIN,
        "error": "cancelled by hand while the action was at work: it may have taken effect",
        "attempts": execution["attempt"],
        "started_at": execution.get("step_started_at"),
        "executed_at": now,
    }
    step, redo = execution["step"], execution.get("redo") or [execution["step"] + 1]
    fields = {f"actions_executed.{step}": record, "step": redo[0], "redo": redo[1:], "attempt": 0}
    fields["failed_steps"] = execution.get("failed_steps", 0) + 1
    return Move(move.status, {**move.update, "$set": {**move.update["$set"], **fields}}, move.counted_as)


def retried(execution: Mapping[str, Any], was: Any, steps: int, due_at: datetime, now: datetime) -> Move:
    """Return the move that queues an ended execution again; raise CommandRefused where there is nothing to repeat.

    ``was``: the status it had ended with. ``steps``: how many its workflow has. Steps that succeeded or were skipped
    never run again; ``redo`` holds where the execution goes after the step it starts with: to the other failed
    steps, then to the first that never ran.
    """
    again: list[dict[str, Any]] = []
    if was == Status.CANCELLED:
        fields = _where_it_stood(execution, steps)
    elif was == Status.FAILED:
        again, fields = _from_the_failed_step(execution["actions_executed"], steps)
    else:
        raise CommandRefused(f"expected a failed or cancelled execution, found {found(was)}")
    fields |= {"status": Status.PENDING, "due_at": due_at, "completed_at": None}
    update: dict[str, Any] = {
        "$set": fields,
        "$unset": {**_NOT_WAITING, "reason": "", "last_error": "", "postponed": ""},
    }
    del update["$unset"]["due_at"]
    if again:
        update["$push"] = {"retried": {"$each": [{**each, "retried_at": now} for each in again]}}
        update["$push"]["retried"]["$slice"] = -_RETRIES_KEPT
    return Move(Status.PENDING, update, None)


def resolved(
    execution: Mapping[str, Any], command: Command, actions: Sequence[Mapping[str, Any]], now: datetime
) -> Move:
    """Return the move that says how an uncertain step ended, and recomputes the status.

    Where ``on_failure: stop`` had ended the execution at that step and it succeeded, the later steps run now.
    ``actions`` are those of the workflow document.
    """
    status, records = execution["status"], execution["actions_executed"]
    if status not in ENDED:
        raise CommandRefused(f"{status}: expected an execution that has ended")
    uncertain = [index for index, record in enumerate(records) if record["status"] == StepStatus.UNCERTAIN]
    step = uncertain[0] if command.step is None and len(uncertain) == 1 else command.step
    if step not in uncertain:
        raise CommandRefused(f"step: expected one that is uncertain, of {uncertain or 'none'}; found {found(step)}")
    record = f"actions_executed.{step}"
    fields: dict[str, Any] = {f"{record}.status": command.outcome, f"{record}.resolved_at": now}
    is_failed = command.outcome is StepStatus.FAILED
    failed_steps = len(_failed(records)) + len(uncertain) - 1 + is_failed
    fields["failed_steps"] = failed_steps
    if status != Status.FAILED or failed_steps:
        return Move(status, {"$set": fields}, execution.get("counted_as"))
    if len(records) >= len(actions):
        return Move(Status.COMPLETED, {"$set": {**fields, "status": Status.COMPLETED}}, Status.COMPLETED)
    due_at = max(now, records[-1]["executed_at"] + _delay_of(actions[len(records)]))
    fields |= {"status": Status.WAITING, "step": len(records), "attempt": 0, "due_at": due_at, "completed_at": None}
    return Move(Status.WAITING, {"$set": fields}, None)


def put_back(was: Any, why: str, now: datetime) -> Move:
    """Return the move that undoes an edit of ``status`` which cannot be followed, and says why."""
    status = was if was in ENDED else Status.FAILED
    fields = {"status": status, "last_error": f"retry refused: {why}", "completed_at": now}
    return Move(status, {"$set": fields, "$unset": _NOT_WAITING}, Status(was) if was in ENDED else None)


def _ended(status: Status, fields: Mapping[str, Any], now: datetime) -> Move:
    update = {"$set": {"status": status, "completed_at": now, **fields}, "$unset": _NOT_WAITING}
    return Move(status, update, status)


def _where_it_stood(execution: Mapping[str, Any], steps: int) -> dict[str, Any]:
    if execution["step"] >= steps:
        raise CommandRefused("it was cancelled after its last step: nothing is left to run")
    if any(record["status"] == StepStatus.UNCERTAIN for record in execution["actions_executed"]):
        raise CommandRefused("a step is uncertain: resolve it first")
    return {}


def _from_the_failed_step(records: Sequence[Mapping[str, Any]], steps: int) -> tuple[list[dict[str, Any]], Any]:
    """Return the records of the steps to repeat, and the fields of the document that repeats them."""
    failed = _failed(records)
    uncertain = [index for index, record in enumerate(records) if record["status"] == StepStatus.UNCERTAIN]
    if uncertain:
        raise CommandRefused(f"step {uncertain[0]} is uncertain: resolve it as success or failed first")
    if not failed or len(records) > steps:
        raise CommandRefused("no step has failed: there is nothing to repeat")
    again = [{"step": index, **records[index]} for index in failed]
    return again, {"step": failed[0], "attempt": 0, "failed_steps": 0, "redo": [*failed[1:], len(records)]}


def _failed(records: Sequence[Mapping[str, Any]]) -> list[int]:
    return [index for index, record in enumerate(records) if record["status"] == StepStatus.FAILED]


def _delay_of(action: Mapping[str, Any]) -> timedelta:
    try:
        return parse_duration(action.get("delay", 0), "delay")
    except WorkflowError:
        return timedelta()
