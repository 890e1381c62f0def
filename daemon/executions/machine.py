"""Decide the next state of an execution: the only place that does. Pure: the caller passes everything, also the time.

Ends of steps, retries, branches, take-overs, switches, corrupt documents, commands of people and ends at intake arrive
as an ``Occurrence`` and leave as a ``Move``; all other modules only apply moves.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from actions.action import Delivery
from actions.outcome import Done, Fail, Postpone, Retry, Skip, Uncertain
from actions.retry import delay_before, postponement
from config.duration import duration_text
from daemon.executions.machine_command import asked
from daemon.executions.move import Move, State, staying
from daemon.executions.occurrence import Began, Corrupt, Died, HandedBack, Judged, Occurrence, Reached, Stopped
from daemon.executions.ran import Record, onward
from daemon.executions.status import ENDED, Status, StepStatus
from rules.due import first_due, next_due, retry_due
from rules.program import Act, Branch, End, Node, Program
from rules.step import OnFailure

MAX_CRASHES: Final = 5
POSTPONED_FREELY: Final = timedelta(days=1)  # since a node was first postponed; later ones count as failed attempts
DIED: Final = "the daemon died while the action was at work"
_ERROR_CHARACTERS: Final = 2_000
_Ended = Done | Skip | Fail | Uncertain | Judged | Reached


def enter(program: Program, triggered_at: datetime, now: datetime, time_scale: float) -> Move:
    """Return the first move: an execution is queued for its first node.

    ``now``: when a node is due that does not wait; it never runs backwards (promise 3).
    """
    delay = program.nodes[program.first].delay
    status = Status.WAITING if delay else Status.PENDING
    return Move(status, program.first, due_at=first_due(delay, triggered_at, now, time_scale))


def advance(
    program: Program,
    state: State,
    occurrence: Occurrence,
    now: datetime,
    *,
    began_at: datetime | None = None,
    time_scale: float = 1.0,
) -> Move:
    """Return the next move. ``began_at``: the start of the ending attempt; ``time_scale`` divides waits, for the demo.

    Raise CommandRefused for a command that does not fit the state.
    """
    match occurrence:
        case Done() | Skip() | Fail() | Uncertain() | Judged() | Reached():
            return _finished(program, state, occurrence, began_at or now, now, time_scale)
        case Retry():
            return _retried(program, state, occurrence, began_at or now, now, time_scale)
        case Postpone():
            return _postponed(program, state, occurrence, began_at or now, now, time_scale)
        case Died():
            return _died(program, state, began_at or now, now, time_scale)
        case Began():
            return staying(state, Status.RUNNING, attempt=state.attempt + 1)
        case HandedBack():
            return staying(state, Status.WAITING, attempt=state.attempt - 1, due_at=state.due_at, is_refund=True)
        case Stopped():
            return staying(state, Status.CANCELLED, reason="stopped", ended_at=now)
        case Corrupt():
            return _corrupt(state, occurrence, now)
        case _:
            return asked(program, state, occurrence, now)


def _finished(
    program: Program, state: State, outcome: _Ended, began_at: datetime, now: datetime, time_scale: float
) -> Move:
    """Return the move from a node that has ended."""
    node = program.nodes[state.node]
    attempts = state.attempt + (0 if state.status is Status.RUNNING else 1)
    records: tuple[Record, ...] = (_record(state, node, outcome, attempts, began_at, now),)
    has_failed = isinstance(outcome, (Fail, Uncertain))
    failed_steps = state.failed_steps + has_failed
    following = onward(program, state.ran, node.id, outcome.arm if isinstance(outcome, Judged) else None)
    target = program.nodes.get(following)
    if has_failed and not isinstance(node, End) and node.on_failure is OnFailure.STOP:
        target = None
    end = node if isinstance(node, End) else None
    if isinstance(target, End):  # it needs nothing from outside, so it shares the commit
        end, following = target, target.following
        records += (_record(state, end, Reached(), 1, now, now),)
    if target is None or end is not None:
        status = Status.FAILED if failed_steps else Status.COMPLETED
        reason = end.reason if end is not None else ""
        return Move(status, following, failed_steps=failed_steps, records=records, reason=reason, ended_at=now)
    # The delay of a repeated node is over.
    due_at = now if following in state.ran else next_due(target.delay, now, time_scale)
    return Move(Status.WAITING, following, due_at=due_at, failed_steps=failed_steps, records=records)


def _retried(
    program: Program, state: State, outcome: Retry, began_at: datetime, now: datetime, time_scale: float
) -> Move:
    node = program.nodes[state.node]
    attempts = state.attempt + (0 if state.status is Status.RUNNING else 1)
    if not isinstance(node, Act) or attempts >= node.step.retry.max_attempts:
        error = f"gave up after {attempts} attempts: {outcome.error}" if attempts > 1 else outcome.error
        return _finished(program, state, Fail(error), began_at, now, time_scale)
    due_at = retry_due(delay_before(node.step.retry, attempts + 1), now, time_scale)
    error = outcome.error[:_ERROR_CHARACTERS]
    return staying(state, Status.WAITING, attempt=attempts, due_at=due_at, error=error)


def _postponed(
    program: Program, state: State, outcome: Postpone, began_at: datetime, now: datetime, time_scale: float
) -> Move:
    """Return the move that queues the node again later, under the number that this attempt had."""
    node, before = program.nodes[state.node], state.postponed or {"since": now, "times": 0}
    if not isinstance(node, Act) or now - before["since"] >= POSTPONED_FREELY:
        error = f"postponed for {duration_text(POSTPONED_FREELY)}: {outcome.reason}"
        return _retried(program, state, Retry(error), began_at, now, time_scale)
    times = before["times"] + 1
    due_at = retry_due(postponement(node.step.retry, outcome.until - now, times), now, time_scale)
    reason = outcome.reason[:_ERROR_CHARACTERS]
    postponed = {"reason": reason, "until": due_at, "since": before["since"], "times": times}
    is_refund = state.status is Status.RUNNING
    attempt = state.attempt - is_refund
    return staying(state, Status.WAITING, attempt=attempt, due_at=due_at, is_refund=is_refund, postponed=postponed)


def _died(program: Program, state: State, began_at: datetime, now: datetime, time_scale: float) -> Move:
    """At most once means uncertain, at least once means again; at the fifth crash the node fails (DESIGN section 4)."""
    node = program.nodes[state.node]
    if not isinstance(node, Act):
        return _corrupt(state, Corrupt("no action of its workflow can have been at work"), now)
    if node.step.action.delivery is Delivery.AT_MOST_ONCE:
        uncertain = Uncertain(f"{DIED}: it may have taken effect")
        return _finished(program, state, uncertain, began_at, now, time_scale)
    if state.crashes + 1 >= MAX_CRASHES:
        return _finished(program, state, Fail("crashed"), began_at, now, time_scale)
    return staying(state, Status.WAITING, due_at=now, crashes=state.crashes + 1, error=DIED)


def _corrupt(state: State, occurrence: Corrupt, now: datetime) -> Move:
    """Return the end of an execution that must not run; one that had ended keeps its end."""
    was = occurrence.counted_as
    if was in ENDED:
        return staying(state, Status(was), error=occurrence.problem)
    return staying(state, Status.FAILED, reason="corrupt", error=occurrence.problem, ended_at=now)


def _record(state: State, node: Node, outcome: _Ended, attempts: int, began_at: datetime, now: datetime) -> Record:
    """Return what the history says of a node that has ended: in the place of its earlier record, if it has one."""
    known = state.ran.get(node.id)
    document = {
        "node": node.id,
        "action_type": node.action_type,
        **_told(node, outcome),
        "attempts": attempts,
        "started_at": began_at,
        "executed_at": now,
    }
    return Record(document, None if known is None else known.place)


def _told(node: Node, outcome: _Ended) -> Mapping[str, Any]:
    """Return the part of the history record that differs by outcome."""
    match outcome:
        case Done():
            return {"status": StepStatus.SUCCESS, "result": dict(outcome.result)}
        case Skip():
            return {"status": StepStatus.SKIPPED, "result": outcome.told}
        case Uncertain():
            return {"status": StepStatus.UNCERTAIN, "error": outcome.error[:_ERROR_CHARACTERS]}
        case Fail():
            return {"status": StepStatus.FAILED, "error": outcome.error[:_ERROR_CHARACTERS]}
        case Judged():
            return {"status": StepStatus.SUCCESS, "result": outcome.told(node) if isinstance(node, Branch) else {}}
        case Reached():
            reason = node.reason if isinstance(node, End) else ""
            return {"status": StepStatus.SUCCESS, "result": {"reason": reason}}
