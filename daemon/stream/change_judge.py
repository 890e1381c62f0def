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
from rules.workflow import Workflow, WorkflowStatus

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


class CostlyWorkflows:
    """The workflows whose judgement was given up at all its steps, and how often they were judged since."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Costly] = {}

    def forget(self, workflow_id: Any) -> None:
        """Forget a workflow that was deleted."""
        self._known.pop(bson_bytes(workflow_id), None)

    def get(self, workflow: Workflow) -> _Costly | None:
        """Return a workflow as it is known, None if its version was never too costly."""
        known = self._known.get(bson_bytes(workflow.id)) if self._known else None
        if known is not None and known.version != workflow.version:
            self.forget(workflow.id)
            return None
        return known

    def has_turn(self, known: _Costly) -> bool:
        """Return whether the next judgement of a costly workflow may take all steps."""
        known.judged += 1
        return known.judged % len(self._known) == 0

    @property
    def share(self) -> int:
        """How many steps each has where it is not its turn."""
        return max(STEPS_OF_COSTLY // len(self._known), FEWEST_STEPS)

    def note(self, workflow: Workflow, known: _Costly | None, *, is_too_costly: bool) -> None:
        """Note that all steps were too few for a workflow, or enough; ``known`` is what ``get`` returned."""
        if is_too_costly and known is None:
            self._known[bson_bytes(workflow.id)] = _Costly(workflow.version, len(self._known))
        elif known is not None and not is_too_costly:
            self.forget(workflow.id)


class ChangeJudge:
    """Judges one change, by one workflow after the other."""

    def __init__(self, change: Change, costly: CostlyWorkflows, max_depth: int) -> None:
        """``max_depth``: how many workflows may set off one another in a chain."""
        self._change = change
        self._costly = costly
        self._max_depth = max_depth
        # An isinstance of an abstract class costs ten times as much.
        self._heavy = [image for image in (change.before, change.after) if type(image) is HeavyDocument]
        self._budget = Budget()
        self._left = MOST_STEPS_OF_CHANGE

    def judge(
        self, workflow: Workflow, status: WorkflowStatus, *, explains: bool = True
    ) -> Refusal | NotConcerned | None:
        """Return the result of ``rules.judgement.judge``; a defect in one workflow harms no other (promise 8)."""
        known = self._costly.get(workflow)
        steps, why = self._steps_of(known)
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
        if steps == MOST_STEPS:
            self._costly.note(workflow, known, is_too_costly=refusal is not None)
        elif refusal is not None:
            return replace(refusal, detail={**(refusal.detail or {}), "limit": f"{steps:,} steps{why}"})
        return verdict

    def _steps_of(self, known: _Costly | None) -> tuple[int, str]:
        if known is not None and not self._costly.has_turn(known):
            return self._costly.share, _COSTLY_BEFORE
        return (MOST_STEPS, "") if self._left >= MOST_STEPS else (max(self._left, FEW_STEPS), _USED_UP)
