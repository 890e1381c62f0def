"""Decide moves for commands of people and edits by hand. Pure, and part of the machine.

``retry`` repeats the failed nodes only; a cancelled execution continues at its node. ``cancel`` ends an execution that
waits, never one that is running. ``resolve`` states the outcome of an uncertain step.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from config.found import found
from daemon.executions.command import CommandRefused
from daemon.executions.move import Move, State, staying
from daemon.executions.occurrence import Asked, CancelAsked, CancelledByHand, EditRefused, Resolved, RetryAsked
from daemon.executions.ran import Record, onward, ran_in, unfinished
from daemon.executions.status import ENDED, QUEUED, Status, StepStatus
from rules.due import next_due
from rules.program import Program
from rules.tree import number_of

_BY_HAND = "cancelled by hand while the action was at work: it may have taken effect"


def asked(program: Program, state: State, request: Asked, now: datetime) -> Move:
    """Return the move for a command; raise CommandRefused if it does not fit the state."""
    match request:
        case CancelAsked():
            return _cancelled(state, now)
        case CancelledByHand():
            return _cancelled_by_hand(program, state, request, now)
        case RetryAsked():
            return _retried(program, state, request)
        case Resolved():
            return _resolved(program, state, request, now)
        case EditRefused():
            status = request.was if request.was in ENDED else Status.FAILED
            error = f"retry refused: {request.problem}"
            return staying(state, Status(status), error=error, ended_at=now, is_counted=request.was in ENDED)


def _cancelled(state: State, now: datetime) -> Move:
    if state.status is Status.RUNNING:
        raise CommandRefused("running: an action is at work; cancel it when this step has ended")
    if state.status not in (*QUEUED, Status.HELD):
        raise CommandRefused(f"it has ended already: {state.status}")
    return staying(state, Status.CANCELLED, reason="cancelled", ended_at=now)


def _cancelled_by_hand(program: Program, state: State, request: CancelledByHand, now: datetime) -> Move:
    """Return the end of an execution whose status was edited.

    An attempt that was at work is recorded as uncertain: nobody can know whether its effect took place, and no retry
    sends it again blindly.
    """
    if request.is_queued or not state.attempt:
        return staying(state, Status.CANCELLED, reason="cancelled", ended_at=now)
    known, node = state.ran.get(state.node), program.nodes.get(state.node)
    record = {
        "node": state.node,
        "action_type": node.action_type if node is not None else "",
        "status": StepStatus.UNCERTAIN,
        "error": _BY_HAND,
        "attempts": state.attempt,
        "started_at": request.began_at,
        "executed_at": now,
    }
    return Move(
        Status.CANCELLED,
        onward(program, state.ran, state.node) if node is not None else state.node,
        failed_steps=state.failed_steps + 1,
        records=(Record(record, None if known is None else known.place),),
        reason="cancelled",
        ended_at=now,
    )


def _retried(program: Program, state: State, request: RetryAsked) -> Move:
    if request.was == Status.CANCELLED:
        if state.node not in program.nodes:
            raise CommandRefused("it was cancelled after its last step: nothing is left to run")
        if any(record["status"] == StepStatus.UNCERTAIN for record in request.records):
            raise CommandRefused("a step is uncertain: resolve it first")
        return staying(state, Status.PENDING, due_at=request.due_at)
    if request.was != Status.FAILED:
        raise CommandRefused(f"expected a failed or cancelled execution, found {found(request.was)}")
    ran = ran_in(request.records)
    uncertain = [node for node, known in ran.items() if known.status == StepStatus.UNCERTAIN]
    if uncertain:
        raise CommandRefused(f"step {uncertain[0]} is uncertain: resolve it as success or failed first")
    failed, _ = unfinished(program, ran)
    if not failed:
        raise CommandRefused("no step has failed: there is nothing to repeat")
    repeated = tuple({"step": number_of(node), **request.records[ran[node].place]} for node in failed)
    return Move(Status.PENDING, failed[0], due_at=request.due_at, repeated=repeated)


def _resolved(program: Program, state: State, request: Resolved, now: datetime) -> Move:
    """Return the move that says how an uncertain step ended, and recomputes the status.

    Where ``on_failure: stop`` had ended the execution at that step and it succeeded, the later steps run now.
    """
    if state.status not in ENDED:
        raise CommandRefused(f"{state.status}: expected an execution that has ended")
    ran = ran_in(request.records)
    node = _meant(request, [node for node, known in ran.items() if known.status == StepStatus.UNCERTAIN])
    resolved = ran[node].place, request.outcome
    failed = sum(known.status in (StepStatus.FAILED, StepStatus.UNCERTAIN) for known in ran.values())
    failed -= request.outcome is StepStatus.SUCCESS
    if state.status is not Status.FAILED or failed:
        return staying(state, state.status, failed_steps=failed, resolved=resolved)
    _, following = unfinished(program, ran)
    if following is None:
        return Move(Status.COMPLETED, state.node, resolved=resolved)
    due_at = max(now, next_due(program.nodes[following].delay, _ended_at(request.records), 1.0))
    return Move(Status.WAITING, following, due_at=due_at, resolved=resolved)


def _meant(request: Resolved, uncertain: Sequence[str]) -> str:
    node = uncertain[0] if request.node is None and len(uncertain) == 1 else request.node
    if node is None or node not in uncertain:
        which = f"[{', '.join(uncertain)}]" if uncertain else "none"
        raise CommandRefused(f"step: expected one that is uncertain, of {which}; found {found(request.node)}")
    return node


def _ended_at(records: Sequence[Mapping[str, Any]]) -> datetime:
    ended: datetime = max(record["executed_at"] for record in records)
    return ended
