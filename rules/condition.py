"""One condition ``{field, operator, value}``: read once into a closure that is called for every event.

The closure makes judging cheap: everything that is known when the workflow is read (the path, the operator, the type
of the value) is decided once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Any, Final

from config.error import WorkflowError
from rules.bounds import Bounds
from rules.budget import Budget
from rules.change import Change
from rules.derived import Derived, comparison, derived_from
from rules.field import parse_field
from rules.operators import OPERATORS, Look, Operator
from rules.path import MISSING, leaves_at, value_at, values_at
from rules.pattern import PatternBudget
from rules.validation import joined, one_of
from rules.value import Test, milliseconds

KEYS: Final = ("field", "operator", "value")

Verdict = bool | None  # None: cannot be known


@dataclass(slots=True)
class Subject:
    """The entity and the change that conditions are judged on.

    ``entity`` None means that the document is not known: then every condition is unknown. ``now`` is the
    server's time, for derived fields. ``change`` is needed by the operators that ask what changed.
    ``budget`` limits the judgement: beyond it TooCostly is raised.
    """

    entity: Mapping[str, Any] | None
    now: datetime
    change: Change | None = None
    budget: Budget = field(default_factory=Budget)


Judge = Callable[[Subject], Verdict]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, ready to be judged.

    ``fields`` are the dotted fields it reads. ``bounds(now)`` is its Mongo form, None where only a change can
    tell. ``actual(subject)`` is the value it met, as an explanation shows it.
    """

    path: str
    field: str
    operator: str
    expected: Any
    fields: tuple[str, ...]
    uses_change: bool
    judge: Judge
    bounds: Callable[[datetime], Bounds] | None
    actual: Callable[[Subject], Any]


def parse_condition(
    raw: Mapping[str, Any], path: str, *, with_changes: bool, patterns: PatternBudget | None = None
) -> Condition:
    """Read the condition at ``path``, whose keys are known ones; raise WorkflowError if it makes no sense.

    ``patterns`` limits the size of all patterns of the workflow.
    """
    for key in ("field", "operator"):
        if key not in raw:
            raise WorkflowError(joined(path, key), f"expected the {key} of a condition, found nothing")
    field = parse_field(raw["field"], joined(path, "field"))
    operator = OPERATORS[one_of(raw["operator"], OPERATORS, joined(path, "operator"))]
    value = raw.get("value", MISSING)
    if operator.needs_change and not with_changes:
        problem = f"{operator.name} asks what changed, and here nothing has: it works in the conditions of an event"
        raise WorkflowError(joined(path, "operator"), problem)
    derived = derived_from(field)
    if derived is not None:
        return _derived_condition(path, field, operator, derived, value)
    expected = operator.parse(value, joined(path, "value"))
    if operator.takes_pattern:
        (patterns or PatternBudget()).check(expected, joined(path, "value"))
    judge = _judge_of(operator, field, expected)
    bounds = None if operator.bounds is None else _bounds_of(operator, field, expected)
    actual = _before_of(field) if operator.look is Look.BEFORE else _now_of(field)
    return Condition(path, field, operator.name, expected, (field,), operator.needs_change, judge, bounds, actual)


def _judge_of(operator: Operator, field: str, expected: Any) -> Judge:
    test = operator.test(expected)
    is_negated = operator.negates(expected)
    names = tuple(field.split("."))
    if operator.needs_change:
        return _judge_of_change(operator.look, field, names, test)
    if operator.look is Look.VALUES:
        return _judge_of_values(names, test, is_negated)
    return _judge_of_leaves(names, test, is_negated)


def _judge_of_values(names: Sequence[str], test: Test, is_negated: bool) -> Judge:
    (first, *rest) = names

    def judge_field(subject: Subject) -> Verdict:
        entity = subject.entity
        if entity is None:
            return None
        value = entity.get(first, MISSING)
        budget = subject.budget
        is_met = test(value, budget)
        if not is_met and isinstance(value, list):
            budget.spend(len(value))
            is_met = any(map(test, value, repeat(budget)))
        return is_met is not is_negated

    def judge_path(subject: Subject) -> Verdict:
        entity, budget = subject.entity, subject.budget
        if entity is None:
            return None
        return any(map(test, values_at(entity, names, budget), repeat(budget))) is not is_negated

    return judge_path if rest else judge_field


def _judge_of_leaves(names: Sequence[str], test: Test, is_negated: bool) -> Judge:
    (first, *rest) = names

    def judge_field(subject: Subject) -> Verdict:
        entity = subject.entity
        return None if entity is None else test(entity.get(first, MISSING), subject.budget) is not is_negated

    def judge_path(subject: Subject) -> Verdict:
        entity, budget = subject.entity, subject.budget
        if entity is None:
            return None
        # An array without documents has nothing under the name: missing, as $exists says.
        return any(map(test, leaves_at(entity, names, budget) or (MISSING,), repeat(budget))) is not is_negated

    return judge_path if rest else judge_field


def _judge_of_change(look: Look, field: str, names: Sequence[str], test: Test) -> Judge:
    """Return the judge of an operator that asks about a change of ``field``.

    ``changed_to`` is met where the test has become true, ``changed_from`` where it has ceased to be: a tag that an
    array has held all along was not changed to.
    """

    def judge(subject: Subject) -> Verdict:
        change, entity, budget = subject.change, subject.entity, subject.budget
        if change is None or entity is None:
            return None
        has_changed = change.has_changed(field, budget)
        if not has_changed or look is Look.CHANGED:
            return has_changed
        values = values_at(entity, names, budget)
        is_met = any(map(test, values, repeat(budget)))
        if is_met is (look is Look.BEFORE):
            return False
        if change.before is None:
            # The event says of a single value that it was another one before; of an array nobody knows what it held.
            is_single = is_met and len(values) == 1 and not isinstance(value_at(entity, field, budget), list)
            return True if is_single else None
        was_met = any(map(test, values_at(change.before, names, budget), repeat(budget)))
        return was_met is not is_met

    return judge


def _bounds_of(operator: Operator, field: str, expected: Any) -> Callable[[datetime], Bounds]:
    assert operator.bounds is not None
    bounds = operator.bounds(field, expected)
    if operator.negates(expected):
        bounds = bounds.complement()
    return lambda now: bounds


def _now_of(field: str) -> Callable[[Subject], Any]:
    return lambda subject: value_at(subject.entity, field, subject.budget)


def _before_of(field: str) -> Callable[[Subject], Any]:
    return lambda subject: value_at(None if subject.change is None else subject.change.before, field, subject.budget)


def _derived_condition(path: str, field: str, operator: Operator, derived: Derived, value: Any) -> Condition:
    asked, is_negated = comparison(derived, operator.name, value, path)

    def judge(subject: Subject) -> Verdict:
        entity, budget = subject.entity, subject.budget
        if entity is None:
            return None
        return asked.is_met(entity, milliseconds(subject.now), budget) is not is_negated

    def bounds(now: datetime) -> Bounds:
        found = asked.bounds(milliseconds(now))
        return found.complement() if is_negated else found

    def actual(subject: Subject) -> Any:
        if subject.entity is None:
            return MISSING
        return derived.value(subject.entity, milliseconds(subject.now), subject.budget)

    expected = operator.parse(value, joined(path, "value")) if value is MISSING else value
    return Condition(path, field, operator.name, expected, derived.bases, False, judge, bounds, actual)
