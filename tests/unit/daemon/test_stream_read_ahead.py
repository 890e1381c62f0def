"""The queue between reading and committing: what is decoded when, and how much is committed together."""

import asyncio
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from daemon.stream.cursor import Reply
from daemon.stream.decode import Decoder, StreamEvent
from daemon.stream.read_ahead import ReadAhead
from tests.support.poll import eventually


class CountingDecoder(Decoder):
    """Decodes, and counts how often."""

    def __init__(self) -> None:
        super().__init__({"leads": "lead"}, "workflows", "workflow_requests", "workflow_effects")
        self.decoded = 0

    def decode(self, raw: RawBSONDocument) -> StreamEvent:
        self.decoded += 1
        return super().decode(raw)


def reply(*numbers: int, padding: int = 0) -> Reply:
    """Return what one round trip brings: an insert for each number, and the position after the last."""
    return Reply([event(number, padding) for number in numbers], {"_data": f"{max(numbers, default=0):04}"})


def event(number: int, padding: int) -> RawBSONDocument:
    body: dict[str, Any] = {
        "_id": {"_data": f"{number:04}"},
        "operationType": "insert",
        "clusterTime": Timestamp(1, number),
        "ns": {"db": "crm", "coll": "leads"},
        "documentKey": {"_id": number},
        "fullDocument": {"_id": number, "text": "x" * padding},
    }
    return RawBSONDocument(bson.encode(body))


def ids(events: list[StreamEvent]) -> list[int]:
    return [each.document_id for each in events]


async def test_what_has_gathered_is_taken_together_in_order_with_the_last_position() -> None:
    ahead = ReadAhead(CountingDecoder())
    for each in (reply(1, 2), reply(), reply(3)):
        await ahead.put(each)
    batch = await ahead.next_batch()
    assert (ids(batch.events), batch.token, ahead.is_empty) == ([1, 2, 3], {"_data": "0003"}, True)


async def test_a_light_batch_is_decoded_when_it_arrives_and_a_heavy_one_when_it_is_taken() -> None:
    decoder = CountingDecoder()
    ahead = ReadAhead(decoder, bytes_at_once=5_000)
    await ahead.put(reply(1, 2))
    assert decoder.decoded == 2
    await ahead.put(reply(3, 4, padding=4_000))
    assert decoder.decoded == 2
    assert ids((await ahead.next_batch()).events) == [1, 2, 3, 4]


async def test_a_heavy_batch_is_taken_in_parts_whose_last_one_has_its_position() -> None:
    decoder = CountingDecoder()
    ahead = ReadAhead(decoder, bytes_at_once=9_000)
    putting = asyncio.create_task(ahead.put(reply(*range(1, 20), padding=4_000)))
    taken: list[tuple[list[int], Any]] = []
    while not taken or taken[-1][1] is None:
        batch = await ahead.next_batch()
        assert decoder.decoded == sum(len(each) for each, _ in taken) + len(batch.events)
        taken.append((ids(batch.events), batch.token))
        assert ahead.is_empty is (batch.token is not None)
        ahead.done(batch)
    await putting
    assert [number for each, _ in taken for number in each] == list(range(1, 20))
    assert max(len(each) for each, _ in taken) <= 4
    assert taken[-1][1] == {"_data": "0019"}


async def test_an_event_that_is_heavy_by_itself_waits_until_the_one_before_is_committed() -> None:
    decoder = CountingDecoder()
    ahead = ReadAhead(decoder, bytes_at_once=3_000)
    putting = asyncio.create_task(ahead.put(reply(1, 2, 3, padding=4_000)))
    for number in (1, 2, 3):
        batch = await ahead.next_batch()
        assert (ids(batch.events), decoder.decoded, putting.done()) == ([number], number, number == 3)
        waiting = asyncio.create_task(ahead.next_batch())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        ahead.done(batch)
    await putting


@pytest.mark.parametrize("limit", [{"most_events": 5}, {"bytes_at_once": 600}], ids=str)
async def test_no_more_is_taken_than_one_commit_may_hold(limit: dict[str, int]) -> None:
    ahead = ReadAhead(CountingDecoder(), **limit)
    for first in (1, 4, 7):
        await ahead.put(reply(first, first + 1, first + 2))
    assert ids((await ahead.next_batch()).events) == [1, 2, 3, 4, 5, 6]
    assert ids((await ahead.next_batch()).events) == [7, 8, 9]


async def test_reading_waits_for_room_and_the_end_for_every_commit() -> None:
    ahead = ReadAhead(CountingDecoder())
    reading = asyncio.create_task(fill(ahead, 6))
    await eventually(lambda: not ahead.is_empty)
    taken = 0
    while not reading.done() or not ahead.is_empty:
        batch = await ahead.next_batch()
        ended = asyncio.create_task(ahead.all_done())
        await asyncio.sleep(0)
        assert not ended.done()
        ahead.done(batch)
        taken += batch.reads
        ended.cancel()
        await asyncio.sleep(0)
    assert taken == 6
    await ahead.all_done()


async def fill(ahead: ReadAhead, batches: int) -> None:
    for number in range(batches):
        await ahead.put(reply(number))
