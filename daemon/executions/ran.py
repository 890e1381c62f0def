"""The nodes of an execution that have run: needed only after a person has retried it.

In all other executions the nodes ahead have never run. Steps that succeeded or were skipped never run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from daemon.executions.status import StepStatus
from rules.program import Branch, End, Program

# Of the history of an execution that was retried, what ``ran_in`` needs; of others nothing.
PROJECTION: Final[Mapping[str, Any]] = {
    "$cond": [
        {"$and": [{"$isArray": ["$retried"]}, {"$isArray": ["$actions_executed"]}]},
        {
            "$map": {
                "input": "$actions_executed",
                "as": "record",
                "in": {
                    "node": "$$record.node",
                    "status": "$$record.status",
                    "result": {"taken": "$$record.result.taken"},
                },
            }
        },
        "$$REMOVE",
    ]
}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a node ended. ``place``: the number of its record in the history; ``taken``: the arm of a branch."""

    place: int
    status: str
    taken: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it succeeded or was skipped: it never runs again."""
        return self.status in (StepStatus.SUCCESS, StepStatus.SKIPPED)


NOTHING: Final[Mapping[str, Ran]] = MappingProxyType({})


@dataclass(slots=True)
class Record:
    """A record for the history of a node that has ended, and its place there; None appends it."""

    document: Mapping[str, Any]
    place: int | None = None


def ran_in(records: Sequence[Mapping[str, Any]]) -> dict[str, Ran]:
    """Return how the nodes of a history ended; raise KeyError, TypeError or AttributeError where it is none.

    Records of the version before name no node: theirs is the number of the step.
    """
    return {str(record.get("node", place)): _ran(record, place) for place, record in enumerate(records)}


def ran_after(ran: Mapping[str, Ran], records: Sequence[Record]) -> Mapping[str, Ran]:
    """Return ``ran`` with what has ended since; nothing where nothing was asked for."""
    if not ran or not records:
        return ran
    after = dict(ran)
    for record in records:
        place = len(after) if record.place is None else record.place
        after[record.document["node"]] = _ran(record.document, place)
    return after


def unfinished(program: Program, ran: Mapping[str, Ran]) -> tuple[list[str], str | None]:
    """Return the nodes on the way of an execution that failed or are uncertain, and the first that never ran.

    The latter is None where the way has come to an end.
    """
    open_nodes: list[str] = []
    node: str = program.first
    while node in program.nodes:
        known = ran.get(node)
        if known is None:
            return open_nodes, node
        if not known.is_over:
            open_nodes.append(node)
        elif isinstance(program.nodes[node], End):
            break
        node = _behind(program, node, known.taken)
    return open_nodes, None


def onward(program: Program, ran: Mapping[str, Ran], node: str, taken: str | None = None) -> str:
    """Return where to go from a node, of a branch by the arm ``taken``: past what need not run again.

    An end that was reached before is reached again.
    """
    following = _behind(program, node, taken)
    while ran and following in program.nodes and not isinstance(program.nodes[following], End):
        known = ran.get(following)
        if known is None or not known.is_over:
            break
        following = _behind(program, following, known.taken)
    return following


def _behind(program: Program, node: str, taken: str | None) -> str:
    found = program.nodes[node]
    return found.arms.get(taken, found.following) if isinstance(found, Branch) and taken else found.following


def _ran(record: Mapping[str, Any], place: int) -> Ran:
    result = record.get("result")
    taken = result.get("taken") if isinstance(result, Mapping) else None
    return Ran(place, record["status"], taken if isinstance(taken, str) else None)
