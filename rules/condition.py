"""One condition ``{field, operator, value}``: read once into a closure that is called for every event.

The closures are what makes judging cheap: what can be decided when the workflow is read (the path, the operator,
the type of the value) is not decided again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from config.error import WorkflowError
from rules.bounds import Bounds
from rules.change import Change
from rules.derived import Derived, comparison, derived_from
from rules.field import parse_field
from rules.operators import OPERATORS, Look, Operator
from rules.path import MISSING, leaves_at, value_at, values_at
from rules.validation import joined, one_of
from rules.value import Test, milliseconds

KEYS: Final = ("field", "operator", "value")

Verdict = bool | None  # None: cannot be known


@dataclass(frozen=True, slots=True)
class Subject:
    """What conditions are judged on.

    ``entity`` None means that the document is not known: then every condition is unknown. ``now`` is the
    server's time, for derived fields. ``change`` is what changed, needed by the operators that ask about it.
    """

    entity: Mapping[str, Any] | None
    now: datetime
    change: Change | None = None


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


def parse_condition(raw: Mapping[str, Any], path: str, *, with_changes: bool) -> Condition:
    """Read the condition at ``path``, whose keys are known ones; raise WorkflowError if it makes no sense."""
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
        is_met = test(value) or (isinstance(value, list) and any(map(test, value)))
        return is_met is not is_negated

    def judge_path(subject: Subject) -> Verdict:
        entity = subject.entity
        return None if entity is None else any(map(test, values_at(entity, names))) is not is_negated

    return judge_path if rest else judge_field


def _judge_of_leaves(names: Sequence[str], test: Test, is_negated: bool) -> Judge:
    (first, *rest) = names

    def judge_field(subject: Subject) -> Verdict:
        entity = subject.entity
        return None if entity is None else test(entity.get(first, MISSING)) is not is_negated

    def judge_path(subject: Subject) -> Verdict:
        entity = subject.entity
        if entity is None:
            return None
        # An array without documents has nothing under the name: missing, as $exists says.
        return any(map(test, leaves_at(entity, names) or (MISSING,))) is not is_negated

    return judge_path if rest else judge_field


def _judge_of_change(look: Look, field: str, names: Sequence[str], test: Test) -> Judge:
    def judge(subject: Subject) -> Verdict:
        change = subject.change
        if change is None or subject.entity is None:
            return None
        has_changed = change.has_changed(field)
        if not has_changed:
            return has_changed
        document = change.before if look is Look.BEFORE else subject.entity
        return None if document is None else any(map(test, values_at(document, names)))

    return judge


def _bounds_of(operator: Operator, field: str, expected: Any) -> Callable[[datetime], Bounds]:
    assert operator.bounds is not None
    bounds = operator.bounds(field, expected)
    if operator.negates(expected):
        bounds = bounds.complement()
    return lambda now: bounds


def _now_of(field: str) -> Callable[[Subject], Any]:
    return lambda subject: value_at(subject.entity, field)


def _before_of(field: str) -> Callable[[Subject], Any]:
    return lambda subject: value_at(None if subject.change is None else subject.change.before, field)


def _derived_condition(path: str, field: str, operator: Operator, derived: Derived, value: Any) -> Condition:
    asked, is_negated = comparison(derived, operator.name, value, path)

    def judge(subject: Subject) -> Verdict:
        entity = subject.entity
        return None if entity is None else asked.is_met(entity, milliseconds(subject.now)) is not is_negated

    def bounds(now: datetime) -> Bounds:
        found = asked.bounds(milliseconds(now))
        return found.complement() if is_negated else found

    def actual(subject: Subject) -> Any:
        return MISSING if subject.entity is None else derived.value(subject.entity, milliseconds(subject.now))

    return Condition(path, field, operator.name, value, derived.bases, False, judge, bounds, actual)
