"""Judge the cases of a branch, with reasons.

An error while its conditions are judged fails this branch alone (promise 8).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from actions.outcome import Fail, Skip
from daemon.executions.occurrence import Judged
from daemon.executions.recorder import ENTITY_GONE
from daemon.mongo.refusal import problem_of
from rules.budget import MOST_STEPS_EXPLAINED, TooCostly
from rules.condition import Subject
from rules.conditions import MOST_FINDINGS
from rules.explain import evidence_document, finding_document
from rules.program import Branch, Case
from rules.tree import OTHERWISE


def way_of(branch: Branch, entity: Mapping[str, Any] | None, now: datetime) -> Judged | Skip | Fail:
    """Return the first way whose conditions hold, with what decided; else ``otherwise``.

    ``entity`` None: the entity is unknown, so no way is taken.
    """
    if entity is None:
        return Skip(ENTITY_GONE)
    subject, passed = Subject(entity, now), list[Case]()
    try:
        for case in branch.cases:
            if case.conditions.judge(subject) is True:
                return Judged(case.arm, case.name, _findings(passed, case, subject))
            passed.append(case)
        return Judged(OTHERWISE, None, _findings(passed, None, subject))
    except TooCostly as error:
        return Fail(str(error))
    except Exception as error:
        return Fail(f"conditions: {problem_of(error)}")


def _findings(passed: Sequence[Case], taken: Case | None, subject: Subject) -> list[Mapping[str, Any]]:
    """Return why the cases before did not hold and why the last one did, ten conditions at the most."""
    told = passed[: MOST_FINDINGS - 1]
    steps = MOST_STEPS_EXPLAINED // (len(told) + 1)
    found: list[Mapping[str, Any]] = []
    for case in told:
        left = MOST_FINDINGS - len(found) - (taken is not None)
        if left > 0:
            found += map(finding_document, case.conditions.explain(subject, left, steps))
    if taken is not None:
        found += map(evidence_document, taken.conditions.evidence(subject, MOST_FINDINGS - len(found), steps))
    return found
