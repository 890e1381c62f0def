"""Pages of a sweep: every entity once, the next page read ahead, nothing kept that nobody needs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import AutoReconnect

from daemon.schedule.page import Pages
from rules.workflow import Workflow
from tests.support.change import a_workflow

FIRE_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
HIGH = {"field": "score", "operator": "greater_than", "value": 5}


def scheduled(**changes: Any) -> Workflow:
    trigger = {"type": "scheduled", "entity_type": "lead", "schedule": "0 9 * * *"}
    return a_workflow(trigger, **changes)


async def leads(count: int, *, then: Exception | None = None) -> AsyncIterator[RawBSONDocument]:
    for number in range(count):
        yield RawBSONDocument(bson.encode({"_id": number, "score": number, "seen_at": "now", "text": "x" * 100}))
    if then is not None:
        raise then


def pages_of(
    found: AsyncIterator[RawBSONDocument], workflow: Workflow, *, must_judge: bool = False, size: int = 900, **more: Any
) -> Pages:
    cursor = cast("AsyncCursor[RawBSONDocument]", found)
    return Pages(cursor, workflow, FIRE_AT, must_judge=must_judge, size=size, **more)


@pytest.mark.parametrize(("count", "sizes"), [(7, [3, 3, 1]), (6, [3, 3, 0]), (0, [0])])
async def test_every_entity_comes_once_and_the_last_page_says_so(count: int, sizes: list[int]) -> None:
    pages = pages_of(leads(count), scheduled(), size=3)
    found = [await pages.next()]
    while not found[-1].is_last:
        found.append(await pages.next())
    assert [len(each.entrants) for each in found] == sizes
    assert [entrant.entity_id for each in found for entrant in each.entrants] == list(range(count))
    assert [each.after for each in found] == [[last.entity_id for last in each.entrants[-1:]] for each in found]
    await pages.stop()


async def test_what_the_query_cannot_tell_is_judged_here() -> None:
    found = await pages_of(leads(10), scheduled(conditions=[HIGH]), must_judge=True).next()
    assert [entrant.entity_id for entrant in found.entrants] == [6, 7, 8, 9]
    assert found.after == [9]


@pytest.mark.parametrize(("enrollment", "is_kept"), [("once", False), ({"once_per": "seen_at"}, True)])
async def test_an_entity_is_kept_only_where_enrollment_looks_at_it(enrollment: Any, is_kept: bool) -> None:
    found = await pages_of(leads(1), scheduled(enrollment=enrollment)).next()
    assert (found.entrants[0].entity is not None) is is_kept


async def test_others_run_while_many_conditions_are_judged() -> None:
    pages = pages_of(leads(100), scheduled(conditions=[HIGH]), must_judge=True, slice_s=0)
    reading = asyncio.create_task(pages.next())
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 9


async def test_a_page_that_cannot_be_read_says_why_and_the_one_before_is_whole() -> None:
    pages = pages_of(leads(4, then=AutoReconnect("the network is down")), scheduled(), size=3)
    assert len((await pages.next()).entrants) == 3
    with pytest.raises(AutoReconnect):
        await pages.next()
    await pages.stop()
