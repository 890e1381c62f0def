"""The work that fault tests put on a daemon: leads that set off every kind of step, and what must come of them."""

from dataclasses import dataclass, field
from typing import Any, Final

from bson import ObjectId, Timestamp
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from daemon.mongo.initialise import initialise
from tests.support.invariants import ENDED, Expected, Witness
from tests.support.poll import REPEAT_S, eventually
from tests.support.settings import settings_for
from tests.support.signal import Signal
from tests.support.smtp import MailServer

Database = AsyncDatabase[dict[str, Any]]

FOLLOW_UP: Final = ObjectId("5f0000000000000000000001")  # every kind of step, with a delay in between
WELCOME: Final = ObjectId("5f0000000000000000000002")  # an e-mail that may be sent once at the most
CHAINED: Final = ObjectId("5f0000000000000000000003")  # set off by what the first one writes
DELAY_S: Final = 0.3
CREATED: Final = {"type": "entity_created", "entity_type": "lead"}
_RETRY: Final = {"max_attempts": 100, "initial": 0.3, "multiplier": 1, "jitter": 0}
_MAIL: Final = {"type": "send_email", "template": "fault_test", "retry": _RETRY}
_REPEATED: Final = {**_MAIL, "delivery": "at_least_once"}
_INSIDE: Final = [{"type": "create_task"}, {"type": "update_field", "field": "is_touched", "value": True}]
_TOLD: Final = {"type": "send_notification", "message": "Touched", "delay": DELAY_S}
_TEMPLATE: Final = {"_id": "fault_test", "name": "fault_test", "subject": "Hello", "text": "Hello"}


@dataclass
class Load:
    """Leads written so far, and the workflows that run for each."""

    database: Database
    workflow_ids: tuple[ObjectId, ...]
    since: Timestamp
    leads: list[Any] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    _signal: Signal = field(default_factory=Signal)

    async def written(self, count: int) -> None:
        """Return once so many leads have been written."""
        await self._signal.until(lambda: len(self.leads) >= count)

    async def write(self, count: int) -> list[Any]:
        """Insert leads, one write each; return their ids."""
        return [await self._insert({"_id": ObjectId(), "email": "lead@example.com"}) for _ in range(count)]

    async def _insert(self, lead: dict[str, Any]) -> Any:
        """Insert a lead as a stubborn CRM does: again until the server has said yes, whatever happens to it."""

        async def insert() -> bool:
            try:
                await self.database.leads.insert_one(dict(lead))
            except DuplicateKeyError:
                pass  # an earlier try did it, and its answer was lost
            except PyMongoError as error:
                raise AssertionError(f"not yet: {error}") from error
            return True

        await eventually(insert)
        self.leads.append(lead["_id"])
        self._signal.changed()
        return lead["_id"]

    def expected(self, mails: MailServer | None = None) -> Expected:
        """Return what must have come of it."""
        pairs = {(workflow_id, lead): 1 for workflow_id in self.workflow_ids for lead in self.leads}
        arrived = deliveries(mails) if mails is not None else ()
        return Expected(executions=pairs, deliveries=arrived, witnesses=tuple(self.witnesses))

    async def done(self, within_s: float = REPEAT_S) -> None:
        """Return once everything expected has ended."""

        async def all_ended() -> bool:
            ended = {"status": {"$in": ENDED}, "workflow_id": {"$in": list(self.workflow_ids)}}
            found = await self.database.workflow_executions.count_documents(ended)
            assert found >= len(self.leads) * len(self.workflow_ids), found
            return True

        await eventually(all_ended, within_s, every_s=0.05)


async def prepared_load(database: Database, *, with_mail: bool = False) -> Load:
    """Prepare a database, put the workflows in, and return the load; nothing was written yet."""
    await initialise(database, settings_for("", database.name))
    await database.workflows.delete_many({})  # the presets would run for the same leads
    mailing = [_REPEATED] if with_mail else []
    workflows: list[dict[str, Any]] = [
        {"_id": FOLLOW_UP, "name": "Follow up", "trigger": CREATED, "actions": [*_INSIDE, *mailing, _TOLD]},
        {
            "_id": CHAINED,
            "name": "After the first",
            "trigger": {"type": "field_updated", "entity_type": "lead", "field": "is_touched"},
            "actions": [{"type": "create_task"}],
        },
    ]
    if with_mail:
        workflows.append({"_id": WELCOME, "name": "Welcome", "trigger": CREATED, "actions": [_MAIL]})
        await database.email_templates.insert_one(dict(_TEMPLATE))
    await database.workflows.insert_many(workflows)
    since = (await database.command("ping"))["operationTime"]
    return Load(database, tuple(workflow["_id"] for workflow in workflows), since)


def mail_settings(mails: MailServer) -> dict[str, Any]:
    """Return the settings by which a daemon sends to ``mails``."""
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": mails.port,
        "smtp_security": "none",
        "smtp_from": "crm@example.com",
    }


def deliveries(mails: MailServer) -> list[str]:
    """Return the keys ``<execution id>:<step>`` of the messages that arrived."""
    keys = [str(message["Message-ID"]).removeprefix("<").partition("@")[0] for message in mails.messages]
    return [key.replace(".", ":") for key in keys]
