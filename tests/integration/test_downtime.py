"""The longest time that nobody read the stream is kept, and no shorter one after it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from daemon.stream.downtime import note_downtime

NOW = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize(("away_s", "kept"), [((30,), None), ((90,), 90), ((7200, 90), 7200), ((90, 7200), 7200)])
async def test_the_longest_downtime_is_kept(
    database: AsyncDatabase[dict[str, Any]], away_s: tuple[int, ...], kept: int | None
) -> None:
    state = database["workflow_state"]
    for seconds in away_s:
        await note_downtime(state, NOW - timedelta(seconds=seconds), NOW)
    await note_downtime(state, "long ago", NOW)
    assert (await state.find_one({"_id": "downtime"}) or {}).get("longest_s") == kept
