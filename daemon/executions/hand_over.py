"""Pass the commits of the reader in this process on to the lanes owned here."""

from collections.abc import Sequence

from daemon.clock import ServerClock
from daemon.event import Event
from daemon.executions.committed import Committed
from daemon.executions.lanes import AHEAD, Lanes
from daemon.executions.workflow_state import WorkflowStates
from daemon.foundation import Signals
from daemon.metrics import Metrics
from daemon.service import Background
from daemon.telemetry import emit, is_logged


class HandOver:
    """The service that runs while the stream is read here."""

    tasks: Sequence[Background] = ()

    def __init__(
        self, lanes: Lanes, states: WorkflowStates, clock: ServerClock, metrics: Metrics, signals: Signals
    ) -> None:
        self._lanes = lanes
        self._states = states
        self._clock = clock
        self._metrics = metrics
        self._signals = signals

    async def start(self) -> None:
        """Let lanes become direct, by a poll."""
        self._lanes.begin_hand_over()
        self._signals.queue.send()

    async def stop(self) -> None:
        """Let all lanes poll for the commits of another reader."""
        self._lanes.end_hand_over()
        self._signals.queue.send()

    def take(self, committed: Committed) -> None:
        """Take what the reader committed: switches first, then executions."""
        if committed.versions:
            self._states.put(committed.versions, committed.commit)
        self._tell(committed)
        until = self._clock.now() + AHEAD
        soon = [job for job in committed.jobs if job.due_at <= until]
        if committed.versions or not self._lanes.owned.issuperset(job.lane for job in soon):
            self._signals.others.send()
        self._lanes.hand_over(soon)
        self._signals.due.send()

    def _tell(self, committed: Committed) -> None:
        if is_logged(Event.EXECUTION_CREATED):
            for job in (*committed.ended, *committed.jobs):
                emit(Event.EXECUTION_CREATED, **job.names)
        for job in committed.ended:
            emit(Event.EXECUTION_COMPLETED, **job.names)
        self._metrics.completed += len(committed.ended)
        programs = (job.workflow.program for job in committed.ended if job.workflow is not None)
        self._metrics.steps += sum(len(program.nodes) for program in programs)
