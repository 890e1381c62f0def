"""Which executions a replica settles for a failed owner: those that say ``running`` and that it does not run itself."""

from typing import Any

from daemon.executions.attempt import Attempt
from daemon.executions.job import Job
from daemon.executions.lanes import Lanes
from daemon.executions.machine import advance
from daemon.executions.occurrence import Began, Died, Judged
from daemon.executions.takeover import TakeOver
from daemon.executions.unit import passing_job
from daemon.pace import AS_SHIPPED
from daemon.versions.definition import pinned
from rules.workflow import Workflow
from tests.support.jobs import NOW, execution_of, job_of, workflow_of

EMAIL = {"type": "send_email", "template": "welcome_email"}
BRANCH = {"type": "branch", "cases": [{"conditions": [], "actions": [EMAIL]}]}


class Executions:
    """The running executions of MongoDB."""

    def __init__(self) -> None:
        self.running: list[dict[str, Any]] = []

    def find(self, query: object, fields: object) -> "Executions":
        return self

    async def to_list(self) -> list[dict[str, Any]]:
        return self.running


class Setup:
    """A replica that owns lane 0."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow, self.executions, self.lanes = workflow, Executions(), Lanes(capacity=10)
        self.recorded: list[tuple[str, object]] = []
        self.lanes.open(0)
        recorder: Any = self
        self.take_over = TakeOver(self.executions, recorder, recorder, self.lanes, recorder, recorder, AS_SHIPPED)  # type: ignore[arg-type]

    async def load(self, wanted: list[tuple[Any, int]]) -> dict[Any, Workflow]:
        return {pinned(*each): self.workflow for each in wanted}

    def record(self, attempt: Attempt, outcome: object) -> None:
        self.recorded.append((attempt.job.node, outcome))

    def now(self) -> Any:
        return NOW

    def begin(self, queued: Job, job: Job) -> None:
        """Take ``queued`` from its lane, and store the intent of ``job``."""
        self.lanes.add(queued)
        assert self.lanes.take(NOW, 1) == [queued]
        move = advance(self.workflow.program, job, Began(), NOW)
        intent = {"status": move.status, "at": move.node, "attempt": move.attempt, "step_started_at": NOW}
        self.executions.running.append(execution_of(_id=job.execution_id, **intent))


async def test_a_step_that_runs_here_is_not_taken_over() -> None:
    setup = Setup(workflow_of(EMAIL))
    job = job_of(setup.workflow)
    setup.begin(job, job)
    await setup.take_over.settle([0])
    assert setup.recorded == []
    setup.lanes.release(job)
    await setup.take_over.settle([0])
    assert setup.recorded == [("0", Died())]


async def test_a_step_in_an_arm_that_runs_here_is_not_taken_over() -> None:
    setup = Setup(workflow_of(BRANCH))
    queued = job_of(setup.workflow)
    judged = Judged("cases.0")
    job = passing_job(queued, advance(setup.workflow.program, queued, judged, NOW))
    assert job.node == "0.cases.0.0"
    setup.begin(queued, job)
    await setup.take_over.settle([0])
    assert setup.recorded == []
