"""What the log says of steps and executions that were committed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from loguru import logger

from actions.outcome import Done, Fail, Outcome, Postpone, Retry, Skip, Uncertain
from daemon.executions.machine import advance
from daemon.executions.occurrence import HandedBack, Occurrence, Stopped
from daemon.executions.report import report
from daemon.executions.unit import Unit, unit_of
from tests.support.jobs import NOW, TASK, job_of, workflow_of


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The lines logged, each with its event and fields."""
    said: list[dict[str, Any]] = []
    sink = logger.add(
        lambda message: said.append({"event": message.record["extra"]["event"], **message.record["extra"]["fields"]})
    )
    yield said
    logger.remove(sink)


def unit(occurrence: Occurrence, *more: dict[str, Any], **changes: Any) -> Unit:
    workflow = workflow_of(TASK, *more)
    job = job_of(workflow, **changes)
    return unit_of(job, advance(workflow.program, job, occurrence, NOW), epoch=1, began_at=NOW)


@pytest.mark.parametrize(
    ("outcome", "events"),
    [
        (Done({}), ["execution.completed"]),
        (Skip("no_email"), ["step.skipped", "execution.completed"]),
        (Fail("no"), ["step.failed", "execution.failed"]),
        (Uncertain("perhaps"), ["step.uncertain", "execution.failed"]),
        (Retry("busy"), ["step.retried"]),
        (Postpone(NOW, "busy"), ["step.postponed"]),
    ],
)
def test_the_log_tells_how_a_step_and_its_execution_ended(
    lines: list[dict[str, Any]], outcome: Outcome, events: list[str]
) -> None:
    report(unit(outcome))
    assert [line["event"] for line in lines] == events


def test_a_step_in_the_middle_ends_nothing(lines: list[dict[str, Any]]) -> None:
    report(unit(Done({}), TASK))
    assert lines == []


def test_a_retry_tells_when_and_why(lines: list[dict[str, Any]]) -> None:
    busy = unit(Retry("busy"))
    report(busy)
    assert (lines[0]["attempt"], lines[0]["error"]) == (1, "busy")
    assert lines[0]["due_at"] == busy.update["$set"]["due_at"]


def test_a_postponement_tells_until_when_why_and_how_often(lines: list[dict[str, Any]]) -> None:
    until = NOW + timedelta(minutes=30)
    report(unit(Postpone(until, "the line is full")))
    assert (lines[0]["due_at"], lines[0]["reason"], lines[0]["times"]) == (until, "the line is full", 1)


def test_every_line_names_execution_workflow_and_entity(lines: list[dict[str, Any]]) -> None:
    failed = unit(Fail("no"))
    report(failed)
    assert all({**line, **failed.job.names} == line for line in lines)


def test_a_cancelled_execution_tells_its_reason(lines: list[dict[str, Any]]) -> None:
    report(unit(Stopped()))
    assert [(line["event"], line["reason"]) for line in lines] == [("execution.cancelled", "stopped")]


def test_what_is_handed_back_is_not_told_as_a_retry(lines: list[dict[str, Any]]) -> None:
    report(unit(HandedBack(), status="running", attempt=1))
    assert lines == []
