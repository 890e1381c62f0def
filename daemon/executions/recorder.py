"""Commit the ends of steps, and queue the next steps.

Every step is settled: committed, dropped because somebody else moved the execution, or recorded as skipped or failed
because the database refused its effect.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from actions.outcome import Done, Fail, Outcome, Skip
from daemon.clock import ServerClock
from daemon.crash_point import CRASH_AT, CrashPoint, reach
from daemon.event import Event
from daemon.executions.attempt import Attempt
from daemon.executions.group_commit import Fate, GroupCommit, Receipt
from daemon.executions.job import Job
from daemon.executions.lanes import AHEAD, Lanes
from daemon.executions.machine import advance
from daemon.executions.move import Move
from daemon.executions.occurrence import Corrupt, Died, Occurrence
from daemon.executions.report import report
from daemon.executions.status import Status
from daemon.executions.unit import Unit, unit_of
from daemon.metrics import Metrics
from daemon.telemetry import emit
from rules.program import Program

ENTITY_GONE: Final = "entity_gone"
_Refused = Callable[[Receipt], None]


class Recorder:
    """Submits units to the group commit and deals with their receipts."""

    def __init__(
        self,
        commit: GroupCommit,
        lanes: Lanes,
        clock: ServerClock,
        metrics: Metrics,
        *,
        on_settled: Callable[[], None],
        time_scale: float,
    ) -> None:
        """``on_settled`` is called whenever a unit is settled: something may start now."""
        self._commit = commit
        self._lanes = lanes
        self._clock = clock
        self._metrics = metrics
        self._on_settled = on_settled
        self._time_scale = time_scale
        self.in_flight = 0

    def record(self, attempt: Attempt, outcome: Outcome | Died) -> None:
        """Record how an attempt ended, in the background, and queue what follows."""
        try:
            unit = self._finished(attempt, outcome)
        except (AttributeError, OverflowError, TypeError, ValueError) as error:  # an action returned wrong values
            emit(Event.ACTION_CRASHED, **attempt.job.names, action_type=attempt.step.action_type, error=error)
            outcome = Fail(f"the action failed unexpectedly: {type(error).__name__}")
            unit = self._finished(attempt, outcome)
        self.submit(unit, attempt.queued, partial(self._refused, attempt, outcome))

    def move(self, program: Program, job: Job, occurrence: Occurrence, began_at: datetime) -> Move:
        """Return the next move of a job."""
        return advance(program, job, occurrence, self._clock.now(), began_at=began_at, time_scale=self._time_scale)

    def _finished(self, attempt: Attempt, outcome: Outcome | Died) -> Unit:
        move = self.move(attempt.workflow.program, attempt.job, outcome, attempt.began_at)
        writes = outcome.writes if isinstance(outcome, Done) else ()
        return unit_of(attempt.job, move, epoch=attempt.epoch, began_at=attempt.began_at, writes=writes)

    def submit(self, unit: Unit, queued: Job, refused: _Refused | None = None) -> None:
        """Commit a unit in the background, then release ``queued``; call ``refused`` if the database refuses it."""
        self.in_flight += 1
        self._commit.submit(unit).add_done_callback(partial(self._settled, unit, queued, refused))

    def _settled(self, unit: Unit, queued: Job, refused: _Refused | None, future: asyncio.Future[Receipt]) -> None:
        self.in_flight -= 1
        receipt = Receipt(Fate.LOST) if future.cancelled() else future.result()
        match receipt.fate:
            case Fate.COMMITTED:
                self._count(unit)
                report(unit)
                following = unit.following
                if following is not None and CRASH_AT is not None:
                    reach(CrashPoint.BETWEEN_STEPS)
                is_soon = following is not None and following.due_at <= self._clock.now() + AHEAD
                self._lanes.release(queued, *((following,) if following is not None and is_soon else ()))
            case Fate.LOST:
                emit(Event.EXECUTOR_LEASE_LOST, execution_id=queued.execution_id, step=queued.step, node=queued.node)
                self._lanes.release(queued)
            case _ if refused is not None:
                refused(receipt)
            case _:
                emit(Event.EXECUTION_CORRUPT, execution_id=queued.execution_id, error=receipt.error)
                self._lanes.set_aside(queued)
        self._on_settled()

    def _refused(self, attempt: Attempt, outcome: Outcome | Died, receipt: Receipt) -> None:
        """Record the step without its effect, which the database refused."""
        if receipt.fate is Fate.VANISHED:
            self.record(attempt, Skip(ENTITY_GONE))
        elif isinstance(outcome, Fail):  # not even the failure can be put into the history
            emit(Event.EXECUTION_CORRUPT, execution_id=attempt.job.execution_id, error=receipt.error)
            job = replace(attempt.job, passed=())
            move = self.move(attempt.workflow.program, job, Corrupt(), attempt.began_at)
            self.submit(unit_of(job, move, epoch=attempt.epoch), attempt.queued)
        else:
            self.record(attempt, Fail(receipt.error))

    def _count(self, unit: Unit) -> None:
        self._metrics.steps += len(unit.records)
        if unit.ended is Status.COMPLETED:
            self._metrics.completed += 1
        elif unit.ended is Status.FAILED:
            self._metrics.failed += 1
        elif unit.ended is Status.CANCELLED:
            self._metrics.cancelled += 1
        elif unit.move.postponed is not None:
            self._metrics.postponements += 1
        elif not unit.move.records and unit.following is not None and unit.following.status is Status.WAITING:
            self._metrics.retries += 1
