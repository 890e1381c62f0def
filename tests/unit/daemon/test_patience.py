"""Starting while MongoDB elects a primary: patience for what passes, none for what does not."""

import pytest
from pymongo.errors import NotPrimaryError, OperationFailure, PyMongoError

from daemon.mongo.patience import patiently


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
    await patiently(work, pause_s=0)
    assert work.calls == 3


async def test_what_does_not_pass_is_raised_at_once() -> None:
    work = Work(OperationFailure("bad value", 2))
    with pytest.raises(OperationFailure):
        await patiently(work)
    assert work.calls == 1


async def test_patience_ends() -> None:
    work = Work(NotPrimaryError("election"))
    with pytest.raises(NotPrimaryError):
        await patiently(work, patience_s=-1, pause_s=0)
