"""The data and services that an action sees while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId

from actions.effect import Effect
from actions.services import Services


@dataclass(slots=True)
class Context:
    """One attempt of one step.

    ``entity`` is the document as it is now (of a deleted entity: as it last was). ``now`` is the server's time.
    ``trigger`` is the stored trigger of the execution: ``{type, kind, at, ...}``. ``services`` is the
    same for every step of this process. ``deadline`` is the instant of ``time.monotonic()`` at which the attempt is cut
    off, None for never; ``effect`` is where the action says how far it has come, for whoever cuts it off.
    """

    entity: Mapping[str, Any]
    entity_type: str
    entity_id: Any
    workflow_id: Any
    workflow_name: str
    execution_id: ObjectId
    node: str
    attempt: int
    now: datetime
    triggered_at: datetime
    trigger: Mapping[str, Any]
    services: Services
    deadline: float | None = None
    effect: Effect = field(default_factory=Effect)

    @property
    def key(self) -> str:
        """The stable key of this node, the same in every attempt: ``<execution id>:<node>`` (promise 2)."""
        return f"{self.execution_id}:{self.node}"
