"""Who of the planned entrants may enter: enrollment and throttling, asked exactly.

The reader is the only writer of enrollments, fenced by the checkpoint, so what it reads before its transaction still
holds when the transaction commits. A batch sees its own entries.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId
from bson.son import SON
from pymongo import ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection

from daemon.mongo.refusal import problem_of
from daemon.stream.decision import given_up
from daemon.stream.entrant import Entrant
from daemon.stream.throttle import Throttle
from rules.explain import Reason, Refusal
from rules.identity import bson_bytes


class Admission:
    """Decides over the entrants of one transaction, in order."""

    def __init__(self, enrollments: AsyncCollection[dict[str, Any]], throttle: Throttle) -> None:
        self._enrollments = enrollments
        self._throttle = throttle
        self._known: dict[bytes, Mapping[str, Any]] = {}
        self._changed: dict[bytes, dict[str, Any]] = {}
        self._problems: dict[ObjectId, str] = {}  # by execution: why nobody can tell whether it has entered before

    def forget(self) -> None:
        """Drop what was counted for a transaction that was not committed."""
        self._known, self._changed = {}, {}
        self._throttle.forget()

    async def load(self, entrants: Iterable[Entrant]) -> None:
        """Read what is stored about ``entrants``, one query for all; forget the transaction before."""
        self._known, self._changed, self._problems = {}, {}, {}
        entrants = [entrant for entrant in entrants if entrant.problem is None]
        ids = [found for found in map(self._enrollment_id, entrants) if found is not None]
        if ids:
            async for document in self._enrollments.find({"_id": {"$in": ids}}):
                self._known[bson_bytes(document["_id"])] = document
        await self._throttle.load(entrants)

    def refusal(self, entrant: Entrant) -> Refusal | None:
        """Return why an entrant may not enter; None admits it, and counts for those that follow."""
        if entrant.is_forced:
            return None
        workflow = entrant.workflow
        problem = entrant.problem or self._problems.get(entrant.execution_id)
        if problem is not None:
            return given_up(workflow, problem)
        found = enrollment_id(entrant)
        key = bson_bytes(found)
        if found is not None:
            reason = workflow.enrollment.refusal(self._known.get(key), entrant.execution_id, entrant.triggered_at)
            if reason is not None:
                return Refusal(workflow.id, workflow.name, workflow.version, reason)
        runs = self._throttle.runs_over_limit(entrant)
        if runs is not None:
            detail = {"runs": runs, "within": "1h"}
            return Refusal(workflow.id, workflow.name, workflow.version, Reason.THROTTLED, (), detail)
        if found is not None:
            document = {"_id": found, "execution_id": entrant.execution_id, "at": entrant.triggered_at}
            self._known[key] = self._changed[key] = document
        return None

    def _enrollment_id(self, entrant: Entrant) -> SON[str, Any] | None:
        """Return what ``enrollment_id`` does; a value that no code expected keeps out its own entity only."""
        try:
            return enrollment_id(entrant)
        except Exception as error:
            self._problems[entrant.execution_id] = problem_of(error)
            return None

    def writes(self) -> list[ReplaceOne[dict[str, Any]]]:
        """Return the enrollments that the admitted entrants make."""
        return [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in self._changed.values()]


def enrollment_id(entrant: Entrant) -> SON[str, Any] | None:
    """Return the id of the enrollment that an entrant needs, None if its workflow keeps none."""
    key = entrant.workflow.enrollment.key(entrant.entity)
    if key is None:
        return None
    return SON(workflow_id=entrant.workflow.id, entity_type=entrant.entity_type, entity_id=entrant.entity_id, key=key)
