"""The action ``create_task``: puts a task about the entity into ``tasks``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from actions.action import Action
from actions.context import Context
from actions.document_id import document_id
from actions.outcome import Done, Insert, Outcome
from actions.parameter import PersonId
from rules.validation import Duration


class CreateTask(Action):
    """Insert one open task.

    ``assignee`` is stored as it is given, in whatever type the CRM uses for people. ``due_in`` counts from the
    moment the step runs; without it the task has no due date.
    """

    type: ClassVar[str] = "create_task"
    only_inserts: ClassVar[bool] = True

    title: Annotated[str, Field(min_length=1, max_length=1_000)] = "Follow-up"
    description: Annotated[str, Field(max_length=20_000)] = ""
    priority: Literal["low", "medium", "high", "urgent"] = "medium"
    assignee: PersonId | None = None
    due_in: Duration | None = None

    async def run(self, context: Context) -> Outcome:
        """Return the task as a write; the result names it: ``{task_id}``."""
        task_id = document_id(context.execution_id, context.node)
        task = {
            "_id": task_id,
            "title": self.title,
            "description": self.description,
            "priority": self.priority,
            "status": "open",
            "assignee": self.assignee,
            "due_at": None if self.due_in is None else context.now + self.due_in,
            "entity_type": context.entity_type,
            "entity_id": context.entity_id,
            "workflow_id": context.workflow_id,
            "execution_id": context.execution_id,
            "created_at": context.now,
        }
        return Done({"task_id": task_id}, (Insert("tasks", task),))
