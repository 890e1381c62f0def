"""What a lead types into a text that a template prints delays nobody else, and is never called uncertain or ours."""

import time
from typing import Any

from bson import Decimal128
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.commits import committed
from tests.support.daemon import running_daemon
from tests.support.load import mail_settings
from tests.support.poll import eventually
from tests.support.smtp import mail_server

Database = AsyncDatabase[dict[str, Any]]

HOSTILE = ">" + '<a "' * 32_000
HEAVY = (
    "{% for i in (1..2000) %}" + "{% cycle i, 'b' %}" * 10 + "{% endfor %}"
)  # nearly as much work as any template may do


def workflow(name: str, entity_type: str, action: dict[str, Any]) -> dict[str, Any]:
    trigger = {"type": "entity_created", "entity_type": entity_type}
    return {"_id": name, "name": name, "trigger": trigger, "actions": [action]}


def mailing(template: str, to: str) -> dict[str, Any]:
    return {"type": "send_email", "template": template, "to_field": to}


async def ended(database: Database, name: str, count: int) -> list[dict[str, Any]]:
    """Return the executions of a workflow in the order in which they ended, once there are ``count``."""

    async def all_of_them() -> list[dict[str, Any]]:
        query = {"workflow_id": name, "completed_at": {"$ne": None}}
        found = await database.workflow_executions.find(query).sort("completed_at").to_list()
        return found if len(found) == count else []

    return await eventually(all_of_them)


async def test_hostile_texts_delay_nobody_and_every_mail_tells_its_end(mongo_uri: str, database: Database) -> None:
    await database.email_templates.insert_many(
        [
            {"_id": "heavy", "subject": "Heavy", "text": "{{ lead.bio | strip_html }}" + HEAVY},
            {
                "_id": "plain",
                "subject": "Plain",
                "text": "{{ deal.amount | times: 2 }} {{ deal.closed | date: '%d' }}|",
            },
            {"_id": "wrong", "subject": "Wrong", "text": "{{ contact.born | date: '%Y' }}"},
        ]
    )
    await database.workflows.insert_many(
        [
            workflow("heavy", "lead", mailing("heavy", "mail")),
            workflow("task", "lead", {"type": "create_task", "title": "Call"}),
            workflow("plain", "deal", mailing("plain", "mail")),
            workflow("wrong", "contact", mailing("wrong", "mail")),
        ]
    )
    async with mail_server() as mails, running_daemon(mongo_uri, database.name, **mail_settings(mails)):
        await committed(database, lambda: database.workflow_versions.count_documents({}))
        before = time.thread_time()
        await database.leads.insert_many([{"mail": f"l{number}@example.com", "bio": HOSTILE} for number in range(6)])
        await committed(database, lambda: database.workflow_executions.find_one({"workflow_id": "heavy"}))
        await database.deals.insert_one({"mail": "d@example.com", "amount": Decimal128("1234.50"), "closed": None})
        await database.contacts.insert_one({"mail": "c@example.com", "born": "123456789012345678"})
        tasks, plain = await ended(database, "task", 6), await ended(database, "plain", 1)
        wrong, heavy = await ended(database, "wrong", 1), await ended(database, "heavy", 6)
        spent_s = time.thread_time() - before

    assert (
        max(tasks[-1]["completed_at"], plain[0]["completed_at"], wrong[0]["completed_at"]) < heavy[-1]["completed_at"]
    )
    assert spent_s < 3  # all that the loop and this test did together; each of the six takes the renderer a while
    assert [each["status"] for each in (*tasks, *plain, *heavy)] == ["completed"] * 13
    step = wrong[0]["actions_executed"][0]
    assert (step["status"], step["attempts"]) == ("failed", 1)
    assert step["error"].startswith("text: date: expected seconds since 1970 up to the year 9999, found 18 digits")
    contents = {str(message["Subject"]): message.get_content() for message in mails.messages}
    assert contents["Plain"] == "2469.00 |\r\n"
    assert contents["Heavy"].startswith(">")
