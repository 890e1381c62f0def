"""The pinned versions that are kept in memory: few and light enough, the latest used ones."""

import asyncio
from typing import Any

import mongomock
import pytest

from daemon.versions.definition import Definitions, pinned


def collection() -> Any:
    return mongomock.MongoClient()["crm"]["versions"]


class Versions:
    """A collection of versions whose finds can be counted."""

    def __init__(self, count: int) -> None:
        self.asked: list[int] = []
        self._stored = collection()
        for version in range(count):
            key = {"workflow_id": "w", "version": version}
            self._stored.insert_one({"_id": key, **key, "definition": {"name": "x" * 100}})

    async def find(self, query: dict[str, Any]) -> Any:
        self.asked += [each["version"] for each in query["_id"]["$in"]]
        for _ in query["_id"]["$in"]:  # the more is asked for, the later the answer
            await asyncio.sleep(0)
        for document in self._stored.find(query):
            yield document


def parse(workflow_id: Any, version: int, document: Any) -> Any:
    return version


async def loaded(definitions: Definitions, *versions: int) -> list[Any]:
    found = await definitions.load([("w", version) for version in versions])
    return [found[pinned("w", version)] for version in versions]


async def test_a_version_is_read_once_and_one_that_is_gone_is_nothing() -> None:
    versions = Versions(2)
    definitions = Definitions(versions, parse)  # type: ignore[arg-type]
    assert await loaded(definitions, 0, 1, 7) == [0, 1, None]
    assert await loaded(definitions, 0, 1, 7) == [0, 1, None]
    assert versions.asked == [0, 1, 7]


@pytest.mark.parametrize("limit", [{"capacity": 2}, {"capacity_bytes": 300}], ids=str)
async def test_the_version_that_was_not_used_for_longest_is_dropped(limit: dict[str, int]) -> None:
    versions = Versions(3)
    definitions = Definitions(versions, parse, **limit)  # type: ignore[arg-type]
    for version in (0, 1, 0, 2):
        assert await loaded(definitions, version) == [version]
    versions.asked.clear()
    await loaded(definitions, 0, 2)
    assert versions.asked == []
    await loaded(definitions, 1)
    assert versions.asked == [1]


async def test_more_than_fits_is_answered_all_the_same() -> None:
    assert await loaded(Definitions(Versions(3), parse, capacity=1), 0, 1, 2) == [0, 1, 2]  # type: ignore[arg-type]


async def test_two_loads_at_once_take_nothing_from_one_another() -> None:
    definitions = Definitions(Versions(9), parse, capacity=2)  # type: ignore[arg-type]
    await loaded(definitions, 0)
    found = await asyncio.gather(loaded(definitions, 0, 3, 4, 5), loaded(definitions, 6, 7), loaded(definitions, 5, 8))
    assert list(found) == [[0, 3, 4, 5], [6, 7], [5, 8]]
