"""Documents that events lack are read for as many events as memory has room for."""

from typing import Any, cast

import bson
import pytest

from daemon.executions.entity import Entities, EntityReader
from daemon.mongo.heavy import HEAVY, opened
from daemon.stream.current import CurrentReader
from daemon.stream.manual import Manual
from daemon.stream.open_causes import NO_CAUSES
from daemon.stream.past import Past
from rules.identity import entity_key
from tests.unit.daemon.test_stream_plan import Stream


class LargeEntities:
    """Every entity is large; ``read`` are the ids of those that were read."""

    def __init__(self) -> None:
        self.read: list[Any] = []

    async def read_light(self, wanted: list[tuple[str, Any]]) -> Entities:
        return Entities(heavy={entity_key(*each): each for each in wanted})

    async def read_one(self, entity_type: str, entity_id: Any) -> Any:
        self.read.append(entity_id)
        return opened(bson.encode({"_id": entity_id, "text": "x" * HEAVY}))


@pytest.mark.parametrize(("room", "covered"), [(1, 2), (HEAVY, 2), (2 * HEAVY, 4), (100 * HEAVY, 5)])
async def test_large_entities_are_read_for_as_many_events_as_there_is_room(
    room: int, covered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.stream.current.MOST_HEAVY_BYTES", room)
    stream, entities = Stream(), LargeEntities()
    events = [stream.event("leads", lead, "update", updateDescription={"updatedFields": {"a": 1}, "removedFields": []})
              for lead in (1, 1, 2, 2, 3)]  # fmt: skip
    manual = Manual(stream.index, ["lead"])
    reader = CurrentReader(cast(EntityReader, entities), cast(Any, None), manual, cast(Past, None))
    current = await reader.read(events, replayed_until="")
    assert current.covered == covered
    assert entities.read == list(dict.fromkeys(lead for lead in (1, 1, 2, 2, 3)[:covered]))

    plan = await stream.planner.plan(events, 0, NO_CAUSES, current)
    assert plan.consumed == covered
