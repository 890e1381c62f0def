"""Commands for one execution, as people request them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bson import ObjectId

from config.error import ReflexdError, nearest
from config.found import found
from daemon.executions.status import StepStatus
from rules.identity import readings
from rules.tree import is_node

_KEYS: Final = ("execution_id", "do", "as", "step")


class Do(StrEnum):
    """The names of the commands."""

    RETRY = "retry"
    CANCEL = "cancel"
    RESOLVE = "resolve"


class CommandRefused(ReflexdError):
    """The machine refuses a command; the message is the answer."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``outcome`` and ``node`` are for resolve; without ``node`` it concerns the only uncertain node."""

    execution_id: ObjectId
    do: Do
    outcome: StepStatus | None = None
    node: str | None = None


def command_from(request: Mapping[str, Any]) -> Command:
    """Return the command of ``{execution_id, do, as?, step?}``; raise CommandRefused if it is none."""
    for name in request:
        if name not in _KEYS and name != "_id":
            raise CommandRefused(f"{name[:80]}: unknown key{nearest(name[:80], _KEYS)}")
    do = request.get("do")
    if do not in list(Do):
        hint = nearest(do, list(Do)) if isinstance(do, str) else ""
        raise CommandRefused(f"do: expected one of {', '.join(Do)}; found {found(do)}{hint}")
    given = request.get("execution_id")
    execution_id = readings(given)[-1]
    if not isinstance(execution_id, ObjectId):
        raise CommandRefused(f"execution_id: expected the id of an execution, found {found(given)}")
    outcome, step = request.get("as"), request.get("step")
    if do == Do.RESOLVE and outcome not in (StepStatus.SUCCESS, StepStatus.FAILED):
        raise CommandRefused(f"as: expected success or failed, found {found(outcome)}")
    node = str(step) if isinstance(step, int) and not isinstance(step, bool) else step
    if node is not None and not (isinstance(node, str) and is_node(node)):
        raise CommandRefused(f"step: expected the number of a step, or its node, found {found(step)}")
    return Command(execution_id, Do(do), StepStatus(str(outcome)) if do == Do.RESOLVE else None, node)
