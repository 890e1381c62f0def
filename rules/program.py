"""A definition's steps compiled once per version: nodes with stable ids, each of which knows what follows it.

An execution is at one node, and needs no stack: the last step of an arm is followed by what follows its branch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from config.duration import parse_duration
from config.error import WorkflowError
from config.found import found
from rules.conditions import Conditions, parse_conditions
from rules.pattern import PatternBudget
from rules.step import OnFailure, ParseAction, Step, parse_step
from rules.tree import BRANCH, END, FIRST, Place, places_in
from rules.validation import OUTSIDE_DATA, Duration, Problems, joined, one_of, validated

MOST_CHARACTERS: Final = 200  # of the name of a case, and of a reason to end
_Words = Annotated[
    str, Field(pattern=r"\S", max_length=MOST_CHARACTERS, description=f"a text of 1 to {MOST_CHARACTERS} characters")
]


@dataclass(frozen=True, slots=True)
class Act:
    """A step with an action."""

    id: str
    following: str
    step: Step

    @property
    def delay(self) -> timedelta:
        """The wait before the node."""
        return self.step.delay

    @property
    def on_failure(self) -> OnFailure:
        """The effect of a final failure on the later steps."""
        return self.step.on_failure

    @property
    def action_type(self) -> str:
        """The word by which history and log call it."""
        return self.step.action_type


@dataclass(frozen=True, slots=True)
class Case:
    """One way that a branch may go; without conditions it always does."""

    arm: str  # "cases.0"
    name: str | None
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Branch:
    """Goes the way of the first case whose conditions hold, else that of ``otherwise``.

    ``arms``: the node with which each way begins. ``on_failure``: what follows where the cases cannot be judged: what
    stands behind the branch, or nothing.
    """

    id: str
    following: str
    cases: tuple[Case, ...]
    arms: Mapping[str, str]
    delay: timedelta = timedelta()
    on_failure: OnFailure = OnFailure.CONTINUE
    action_type: str = BRANCH


@dataclass(frozen=True, slots=True)
class End:
    """Ends the execution, for ``reason``."""

    id: str
    following: str
    reason: str
    delay: timedelta = timedelta()
    action_type: str = END


Node = Act | Branch | End


class Program:
    """The nodes of a workflow by id, in the order in which they stand in the document. ``first`` is where it begins."""

    def __init__(self, nodes: Mapping[str, Node], first: str = FIRST) -> None:
        self.nodes = nodes
        self.first = first

    @cached_property
    def is_linear(self) -> bool:
        """Whether every node is a step with an action: the number of a step says all."""
        return all(isinstance(node, Act) for node in self.nodes.values())

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps with an action, wherever they stand."""
        return tuple(node.step for node in self.nodes.values() if isinstance(node, Act))


NO_PROGRAM: Final = Program({})  # stands for a definition that is gone


class _Branch(BaseModel):
    model_config = OUTSIDE_DATA

    type: str
    cases: Annotated[list[Any], Field(min_length=1, description="a list of at least one case")]
    otherwise: Annotated[list[Any], Field(description="a list of steps")] = []
    delay: Duration = timedelta()
    on_failure: Any = OnFailure.CONTINUE


class _Case(BaseModel):
    model_config = OUTSIDE_DATA

    name: _Words = ""
    conditions: Annotated[list[Any], Field(description="a list of conditions")]
    actions: Annotated[list[Any], Field(description="a list of steps")]


class _End(BaseModel):
    model_config = OUTSIDE_DATA

    type: str
    reason: _Words


def parse_program(raw: object, parse_action: ParseAction, patterns: PatternBudget) -> Program:
    """Return the program of a definition's ``actions``, which keep the limits of ``check_tree``; raise WorkflowError.

    ``patterns``: how large those of the workflow may still be.
    """
    if not isinstance(raw, list) or not raw:
        what = "nothing" if raw is None else found(raw)
        raise WorkflowError("actions", f"expected a list of at least one action, found {what}")
    problems = Problems()
    nodes = [problems.attempt(_node, place, parse_action, patterns) for place in places_in(raw)]
    problems.raise_first()
    return Program({node.id: node for node in nodes if node is not None})


def outline(raw: object) -> Program:
    """Return the program of a stored definition, with the order and the delays of its nodes alone.

    It can move an execution, and run none of its steps; one without nodes stands for no definition at all.
    """
    return Program({place.id: _outlined(place) for place in places_in(raw)})


def _outlined(place: Place) -> Node:
    raw = place.raw if isinstance(place.raw, Mapping) else {}
    action_type, delay = raw.get("type"), _delay_of(raw)
    if action_type == BRANCH:
        return Branch(place.id, place.following, (), place.arms, delay)
    if action_type == END:
        return End(place.id, place.following, str(raw.get("reason")))
    return Act(place.id, place.following, Step(str(action_type), None, delay))


def _delay_of(raw: Mapping[str, Any]) -> timedelta:
    try:
        return parse_duration(raw.get("delay", 0), "delay")
    except WorkflowError:
        return timedelta()


def _node(place: Place, parse_action: ParseAction, patterns: PatternBudget) -> Node:
    kind = place.raw.get("type") if isinstance(place.raw, Mapping) else None
    if kind == BRANCH:
        return _branch(place, patterns)
    if kind == END:
        return End(place.id, place.following, validated(_End, place.raw, place.path).reason)
    return Act(place.id, place.following, parse_step(place.raw, place.path, parse_action, patterns))


def _branch(place: Place, patterns: PatternBudget) -> Branch:
    branch = validated(_Branch, place.raw, place.path)
    problems = Problems()
    cases = [
        problems.attempt(_case, raw, index, joined(place.path, "cases", index), patterns)
        for index, raw in enumerate(branch.cases)
    ]
    on_failure = problems.attempt(one_of, branch.on_failure, list(OnFailure), joined(place.path, "on_failure"))
    problems.raise_first()
    known = tuple(case for case in cases if case is not None)
    return Branch(
        place.id, place.following, known, place.arms, branch.delay, OnFailure(on_failure or OnFailure.CONTINUE)
    )


def _case(raw: object, index: int, path: str, patterns: PatternBudget) -> Case:
    case = validated(_Case, raw, path)
    where = joined(path, "conditions")
    conditions = parse_conditions(case.conditions, where, with_changes=False, patterns=patterns)
    return Case(f"cases.{index}", case.name or None, conditions)
