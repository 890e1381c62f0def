"""A primary that nobody follows takes writes, and they are rolled back: nothing of them has ever happened."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient, MongoClient
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from daemon.mongo.codec import CODEC
from tests.support.load import CHAINED, CREATED, Load, prepared_load
from tests.support.poll import eventually
from tests.support.replica_set import Node, ReplicaSet, running_replica_set
from tests.support.survivor import replica_on, settled

LATER = ObjectId("5f0000000000000000000031")  # a step that comes due while nobody follows the primary
DELAY_S = 5


@pytest.fixture(scope="module")
async def replica_set(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReplicaSet]:
    async with running_replica_set(tmp_path_factory.mktemp("replica_set"), catches_up=False) as running:
        yield running


@asynccontextmanager
async def nobody_follows(replica_set: ReplicaSet, primary: Node) -> AsyncIterator[None]:
    """Let the others fetch nothing from the primary."""
    others = [node for node in replica_set.nodes if node is not primary]
    point = {"configureFailPoint": "stopReplProducer"}
    for node in others:
        await node.command({**point, "mode": "alwaysOn"})
    try:
        yield
    finally:
        for node in others:
            await node.command({**point, "mode": "off"})


async def rollbacks(node: Node) -> int:
    return int((await node.command("replSetGetRBID"))["rbid"])


@pytest.mark.parametrize("is_killed", [True, False])
async def test_what_is_rolled_back_has_never_happened(is_killed: bool, replica_set: ReplicaSet, tmp_path: Path) -> None:
    await replica_set.healthy()
    name = f"test_{uuid.uuid4().hex[:12]}"
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        replica_set.uri, w="majority", tz_aware=True, serverSelectionTimeoutMS=2_000, timeoutMS=5_000
    )
    async with client:
        load = await prepared_load(client.get_database(name, codec_options=CODEC))
        action = {"type": "create_task", "delay": DELAY_S}
        await load.database.workflows.insert_one(
            {"_id": LATER, "name": "Later", "trigger": CREATED, "actions": [action]}
        )
        load.workflow_ids = (*load.workflow_ids, LATER)
        async with replica_on(replica_set.uri, load, tmp_path, lease_s=15):  # trusted until the step is due
            await load.write(20)
            await eventually(lambda: is_all_but_delayed(load))
            primary = await replica_set.primary()
            before = await rollbacks(primary)
            async with nobody_follows(replica_set, primary):
                lost = await asyncio.to_thread(write_alone, primary, name)
                await eventually(lambda: asyncio.to_thread(has_more_than_others, primary, name))
                if is_killed:
                    await asyncio.to_thread(primary.kill)
                else:
                    await replica_set.step_down()
                await eventually(lambda: another_leads(replica_set, primary))
            await replica_set.healthy()
            await eventually(lambda: has_rolled_back(primary, before))
            await load.write(10)
            await settled(load)
        gone = {"triggered_by_entity_id": {"$in": lost}}
        assert await load.database.leads.count_documents({"_id": {"$in": lost}}) == 0
        assert await load.database.workflow_executions.count_documents(gone) == 0
        assert await load.database.workflow_decisions.count_documents({"entity_id": {"$in": lost}}) == 0


def write_alone(primary: Node, name: str) -> list[ObjectId]:
    """Insert leads that only the primary has; return their ids."""
    client: MongoClient[dict[str, Any]]
    with MongoClient("127.0.0.1", primary.port, directConnection=True) as client:
        leads: Collection[dict[str, Any]] = client[name].get_collection(
            "leads", write_concern=WriteConcern(w=1, j=True)
        )
        return leads.insert_many([{"email": "lost@example.com"} for _ in range(20)]).inserted_ids


def has_more_than_others(primary: Node, name: str) -> bool:
    """Return whether the daemon has ended executions that only the primary knows as ended."""
    client: MongoClient[dict[str, Any]]
    with MongoClient("127.0.0.1", primary.port, directConnection=True) as client:
        by_level = [
            client[name]
            .get_collection("workflow_executions", read_concern=ReadConcern(level))
            .count_documents({"status": "completed"})
            for level in ("local", "majority")
        ]
    return by_level[0] > by_level[1]


async def is_all_but_delayed(load: Load) -> bool:
    """Return whether all steps have been done but those with a delay, which come due one second later or more."""
    done = {"workflow_id": CHAINED, "status": "completed"}
    return await load.database.workflow_executions.count_documents(done) == len(load.leads)


async def another_leads(replica_set: ReplicaSet, former: Node) -> bool:
    return any([await node.is_primary() for node in replica_set.nodes if node is not former])


async def has_rolled_back(node: Node, before: int) -> bool:
    return bool(await node.hello()) and await rollbacks(node) > before
