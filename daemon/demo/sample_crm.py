"""A sample CRM, written with Motor as CRMs are: it shares only its collections with the daemon.

Every act is one call, as a form, an import or an admin at a console would make it, and is told on the board. Names
are kept by (type, id), so that the demo can speak of entities by name.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from config.collection_names import Collections
from daemon.demo.board import Board, Topic
from rules.identity import entity_key

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClientSession, AsyncIOMotorCollection, AsyncIOMotorDatabase


class SampleCrm:
    """Creates and changes leads, deals and contacts, and edits workflows as an admin does."""

    def __init__(
        self,
        database: "AsyncIOMotorDatabase[dict[str, Any]]",
        entities: Mapping[str, str],
        names: Collections,
        board: Board,
    ) -> None:
        """``entities`` maps entity type to collection."""
        self._database = database
        self._entities = entities
        self._names = names
        self._board = board
        self._known: dict[tuple[str, Any], str] = {}

    def name_of(self, entity_type: str, entity_id: Any) -> str:
        """Return the name of an entity; its id where the CRM has never heard of it."""
        return self._known.get(entity_key(entity_type, entity_id), str(entity_id))

    # Leads, deals and contacts

    async def add(
        self,
        entity_type: str,
        name: str,
        session: "AsyncIOMotorClientSession | None" = None,
        **fields: Any,
    ) -> ObjectId:
        """Insert an entity."""
        entity_id = ObjectId()
        self._meet(entity_type, entity_id, name)
        self._tell(f"{entity_type} {name} is created{_shown(fields)}")
        document = {"_id": entity_id, "name": name, **fields, "created_at": datetime.now(UTC)}
        await self._of(entity_type).insert_one(document, session=session)
        return entity_id

    async def add_by_upsert(self, entity_type: str, name: str, key: Mapping[str, Any], **fields: Any) -> ObjectId:
        """Insert an entity as imports do: by an update that finds nothing."""
        entity_id = ObjectId()
        self._meet(entity_type, entity_id, name)
        self._tell(f"{entity_type} {name} is created by an upsert{_shown(fields)}")
        update = {"$set": {"name": name, **fields}, "$setOnInsert": {"_id": entity_id}}
        await self._of(entity_type).update_one(dict(key), update, upsert=True)
        return entity_id

    async def change(
        self,
        entity_type: str,
        entity_id: Any,
        fields: Mapping[str, Any],
        session: "AsyncIOMotorClientSession | None" = None,
    ) -> None:
        """Set fields, dotted ones too."""
        self._tell(f"{entity_type} {self.name_of(entity_type, entity_id)} is updated{_shown(fields)}")
        await self._of(entity_type).update_one({"_id": entity_id}, {"$set": dict(fields)}, session=session)

    async def save_whole(self, entity_type: str, entity_id: Any, fields: Mapping[str, Any]) -> None:
        """Replace the whole document, as Compass does when somebody edits it by hand."""
        self._tell(f"{entity_type} {self.name_of(entity_type, entity_id)} is saved as a whole{_shown(fields)}")
        document = await self._of(entity_type).find_one({"_id": entity_id}) or {}
        await self._of(entity_type).replace_one({"_id": entity_id}, {**document, **fields})

    async def delete(self, entity_type: str, entity_id: Any) -> None:
        """Delete an entity."""
        self._tell(f"{entity_type} {self.name_of(entity_type, entity_id)} is deleted")
        await self._of(entity_type).delete_one({"_id": entity_id})

    async def close_at_once(self, deal: str, contact: str, *, changes_its_mind: bool = False) -> ObjectId:
        """Create a deal, win it and add its contact in one transaction; return the deal's id."""
        self._tell("a transaction begins")
        async with await self._database.client.start_session() as session, session.start_transaction():
            deal_id = await self.add("deal", deal, session, status="open", last_activity_at=days_ago(0))
            await self.change("deal", deal_id, {"status": "won"}, session)
            await self.add("contact", contact, session)
            if changes_its_mind:
                await session.abort_transaction()
        self._tell("the transaction is aborted" if changes_its_mind else "the transaction is committed")
        return deal_id

    # What an admin does

    async def add_workflow(self, document: Mapping[str, Any]) -> None:
        """Insert a workflow document."""
        self._tell(f"an admin adds the workflow '{document['name']}'")
        await self._database[self._names.workflows].insert_one(dict(document))

    async def switch(self, workflow: str, status: str) -> None:
        """Edit the status in a workflow document: that is the switch."""
        self._tell(f"an admin sets '{workflow}' to {status}")
        await self._database[self._names.workflows].update_one({"name": workflow}, {"$set": {"status": status}})

    async def ask(self, workflow: str, entity_type: str, entity_id: Any) -> ObjectId:
        """Ask for one run by hand; return the id of the request, which is answered in place."""
        self._tell(f"somebody asks for '{workflow}' for {self.name_of(entity_type, entity_id)}")
        found = await self._database[self._names.workflows].find_one({"name": workflow}, {"_id": 1}) or {}
        request_id = ObjectId()
        request = {
            "_id": request_id,
            "workflow_id": found.get("_id"),
            "entity_type": entity_type,
            "entity_id": entity_id,
        }
        await self._database[self._names.requests].insert_one(request)
        return request_id

    async def move_schedule(self, schedule_id: str, position: datetime) -> None:
        """Set the position of a schedule: the demo cannot wait for a day. No CRM would do this."""
        await self._database[self._names.state].update_one({"_id": schedule_id}, {"$set": {"position": position}})

    def _of(self, entity_type: str) -> "AsyncIOMotorCollection[dict[str, Any]]":
        return self._database[self._entities[entity_type]]

    def _meet(self, entity_type: str, entity_id: Any, name: str) -> None:
        self._known[entity_key(entity_type, entity_id)] = name

    def _tell(self, text: str) -> None:
        self._board.tell(Topic.CRM, text)


def days_ago(days: float) -> datetime:
    """Return the instant that many days before now, by the CRM's own clock."""
    return datetime.now(UTC) - timedelta(days=days)


def _shown(fields: Mapping[str, Any]) -> str:
    """Return the fields as people would say them."""
    said = [f"{name} {_plain(value)}" for name, value in fields.items()]
    return f": {', '.join(said)}" if said else ""


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{(datetime.now(UTC) - value).days} days ago"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) + ")"
    return str(value)
