"""The machine under random programs, outcomes, crashes and commands: nothing twice, nothing left out, and an end."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actions.outcome import Done, Fail, Outcome, Postpone, Retry, Skip, Uncertain
from daemon.executions.command import CommandRefused
from daemon.executions.job import Job, job_from
from daemon.executions.machine import advance, enter
from daemon.executions.occurrence import (
    Asked,
    Began,
    CancelAsked,
    CancelledByHand,
    Died,
    HandedBack,
    Judged,
    Occurrence,
    Reached,
    Resolved,
    RetryAsked,
    Stopped,
)
from daemon.executions.ran import Ran, ran_in, unfinished
from daemon.executions.standing import standing_of
from daemon.executions.status import ENDED, QUEUED, StepStatus
from daemon.executions.unit import passing_job, unit_of
from daemon.executions.update import command_update
from rules.program import Act, Branch, End, outline
from rules.workflow import Workflow
from tests.support.jobs import execution_of, workflow_of

NOW: Final = datetime(2026, 5, 4, 9, tzinfo=UTC)
TASK: Final = {"type": "create_task", "title": "x"}
EMAIL: Final = {"type": "send_email", "template": "welcome_email"}
OVER: Final = (StepStatus.SUCCESS, StepStatus.SKIPPED)

on_failure = st.sampled_from(["continue", "stop"])
acts = st.builds(
    lambda action, stops, delay: {**action, "on_failure": stops, "delay": delay},
    st.sampled_from([TASK, EMAIL]),
    on_failure,
    st.sampled_from([0, 60]),
)
ends = st.just({"type": "end", "reason": "enough"})


def branches(steps: st.SearchStrategy[list[dict[str, Any]]]) -> st.SearchStrategy[dict[str, Any]]:
    cases = st.lists(st.builds(lambda arm: {"conditions": [], "actions": arm}, steps), min_size=1, max_size=2)
    return st.builds(
        lambda ways, other, stops, delay: {
            "type": "branch",
            "cases": ways,
            "otherwise": other,
            "on_failure": stops,
            "delay": delay,
        },
        cases,
        steps,
        on_failure,
        st.sampled_from([0, 60]),
    )


def lists_of(step: st.SearchStrategy[dict[str, Any]], least: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(step, min_size=least, max_size=3)


inner = lists_of(st.one_of(acts, acts, ends), 0)
middle = lists_of(st.one_of(acts, branches(inner), ends), 0)
programs = st.one_of(lists_of(acts, 1), lists_of(st.one_of(acts, branches(middle), acts), 1))


class Walk(RuleBasedStateMachine):
    """One execution as MongoDB holds it; every move is carried out on its document, as the server would."""

    @initialize(actions=programs)
    def begin(self, actions: list[dict[str, Any]]) -> None:
        self.workflow: Workflow = workflow_of(*actions)
        self.program = self.workflow.program
        self.outline = outline(actions)
        self.now = NOW
        first = enter(self.program, NOW, NOW, 1.0)
        state = {"status": first.status, "at": first.node, "due_at": first.due_at}
        self.document = {**execution_of(), **state, "epoch": 1}
        self.successes: dict[str, int] = {}

    def job(self) -> Job:
        document = {**self.document}
        if "retried" in document:
            document["ran"] = document["actions_executed"]
        return job_from(document, self.workflow, is_running=document["status"] == "running")

    def carry_out(self, update: dict[str, Any]) -> None:
        """Do as MongoDB does with an update."""
        before = [dict(record) for record in self.document["actions_executed"]]
        for name, value in update["$set"].items():
            holder: Any = self.document
            *way, last = name.split(".") if name.startswith("actions_executed.") else [name]
            for each in way:
                holder = holder[int(each) if each.isdecimal() else each]
            if isinstance(holder, list):
                assert int(last) <= len(holder)
                holder[int(last) : int(last) + 1] = [value]
            else:
                holder[last] = value
        for name, value in update.get("$push", {}).items():
            self.document.setdefault(name, []).extend(value.get("$each", [value]))
        for name in update.get("$unset", {}):
            self.document.pop(name, None)
        for place, record in enumerate(self.document["actions_executed"]):
            old = before[place] if place < len(before) else None
            if record != old and record["status"] == StepStatus.SUCCESS:
                self.successes[record["node"]] = self.successes.get(record["node"], 0) + 1

    def move(self, job: Job, occurrence: Occurrence) -> None:
        self.now += timedelta(seconds=1)
        unit = unit_of(job, advance(self.program, job, occurrence, self.now, began_at=self.now), epoch=1)
        state = dict(unit.filter)
        assert {name: self.document.get(name) for name in state} == state
        self.carry_out(dict(unit.update))
        if unit.following is not None:
            assert unit.following.key == self.job().key
            assert unit.following.ran.keys() == self.job().ran.keys()

    def ask(self, request: Asked) -> bool:
        self.now += timedelta(seconds=1)
        standing = standing_of(self.document, self.now, with_history=True)
        try:
            move = advance(self.outline, standing, request, self.now)
        except CommandRefused:
            return False
        self.carry_out(command_update(self.outline, standing, move, self.now))
        return True

    @property
    def status(self) -> str:
        return str(self.document["status"])

    def is_queued(self) -> bool:
        return self.status in QUEUED

    def is_running(self) -> bool:
        return self.status == "running"

    def has_ended(self) -> bool:
        return self.status in ENDED

    def passed(self, data: st.DataObject) -> Job | None:
        """Return the job behind the branches it stands at, as the executor passes them; None where it must wait."""
        job = self.job()
        while not isinstance(node := self.program.nodes[job.node], Act):
            occurrence: Occurrence = Reached()
            if isinstance(node, Branch):
                ways: list[Occurrence] = [*map(Judged, node.arms), Skip("entity_gone"), Fail("costly")]
                occurrence = data.draw(st.sampled_from(ways))
            move = advance(self.program, job, occurrence, self.now)
            if move.ended is not None or (move.due_at is not None and move.due_at > self.now):
                self.move(job, occurrence)
                return None
            job = passing_job(job, move)
        return job

    outcomes = st.sampled_from(
        [Done({}), Done({}), Fail("no"), Fail("no"), Skip("x"), Retry("busy"), Uncertain("?"), Postpone(NOW, "full")]
    )

    @precondition(is_queued)
    @rule(data=st.data(), outcome=outcomes)
    def a_step_runs_inside(self, data: st.DataObject, outcome: Outcome) -> None:
        job = self.passed(data)
        if job is not None:
            self.move(job, outcome)

    @precondition(is_queued)
    @rule(data=st.data())
    def a_step_begins_outside(self, data: st.DataObject) -> None:
        job = self.passed(data)
        if job is not None:
            self.move(job, Began())

    @precondition(is_running)
    @rule(outcome=st.one_of(outcomes, st.sampled_from([Died(), Died(), HandedBack()])))
    def what_runs_ends(self, outcome: Occurrence) -> None:
        self.move(self.job(), outcome)

    @precondition(lambda self: not self.has_ended())
    @rule(how=st.sampled_from(["stop", "command", "edit", "leave", "leave", "leave"]))
    def it_is_cancelled(self, how: str) -> None:
        could_be = self.is_queued()
        if how == "stop" and could_be:
            self.move(self.job(), Stopped())
        elif how == "command":
            assert self.ask(CancelAsked()) == could_be
        elif how == "edit":
            self.document["status"] = "cancelled"
            assert self.ask(CancelledByHand(could_be))

    @precondition(has_ended)
    @rule()
    def a_person_retries(self) -> None:
        self.ask(RetryAsked(self.status, self.document["actions_executed"], self.now))

    @precondition(has_ended)
    @rule(outcome=st.sampled_from([StepStatus.SUCCESS, StepStatus.FAILED]), data=st.data())
    def a_person_resolves(self, outcome: StepStatus, data: st.DataObject) -> None:
        records = self.document["actions_executed"]
        uncertain = [record["node"] for record in records if record["status"] == StepStatus.UNCERTAIN]
        if uncertain:
            assert self.ask(Resolved(outcome, data.draw(st.sampled_from(uncertain)), records))

    def ran(self) -> dict[str, Ran]:
        return ran_in(self.document["actions_executed"])

    @invariant()
    def no_node_runs_twice_to_success(self) -> None:
        ends = {node.id for node in self.program.nodes.values() if isinstance(node, End)}
        assert all(count == 1 or node in ends for node, count in self.successes.items())

    @invariant()
    def every_node_has_one_record_at_most(self) -> None:
        nodes = [record["node"] for record in self.document["actions_executed"]]
        assert len(nodes) == len(set(nodes))

    @invariant()
    def no_node_is_passed_without_a_record(self) -> None:
        """What is queued is at a failed node or at the first without a record; what is completed has left out none."""
        ran = self.ran()
        open_nodes, missing = unfinished(self.program, ran)
        if self.status == "completed":  # what failed where a branch does not lead any more is history
            assert (open_nodes, missing) == ([], None)
        if self.is_queued():
            at = self.job().node
            assert at in open_nodes or at == missing or isinstance(self.program.nodes[at], End)

    @invariant()
    def it_is_queued_exactly_while_it_has_a_time(self) -> None:
        assert (self.document.get("due_at") is not None) == self.is_queued()
        assert (self.document.get("completed_at") is not None) == self.has_ended()
        assert self.document.get("counted_as") == (self.status if self.has_ended() else None)

    def teardown(self) -> None:
        """Whatever has happened: left to itself, with every attempt a success, the execution ends."""
        if not hasattr(self, "program"):
            return
        if self.is_running():
            self.move(self.job(), Done({}))
        for _ in range(2 * len(self.program.nodes) + 2):
            if self.has_ended():
                return
            job = self.job()
            node = self.program.nodes[job.node]
            occurrence: Occurrence = Done({})
            if isinstance(node, Branch):
                occurrence = Judged(next(iter(node.arms)))
            elif isinstance(node, End):
                occurrence = Reached()
            self.move(job, occurrence)
            self.no_node_runs_twice_to_success()
        raise AssertionError(f"it has not ended: {self.document}")


Walk.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestWalk = Walk.TestCase
