"""Read the entities of one scheduled run page by page, as entrants.

Ids may have any mix of types: pages follow the order of BSON, not a range of one type. The next page is read, and its
entrants are made, while the one before is being committed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.collation import Collation

from daemon.mongo.codec import BYTES_AT_ONCE
from daemon.mongo.heavy import opened
from daemon.service import cancelled
from daemon.slice import SLICE_S, TimeSlice
from daemon.stream.decision import given_up
from daemon.stream.entrant import Entrant
from rules.cause import OUTSIDE
from rules.condition import Subject
from rules.identity import ScheduledRun
from rules.query import is_exact, to_filter
from rules.workflow import Workflow

_MOST_HELD: Final = 16 * 1024 * 1024  # bytes of the entities of a page that are to enter
SIMPLE: Final = Collation("simple")  # not the collection's own: conditions compare text byte by byte


@dataclass(frozen=True, slots=True)
class Page:
    """The entrants of some entities; ``after`` holds the last id read, in a list, empty if there was none."""

    entrants: list[Entrant]
    after: list[Any]
    is_last: bool


class Pages:
    """Reads ahead by one page. For use by one task."""

    def __init__(
        self,
        cursor: AsyncCursor[RawBSONDocument],
        workflow: Workflow,
        fire_at: datetime,
        *,
        must_judge: bool,
        size: int,
        slice_s: float = SLICE_S,
    ) -> None:
        """``size``: entities of a page. After ``slice_s`` seconds of judging the event loop turns."""
        self._size = size
        self._slice_s = slice_s
        self._cursor = cursor
        self._workflow = workflow
        self._fire_at = fire_at
        self._must_judge = must_judge
        self._entity_type = workflow.trigger.entity_type or ""
        self._run = ScheduledRun(fire_at, workflow.id, self._entity_type)
        self._reading = asyncio.create_task(self._read(), name="sweep")

    async def next(self) -> Page:
        """Return the next page; raise the driver's error if the database does not answer. None follows the last."""
        page = await self._reading
        if not page.is_last:
            self._reading = asyncio.create_task(self._read(), name="sweep")
        return page

    async def stop(self) -> None:
        """Read no more."""
        await cancelled(self._reading)

    async def _read(self) -> Page:
        entrants: list[Entrant] = []
        count, after, size, held = 0, None, 0, 0
        turn = TimeSlice(self._slice_s)
        async for raw in self._cursor:
            entity = opened(raw.raw)
            count, after = count + 1, entity["_id"]
            size += len(raw.raw)
            entrant = self._judged(entity)
            if entrant is not None:
                entrants.append(entrant)
                held += len(raw.raw)
            if count == self._size or held > _MOST_HELD:
                return Page(entrants, [after], is_last=False)
            await turn.give_way()
            if size > BYTES_AT_ONCE:
                size = 0
                await asyncio.sleep(0)
        return Page(entrants, [after] if count else [], is_last=True)

    def _judged(self, entity: Mapping[str, Any]) -> Entrant | None:
        """Return the entrant that an entity makes, None if it does not meet the conditions.

        An error while it is judged concerns this entity only: it is refused with the error (promise 8).
        """
        try:
            is_met = not self._must_judge or self._workflow.conditions.judge(Subject(entity, self._fire_at)) is True
        except Exception as error:
            return replace(self._entrant(entity), problem=given_up(self._workflow, error))
        return self._entrant(entity) if is_met else None

    def _entrant(self, entity: Mapping[str, Any]) -> Entrant:
        return Entrant(
            self._workflow,
            self._entity_type,
            entity["_id"],
            entity if self._workflow.enrollment.field else None,  # entities may be large: keep them only if needed
            self._run.execution_id(entity["_id"]),
            self._fire_at,
            OUTSIDE,
            {"type": self._workflow.trigger.type, "kind": "scheduled", "at": self._fire_at},
        )


@asynccontextmanager
async def open_pages(
    entities: AsyncCollection[RawBSONDocument], workflow: Workflow, fire_at: datetime, after: list[Any], size: int
) -> AsyncIterator[Pages]:
    """Yield the pages of all entities that meet the conditions at ``fire_at``, behind the id that ``after`` may hold.

    Raise the driver's error if the database does not answer.
    """
    wanted = filter_behind(workflow, fire_at, after)
    must_judge = not is_exact(workflow.conditions)
    found = entities.find(wanted, None if must_judge else _fields_of(workflow)).collation(SIMPLE)
    async with found.sort("_id", 1).batch_size(size) as cursor:
        pages = Pages(cursor, workflow, fire_at, must_judge=must_judge, size=size)
        try:
            yield pages
        finally:
            await pages.stop()


def filter_behind(workflow: Workflow, fire_at: datetime, after: list[Any]) -> dict[str, Any]:
    """Return the query for the entities of a run behind the id that ``after`` may hold."""
    wanted = to_filter(workflow.conditions, fire_at)
    if after:
        last = {"$expr": {"$gt": ["$_id", {"$literal": after[0]}]}}
        return {"$and": [wanted, last]} if wanted else last
    return wanted


def _fields_of(workflow: Workflow) -> dict[str, int] | None:
    """Return the projection of the fields that enrollment needs; None for all: projections know no list positions."""
    field = workflow.enrollment.field
    return None if "." in field else dict.fromkeys(("_id", field) if field else ("_id",), 1)
