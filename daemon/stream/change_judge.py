"""Judge a change against one workflow after the other, each within steps of its own (promise 8).

A judgement has 200,000 steps. A workflow whose judgement was given up at that limit gets few steps on later changes,
and now and then all of them: once a judgement ends within them, the workflow counts as any other again. So a lead that
is costly to judge is refused by the workflows that look at it, and costly workflows delay no other lead.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from daemon.mongo.heavy import HeavyDocument
from daemon.stream.decision import given_up
from rules.budget import MOST_STEPS, Budget
from rules.change import Change
from rules.explain import Reason, Refusal
from rules.identity import bson_bytes
from rules.judgement import NotConcerned, judge
from rules.workflow import Status, Workflow

MOST_STEPS_OF_CHANGE: Final = 2_000_000  # of all workflows that look at one change
FEW_STEPS: Final = 5_000  # each workflow still gets these once those are used up: ten times the need of most
STEPS_OF_COSTLY: Final = 50_000  # of one change, for all workflows together that were too costly before,
FEWEST_STEPS: Final = 1_000  # but so many for each
_USED_UP: Final = f", because the other workflows had used up the {MOST_STEPS_OF_CHANGE:,} of this change"
_COSTLY_BEFORE: Final = f", because an earlier judgement of this workflow took more than {MOST_STEPS:,}"


@dataclass(slots=True)
class _Costly:
    """A workflow that was too costly; ``judged`` counts from then on."""

    version: int
    judged: int


class ChangeJudge:
    """Judges changes. Not for use by more than one task at a time."""

    def __init__(self, max_depth: int) -> None:
        """``max_depth``: how many workflows may set off one another in a chain."""
        self._max_depth = max_depth
        self._budget = Budget()
        self._change: Change
        self._heavy: list[HeavyDocument] = []
        self._left = MOST_STEPS_OF_CHANGE
        self._costly: dict[bytes, _Costly] = {}

    def begin(self, change: Change) -> None:
        """Begin with another change."""
        self._change = change
        # An isinstance of an abstract class costs ten times as much.
        self._heavy = [image for image in (change.before, change.after) if type(image) is HeavyDocument]
        self._left = MOST_STEPS_OF_CHANGE

    def judge(self, workflow: Workflow, status: Status, *, explains: bool = True) -> Refusal | NotConcerned | None:
        """Return the result of ``rules.judgement.judge``; a defect in one workflow harms no other (promise 8)."""
        steps, why = self._steps_of(workflow)
        budget = self._budget
        budget.left = budget.limit = steps
        for image in self._heavy:
            image.renew(steps)
        try:
            verdict = judge(workflow, status, self._change, self._max_depth, budget, explains=explains)
        except Exception as error:
            verdict = given_up(workflow, error)
        self._left -= steps - budget.left
        if self._heavy:
            self._left -= max(image.steps_taken for image in self._heavy)
        refusal = verdict if isinstance(verdict, Refusal) and verdict.reason is Reason.TOO_COSTLY else None
        if steps == MOST_STEPS and (refusal is not None or self._costly):
            self._note(workflow, is_too_costly=refusal is not None)
        if refusal is not None and why:
            return replace(refusal, detail={**(refusal.detail or {}), "limit": f"{steps:,} steps{why}"})
        return verdict

    def forget(self, workflow_id: Any) -> None:
        """Forget a workflow that was deleted."""
        self._costly.pop(bson_bytes(workflow_id), None)

    def _steps_of(self, workflow: Workflow) -> tuple[int, str]:
        if self._costly:
            known = self._costly.get(bson_bytes(workflow.id))
            if known is not None and known.version == workflow.version:
                known.judged += 1
                if known.judged % len(self._costly):
                    return max(STEPS_OF_COSTLY // len(self._costly), FEWEST_STEPS), _COSTLY_BEFORE
        return (MOST_STEPS, "") if self._left >= MOST_STEPS else (max(self._left, FEW_STEPS), _USED_UP)

    def _note(self, workflow: Workflow, *, is_too_costly: bool) -> None:
        """Note whether all steps were enough for a workflow."""
        key = bson_bytes(workflow.id)
        if not is_too_costly:
            self._costly.pop(key, None)
        elif key not in self._costly or self._costly[key].version != workflow.version:
            self._costly[key] = _Costly(workflow.version, len(self._costly))
