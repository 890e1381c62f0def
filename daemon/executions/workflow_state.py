"""The state of workflows as the executor sees it: status, and the number up to which executions are cancelled.

The reader in this process puts the states that it committed; those that another reader committed are read from
workflow_versions, by their change numbers.
"""

from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from rules.identity import bson_bytes
from rules.version import Version
from rules.workflow import WorkflowStatus


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """The state of one workflow. Executions numbered up to ``stopped_seq`` end cancelled, whatever the status.

    ``changed_seq`` is the number of the commit that set it.
    """

    status: WorkflowStatus
    stopped_seq: int
    changed_seq: int = -1

    def cancels(self, seq: int) -> bool:
        """Return whether the execution numbered ``seq`` was waiting when the workflow was stopped or deleted."""
        return seq <= self.stopped_seq


_UNKNOWN = WorkflowState(WorkflowStatus.ACTIVE, -1)


class WorkflowStates:
    """The states of all workflows."""

    def __init__(self, versions: AsyncCollection[dict[str, Any]]) -> None:
        self._versions = versions
        self._states: dict[bytes, WorkflowState] = {}
        self._going: dict[bytes, Any] = {}  # the ids of those whose steps run
        self._seen = -1  # change number of the last refresh; put leaves it: commits of an earlier reader may be unread

    def get(self, workflow_id: Any) -> WorkflowState:
        """Return the state of a workflow; active for an unknown one."""
        return self._states.get(bson_bytes(workflow_id), _UNKNOWN)

    @property
    def going(self) -> list[Any]:
        """The ids of the workflows whose steps run: active or draining."""
        return list(self._going.values())

    def put(self, versions: list[Version], changed_seq: int) -> None:
        """Take over versions that the reader in this process committed as commit number ``changed_seq``."""
        for version in versions:
            self._take(version.workflow_id, WorkflowState(version.status, version.stopped_seq, changed_seq))

    async def refresh(self) -> None:
        """Read the states that are new since the last refresh; raise the driver's error if nobody answers."""
        fields = {"workflow_id": 1, "status": 1, "stopped_seq": 1, "changed_seq": 1}
        changed = await self._versions.find({"changed_seq": {"$gt": self._seen}, "latest": True}, fields).to_list()
        for version in changed:
            state = WorkflowState(WorkflowStatus(version["status"]), version["stopped_seq"], version["changed_seq"])
            self._take(version["workflow_id"], state)
            self._seen = max(self._seen, state.changed_seq)

    def _take(self, workflow_id: Any, state: WorkflowState) -> None:
        """Keep ``state`` unless a newer one is known: the reader here may have put one during the read."""
        key = bson_bytes(workflow_id)
        if state.changed_seq < self.get(workflow_id).changed_seq:
            return
        self._states[key] = state
        if state.status in (WorkflowStatus.ACTIVE, WorkflowStatus.DRAINING):
            self._going[key] = workflow_id
        else:
            self._going.pop(key, None)
