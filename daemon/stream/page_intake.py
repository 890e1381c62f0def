"""Commit the entrants of a sweep's page, or of the search for lost creations, without those that cannot be stored.

One bad document ends neither the page nor the service (promise 8): an entrant that cannot be stored is found by
halving, recorded, and left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from config.error import LeaseLost
from daemon.mongo.failure import is_transient, is_vague
from daemon.stream.commit import Committer
from daemon.stream.decision import given_up, log_refusals
from daemon.stream.enroller import Enroller
from daemon.stream.entrant import Entrant
from daemon.stream.writes import Operations, Writes
from rules.explain import Refusal

Write = Callable[
    [int, Sequence[Refusal]], Operations
]  # called with the number of enqueued entrants, and the refusals of the others


class PageIntake:
    """Takes pages in through the intake's own transactions."""

    def __init__(self, enroller: Enroller, committer: Committer) -> None:
        self._enroller = enroller
        self._committer = committer

    async def take(self, entrants: Sequence[Entrant], write: Write) -> None:
        """Commit a page and what ``write`` adds to its last transaction; raises as ``Intake.take`` does."""
        parts, enqueued, refusals = [entrants], 0, list[Refusal]()
        smallest: Sequence[Entrant] | None = None  # one refused entrant: if even that fails, the error is raised
        while parts:
            part = parts.pop()
            is_whole = part is entrants
            try:
                entered, refused = await self._commit(part, write if is_whole else _nothing)
            except LeaseLost:
                raise
            except Exception as error:
                if is_transient(error) or is_vague(error) or part is smallest:
                    raise
                self._enroller.start_over()
                parts += _smaller(part, error)
                smallest = parts[-1] if len(part) <= 1 else None
            else:
                if is_whole:
                    return
                enqueued += entered
                refusals += refused
        await self._store(Writes(extra=write(enqueued, refusals)))

    async def _commit(self, part: Sequence[Entrant], write: Write) -> tuple[int, list[Refusal]]:
        """Commit a part of a page; return how many executions it made, and why the others did not enter."""
        writes, refusals = await self._enroller.enrol_page(part, self._committer.checkpoint)
        enqueued = len(writes.executions)
        writes.extra = write(enqueued, refusals)
        await self._store(writes)
        log_refusals(writes.refusals)
        return enqueued, refusals

    async def _store(self, writes: Writes) -> None:
        await self._committer.commit(writes, self._committer.after(writes))


def _smaller(part: Sequence[Entrant], error: Exception) -> list[Sequence[Entrant]]:
    """Return the parts to commit instead of one that failed, the first last: halves, or the entrant as refused."""
    if len(part) > 1:
        middle = len(part) // 2
        return [part[middle:], part[:middle]]
    return [[replace(entrant, problem=given_up(entrant.workflow, error)) for entrant in part]]


def _nothing(*_: object) -> Operations:
    return []
