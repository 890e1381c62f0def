"""Conditions of a workflow, in groups: read once, judged for every event, explained on demand.

Judging follows Kleene's logic: True, False, or None where it cannot be known (the document is not known, or the
change does not tell). It never guesses, and raises nothing but TooCostly, which names the condition. ``rules.query``
turns the same conditions into a Mongo filter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any, Final

from config.error import WorkflowError, nearest
from config.found import LONGEST_SHOWN, found, name_of
from rules.budget import MOST_STEPS_EXPLAINED, TooCostly
from rules.condition import KEYS, Condition, Judge, Subject, Verdict, parse_condition
from rules.pattern import PatternBudget
from rules.validation import joined

__all__ = ["Combination", "Conditions", "Finding", "Group", "Subject", "parse_conditions"]

MOST_FINDINGS: Final = 10  # that are told and stored of one refusal
MOST_CONDITIONS: Final = 1_000
DEEPEST_CONDITION: Final = 20
Findings = tuple["Finding", ...]


class Combination(StrEnum):
    """How the conditions of a group combine; the key of the group in a document."""

    ALL = "all"
    ANY = "any"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions and groups that combine to one verdict."""

    combination: Combination
    members: tuple["Condition | Group", ...]
    judge: Judge


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition and the value it met: a reason why the whole was not true.

    ``path`` leads into the document: ``conditions[0].any[1]``. ``actual`` is MISSING where there is no value.
    ``verdict`` is the condition's own verdict; None: cannot be known.
    """

    path: str
    field: str
    operator: str
    expected: Any
    actual: Any
    verdict: Verdict


class Conditions:
    """All conditions of a workflow or a step. None at all are always met.

    ``fields`` are the dotted fields they read, for derived ones the date fields; ``uses_change`` says whether one
    asks what changed; ``count`` is how many there are.
    """

    __slots__ = ("_judge", "count", "fields", "root", "uses_change")

    def __init__(self, root: Group) -> None:
        self.root = root
        self._judge = root.judge
        leaves = list(_conditions_in(root))
        self.count = len(leaves)
        self.fields = frozenset(field for leaf in leaves for field in leaf.fields)
        self.uses_change = any(leaf.uses_change for leaf in leaves)

    def needing_change(self) -> Condition | None:
        """Return a condition without which nothing is met and that asks what changed, None if there is none."""
        return next(filter(None, map(_needing_change, self.root.members)), None)

    def judge(self, subject: Subject) -> Verdict:
        """Return whether the conditions are met; None if that cannot be known.

        Raise TooCostly with the condition at which the subject's budget was used up.
        """
        try:
            return self._judge(subject)
        except TooCostly as error:
            _name(error, self.root)
            raise

    def explain(self, subject: Subject, most: int = MOST_FINDINGS, steps: int = MOST_STEPS_EXPLAINED) -> Findings:
        """Return the first conditions that kept the whole from being met, in document order; nothing if it is met.

        Explaining has a budget of its own, which counts with the subject's; at its end it tells the findings so far.
        """
        return _found(_blamed(self.root, subject, True), subject, most, steps)

    def evidence(self, subject: Subject, most: int = MOST_FINDINGS, steps: int = MOST_STEPS_EXPLAINED) -> Findings:
        """Return the first conditions because of which the whole is met, as ``explain`` those because of which not."""
        return _found(_blamed(self.root, subject, False), subject, most, steps)


def parse_conditions(
    raw: object,
    path: str = "conditions",
    *,
    with_changes: bool = True,
    patterns: PatternBudget | None = None,
) -> Conditions:
    """Read the list of conditions at ``path``; raise WorkflowError if it makes no sense or passes a limit.

    ``with_changes`` False refuses the operators that ask what changed, where there is no change: in scheduled
    and manual workflows and in the conditions of steps. ``patterns`` limits the size of all patterns of the workflow.
    """
    if not isinstance(raw, list):
        raise WorkflowError(path, f"expected a list of conditions, found {found(raw)}")
    return Conditions(_Parser(path, with_changes, patterns or PatternBudget()).group(Combination.ALL, raw, path, 1))


class _Parser:
    """Reads one tree of conditions and counts them; its depth is bounded, so no nesting exhausts the stack."""

    def __init__(self, root: str, with_changes: bool, patterns: PatternBudget) -> None:
        self._root = root
        self._with_changes = with_changes
        self._patterns = patterns
        self._count = 0

    def group(self, combination: Combination, raw: Sequence[object], path: str, depth: int) -> Group:
        if depth > DEEPEST_CONDITION:
            raise WorkflowError(self._root, f"expected conditions at most {DEEPEST_CONDITION} levels deep, found more")
        members = tuple(self._member(item, f"{path}[{index}]", depth) for index, item in enumerate(raw))
        return Group(combination, members, _JUDGES[combination](members))

    def _member(self, raw: object, path: str, depth: int) -> Condition | Group:
        self._count += 1
        if self._count > MOST_CONDITIONS:
            raise WorkflowError(self._root, f"expected at most {MOST_CONDITIONS} conditions and groups, found more")
        if isinstance(raw, list):
            return self._inner(Combination.ALL, raw, path, depth)
        if not isinstance(raw, Mapping):
            raise WorkflowError(path, f"expected a condition or a group of conditions, found {found(raw)}")
        combination = next((each for each in Combination if each in raw), None)
        _refuse_unknown_keys(raw, path, KEYS if combination is None else (combination,))
        if combination is None:
            return parse_condition(raw, path, with_changes=self._with_changes, patterns=self._patterns)
        return self._inner(combination, raw[combination], joined(path, combination), depth)

    def _inner(self, combination: Combination, raw: object, path: str, depth: int) -> Group:
        if not isinstance(raw, list) or not raw:
            raise WorkflowError(path, f"expected a list of at least one condition, found {found(raw)}")
        return self.group(combination, raw, path, depth + 1)


def _refuse_unknown_keys(raw: Mapping[Any, Any], path: str, known: Sequence[str]) -> None:
    every = (*KEYS, *Combination)
    for key in raw:
        if key in known:
            continue
        if key in every:
            problem = f"expected either one group or a condition, found both {known[0]} and {key}"
        else:
            hint = nearest(key[:LONGEST_SHOWN], every) if isinstance(key, str) else ""
            problem = f"unknown key{hint}; known here: {', '.join(every)}"
        raise WorkflowError(joined(path, name_of(key)), problem)


Member = Condition | Group


def _judge_until(stop: bool, members: Sequence[Member]) -> Judge:
    """Return the judge that ends at the first member whose verdict is ``stop``; without one it is the opposite."""
    judges = [member.judge for member in members]

    def judge(subject: Subject) -> Verdict:
        verdict: Verdict = not stop
        at = 0
        try:
            for member in judges:
                met = member(subject)
                if met is stop:
                    return stop
                if met is None:
                    verdict = None
                at += 1
        except TooCostly as error:
            _name(error, members[at])
            raise
        return verdict

    return judges[0] if len(judges) == 1 else judge


def _judge_none(members: Sequence[Member]) -> Judge:
    judge_any = _judge_until(True, members)

    def judge(subject: Subject) -> Verdict:
        met = judge_any(subject)
        return None if met is None else not met

    return judge


def _name(error: TooCostly, member: Member) -> None:
    """Name the condition at fault in the error: ``member``, or the only condition within."""
    while isinstance(member, Group) and len(member.members) == 1:
        member = member.members[0]
    if isinstance(member, Condition) and not error.path:
        error.path = member.path


_JUDGES: Final[Mapping[Combination, Callable[[Sequence[Member]], Judge]]] = {
    Combination.ALL: partial(_judge_until, False),
    Combination.ANY: partial(_judge_until, True),
    Combination.NONE: _judge_none,
}


def _conditions_in(group: Group) -> Iterator[Condition]:
    for member in group.members:
        if isinstance(member, Group):
            yield from _conditions_in(member)
        else:
            yield member


def _found(leaves: Iterator[tuple[Condition, Verdict]], subject: Subject, most: int, steps: int) -> tuple[Finding, ...]:
    budget, found = subject.budget, list[Finding]()
    own = min(steps, budget.limit)
    left, budget.left = budget.left, own
    try:
        found.extend(_finding(leaf, verdict, subject) for leaf, verdict in islice(leaves, most))
    except TooCostly:
        pass
    finally:
        budget.left = max(left - (own - budget.left), 0)
    return tuple(found)


def _finding(leaf: Condition, verdict: Verdict, subject: Subject) -> Finding:
    try:
        actual = leaf.actual(subject)
    except TooCostly:
        actual = "(too large to be looked up)"
    return Finding(leaf.path, leaf.field, leaf.operator, leaf.expected, actual, verdict)


def _needing_change(member: Member) -> Condition | None:
    """Return a condition that asks what changed, if ``member`` is not met where nothing did."""
    if isinstance(member, Condition):
        return member if member.uses_change else None
    found = map(_needing_change, member.members)
    match member.combination:
        case Combination.ALL:
            return next(filter(None, found), None)
        case Combination.ANY:
            needed = list(found)
            return needed[0] if all(needed) else None
        case _:
            return None


def _blamed(member: Member, subject: Subject, wanted: bool) -> Iterator[tuple[Condition, Verdict]]:
    """Return the conditions because of which the verdict of ``member`` is not ``wanted``, each with its own verdict.

    Under ``none`` a condition is to blame for being true.
    """
    verdict = member.judge(subject)
    if verdict is wanted:
        return
    if isinstance(member, Condition):
        yield member, verdict
        return
    inner = wanted is not (member.combination is Combination.NONE)
    for each in member.members:
        yield from _blamed(each, subject, inner)
