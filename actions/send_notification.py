"""The action ``send_notification``: notifies people inside the CRM."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from actions.action import Action
from actions.context import Context
from actions.document_id import document_id
from actions.outcome import Done, Insert, Outcome
from actions.parameter import PersonId


class SendNotification(Action):
    """Insert one unread notification; without a ``recipient`` it is for everybody."""

    type: ClassVar[str] = "send_notification"
    only_inserts: ClassVar[bool] = True

    message: Annotated[str, Field(min_length=1, max_length=20_000)]
    title: Annotated[str, Field(max_length=1_000)] = ""
    recipient: PersonId | None = None
    channel: Literal["in_app"] = "in_app"

    async def run(self, context: Context) -> Outcome:
        """Return the notification as a write; the result names it: ``{notification_id}``."""
        notification_id = document_id(context.execution_id, context.node)
        notification = {
            "_id": notification_id,
            "title": self.title,
            "message": self.message,
            "recipient": self.recipient,
            "status": "unread",
            "entity_type": context.entity_type,
            "entity_id": context.entity_id,
            "workflow_id": context.workflow_id,
            "execution_id": context.execution_id,
            "created_at": context.now,
        }
        return Done({"notification_id": notification_id}, (Insert("notifications", notification),))
