"""Decide which of the planned entrants may enter, by enrollment and throttling.

The reader is the only writer of enrollments, fenced by the checkpoint, so enrollments that it reads before its
transaction still hold when the transaction commits. A batch sees its own entries. Values are compared as in conditions.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId
from bson.son import SON
from pymongo import ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection

from daemon.mongo.heavy import renew
from daemon.slice import TimeSlice
from daemon.stream.decision import given_up
from daemon.stream.entrant import Entrant
from daemon.stream.throttle import Throttle
from rules.budget import Budget
from rules.canonical import canonical
from rules.explain import Reason, Refusal
from rules.identity import bson_bytes

Id = SON[str, Any]


class Admission:
    """Decides over the entrants of one transaction, in order."""

    def __init__(self, enrollments: AsyncCollection[dict[str, Any]], throttle: Throttle) -> None:
        self._enrollments = enrollments
        self._throttle = throttle
        self._ids: dict[ObjectId, tuple[Id, ...] | Refusal] = {}  # by execution
        self._known: dict[bytes, Mapping[str, Any]] = {}
        self._changed: dict[bytes, dict[str, Any]] = {}

    def forget(self) -> None:
        """Drop the counts for a transaction that was not committed."""
        self._ids, self._known, self._changed = {}, {}, {}
        self._throttle.forget()

    async def load(self, entrants: Iterable[Entrant]) -> None:
        """Read the stored enrollments of ``entrants``, with one query; forget the transaction before."""
        self._ids, self._known, self._changed = {}, {}, {}
        entrants = [entrant for entrant in entrants if entrant.problem is None]
        turn = TimeSlice()
        wanted: list[Id] = []
        for entrant in entrants:
            if not entrant.workflow.enrollment.is_kept:
                continue
            found = self._ids[entrant.execution_id] = _enrollment_ids(entrant)
            wanted += () if isinstance(found, Refusal) else found
            if turn.is_over:
                await turn.give_way()
        if wanted:
            async for document in self._enrollments.find({"_id": {"$in": wanted}}):
                self._known[_place(document["_id"])] = document
        await self._throttle.load(entrants)

    def refusal(self, entrant: Entrant) -> Refusal | None:
        """Return why an entrant may not enter; None admits it, and counts for the entrants that follow."""
        if entrant.is_forced:
            return None
        workflow = entrant.workflow
        ids = entrant.problem or (self._ids[entrant.execution_id] if workflow.enrollment.is_kept else ())
        if isinstance(ids, Refusal):
            return ids
        places = list(map(_place, ids))
        for place in places:
            reason = workflow.enrollment.refusal(self._known.get(place), entrant.execution_id, entrant.triggered_at)
            if reason is not None:
                return Refusal(workflow.id, workflow.name, workflow.version, reason)
        runs = self._throttle.runs_over_limit(entrant)
        if runs is not None:
            return Refusal(
                workflow.id, workflow.name, workflow.version, Reason.THROTTLED, (), {"runs": runs, "within": "1h"}
            )
        if ids:
            document = {"_id": ids[0], "execution_id": entrant.execution_id, "at": entrant.triggered_at}
            self._known[places[0]] = self._changed[places[0]] = document
        return None

    def writes(self) -> list[ReplaceOne[dict[str, Any]]]:
        """Return the enrollments that the admitted entrants make."""
        return [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in self._changed.values()]


def _enrollment_ids(entrant: Entrant) -> tuple[Id, ...] | Refusal:
    """Return the id of the enrollment that an entrant needs, none if its workflow keeps none, and earlier spellings.

    An unexpected error, or a value that is too large, keeps out only its own entity.
    """
    renew(entrant.entity)
    try:
        keys = entrant.workflow.enrollment.keys(entrant.entity) if not entrant.is_forced else ()
    except Exception as error:
        return given_up(entrant.workflow, error)
    named = {"workflow_id": entrant.workflow.id, "entity_type": entrant.entity_type, "entity_id": entrant.entity_id}
    return tuple(SON(**named, key=key) for key in keys)


def _place(enrollment_id: Mapping[str, Any]) -> bytes:
    """Return the key by which enrollments are compared: MongoDB also finds the key 10.50 of a Decimal128 by 10.5."""
    key = enrollment_id["key"]
    if isinstance(key, Mapping):
        enrollment_id = {**enrollment_id, "key": canonical(key, Budget(sys.maxsize))}
    return bson_bytes(enrollment_id)
