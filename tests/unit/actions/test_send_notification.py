"""Notifying somebody inside the CRM."""

import pytest

from actions.document_id import document_id
from actions.outcome import Done, Insert
from actions.registry import parse_action
from config.error import WorkflowError
from tests.unit.actions.factory import EXECUTION_ID, NOW, WORKFLOW_ID, a_context


async def test_notification_is_unread_and_names_its_entity() -> None:
    action = parse_action("send_notification", {"message": "🎉 Congratulations! Deal won!"}, "actions[0]")

    outcome = await action.run(a_context({"_id": "d-1"}, entity_type="deal"))

    notification_id = document_id(EXECUTION_ID, "0")
    notification = {
        "_id": notification_id,
        "title": "",
        "message": "🎉 Congratulations! Deal won!",
        "recipient": None,
        "status": "unread",
        "entity_type": "deal",
        "entity_id": "d-1",
        "workflow_id": WORKFLOW_ID,
        "execution_id": EXECUTION_ID,
        "created_at": NOW,
    }
    assert outcome == Done({"notification_id": notification_id}, (Insert("notifications", notification),))


def test_notification_without_a_message_is_refused() -> None:
    with pytest.raises(WorkflowError, match=r"^actions\[0\]\.message: expected a value"):
        parse_action("send_notification", {"title": "Deal won"}, "actions[0]")


def test_channel_that_is_not_known_is_refused() -> None:
    with pytest.raises(WorkflowError, match=r"^actions\[0\]\.channel: expected 'in_app', found 'fax'"):
        parse_action("send_notification", {"message": "x", "channel": "fax"}, "actions[0]")
