"""Commit the entrants of a sweep's page, or of the search for lost creations: together, or without those at fault.

What one document holds ends neither the page nor the service (promise 8): an entrant that cannot be stored is found by
halving, recorded, and left out.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from config.error import LeaseLost
from daemon.mongo.failure import is_transient, is_vague
from daemon.stream.batch import Batch, Operations
from daemon.stream.checkpoint import Checkpoint
from daemon.stream.decision import given_up, log_refusal
from daemon.stream.enroller import Enroller
from daemon.stream.entrant import Entrant
from rules.explain import Refusal

Write = Callable[[int, Sequence[Refusal]], Operations]  # told how many were enqueued, and why the others were not


class PageIntake:
    """Takes pages in through the intake's own transactions."""

    def __init__(
        self,
        enroller: Enroller,
        commit: Callable[[Batch], Awaitable[None]],
        checkpoint: Callable[[], Checkpoint],
        start_over: Callable[[], None],
    ) -> None:
        """``commit`` stores a batch and moves the checkpoint; ``start_over`` forgets what was not committed."""
        self._enroller = enroller
        self._commit = commit
        self._checkpoint = checkpoint
        self._start_over = start_over

    async def take(self, entrants: Sequence[Entrant], write: Write) -> None:
        """Commit a page and what ``write`` adds to its last transaction; raises as ``Intake.take`` does."""
        try:
            await self._together(entrants, write)
        except LeaseLost:
            raise
        except Exception as error:
            if is_transient(error) or is_vague(error):
                raise
            enqueued, refusals = await self._apart(entrants, error)
            await self._commit(Batch(extra=write(enqueued, refusals)))

    async def _together(self, entrants: Sequence[Entrant], write: Write) -> tuple[int, list[Refusal]]:
        batch, refusals = await self._enroller.enrol_page(entrants, self._checkpoint())
        enqueued = len(batch.executions)
        batch.extra = write(enqueued, refusals)
        await self._commit(batch)
        log_refusals(batch)
        return enqueued, refusals

    async def _apart(self, entrants: Sequence[Entrant], error: Exception) -> tuple[int, list[Refusal]]:
        """Take a page that failed one half at a time, and refuse the entrant that fails alone."""
        self._start_over()
        if len(entrants) <= 1:
            failed = [replace(entrant, problem=given_up(entrant.workflow, error)) for entrant in entrants]
            return await self._together(failed, _nothing)
        enqueued, refusals = 0, list[Refusal]()
        middle = len(entrants) // 2
        for half in (entrants[:middle], entrants[middle:]):
            try:
                entered, refused = await self._together(half, _nothing)
            except LeaseLost:
                raise
            except Exception as wrong:
                if is_transient(wrong) or is_vague(wrong):
                    raise
                entered, refused = await self._apart(half, wrong)
            enqueued += entered
            refusals += refused
        return enqueued, refusals


def log_refusals(batch: Batch) -> None:
    """Log the refusals of a batch that an operator wants to hear of."""
    for refusal, entity_type, entity_id in batch.refusals:
        log_refusal(refusal, entity_type, entity_id)


def _nothing(*_: object) -> Operations:
    return []
