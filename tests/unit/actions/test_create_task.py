"""Creating a task from a step."""

from datetime import timedelta
from typing import Any

import pytest
from bson import Int64, ObjectId

from actions.create_task import CreateTask
from actions.document_id import document_id
from actions.outcome import Done, Insert
from actions.registry import parse_action
from config.error import WorkflowError
from tests.unit.actions.factory import EXECUTION_ID, NOW, WORKFLOW_ID, a_context


async def test_task_holds_what_the_crm_needs_to_show_it() -> None:
    outcome = await CreateTask(title="Call back", priority="high").run(a_context(node="2"))

    task_id = document_id(EXECUTION_ID, "2")
    task = {
        "_id": task_id,
        "title": "Call back",
        "description": "",
        "priority": "high",
        "status": "open",
        "assignee": None,
        "due_at": None,
        "entity_type": "lead",
        "entity_id": 7,
        "workflow_id": WORKFLOW_ID,
        "execution_id": EXECUTION_ID,
        "created_at": NOW,
    }
    assert outcome == Done({"task_id": task_id}, (Insert("tasks", task),))


def test_title_defaults_to_follow_up_and_priority_to_medium() -> None:
    action = parse_action("create_task", {}, "actions[0]")

    assert isinstance(action, CreateTask)
    assert (action.title, action.priority) == ("Follow-up", "medium")


async def test_due_in_counts_from_the_moment_the_step_runs() -> None:
    action = parse_action("create_task", {"due_in": Int64(3600)}, "actions[0]")

    outcome = await action.run(a_context())

    assert isinstance(outcome, Done)
    assert isinstance(outcome.writes[0], Insert)
    assert outcome.writes[0].document["due_at"] == NOW + timedelta(hours=1)


@pytest.mark.parametrize("person", [ObjectId(), Int64(7), 7.0])
async def test_assignee_keeps_its_bson_type(person: Any) -> None:
    outcome = await parse_action("create_task", {"assignee": person}, "actions[0]").run(a_context())

    assert isinstance(outcome, Done)
    assert isinstance(outcome.writes[0], Insert)
    assert outcome.writes[0].document["assignee"] is person


@pytest.mark.parametrize("person", [7.5, -9223372036854775809.0, float("inf"), True])
def test_an_assignee_that_is_no_exact_number_is_refused(person: Any) -> None:
    with pytest.raises(WorkflowError, match="assignee"):
        parse_action("create_task", {"assignee": person}, "actions[0]")
