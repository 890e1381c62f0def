"""A deleted checkpoint is put back only by a replica that knows the newest position."""

from types import SimpleNamespace
from typing import Any, cast

from daemon.stream.placement import Placement


class State:
    """The collection of the checkpoint."""

    def __init__(self, document: dict[str, Any] | None) -> None:
        self.document = document

    async def find_one(self, wanted: Any) -> Any:
        return self.document


async def test_a_replica_that_lost_the_role_does_not_put_its_older_position_back() -> None:
    state = State({"_id": "checkpoint"})
    placement = Placement(*cast(Any, (SimpleNamespace(state=state), None, None, None, None)))
    placement.is_known = True
    await placement.keep()  # the role is lost; from now on another replica may read on
    state.document = None
    await placement.keep()  # would ask for the database here, to put the position back
    assert not placement.is_known
