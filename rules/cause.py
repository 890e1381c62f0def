"""The chain of workflows that led to a change; it stops loops.

Every execution carries the chain of the workflows that led to it, not its own. A workflow does not re-enter a
chain that holds it, and no chain grows past a depth cap (promise 6).
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an execution exists: ``depth`` 0 and an empty chain mean that somebody outside caused it.

    ``chain`` holds the ids of the workflows that led here, oldest first; ``execution_id`` is the execution
    whose write caused the change, or None.
    """

    depth: int = 0
    chain: tuple[Any, ...] = ()
    execution_id: Any = None

    def then(self, workflow_id: Any, execution_id: Any) -> "Cause":
        """Return the cause that changes written by this execution of ``workflow_id`` carry."""
        return Cause(self.depth + 1, (*self.chain, workflow_id), execution_id)


OUTSIDE = Cause()
