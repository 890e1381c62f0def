"""Starting while MongoDB elects a primary: transient errors are repeated, others raised."""

import pytest
from pymongo.errors import NotPrimaryError, OperationFailure, PyMongoError

from daemon.mongo.repetition import repeatedly


class Work:
    """Fails with the given errors, one after the other, then succeeds."""

    def __init__(self, *errors: PyMongoError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


async def test_what_passes_is_tried_again() -> None:
    work = Work(NotPrimaryError("election"), NotPrimaryError("election"))
    await repeatedly(work, pause_s=0)
    assert work.calls == 3


async def test_what_does_not_pass_is_raised_at_once() -> None:
    work = Work(OperationFailure("bad value", 2))
    with pytest.raises(OperationFailure):
        await repeatedly(work)
    assert work.calls == 1


async def test_repetition_ends() -> None:
    work = Work(NotPrimaryError("election"))
    with pytest.raises(NotPrimaryError):
        await repeatedly(work, repeat_s=-1, pause_s=0)
