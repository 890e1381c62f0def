"""The action ``qualify_lead``: rates how promising a lead is."""

from typing import ClassVar, Literal

from actions.action import Action
from actions.context import Context
from actions.outcome import Done, EntityUpdate, Fail, Outcome


class QualifyLead(Action):
    """Judge the lead by the scorecard and write ``qualification: {score, grade, reasons, provider, qualified_at}``."""

    type: ClassVar[str] = "qualify_lead"

    provider: Literal["scorecard"] = "scorecard"

    async def run(self, context: Context) -> Outcome:
        """Return the qualification as a write; the result is ``{score, grade, reasons}``."""
        scorecard = context.services.scorecard
        if scorecard is None:
            return Fail("no scorecard is loaded")
        qualification = scorecard.judge(context.entity, context.now)
        result = {
            "score": qualification.score,
            "grade": qualification.grade,
            "reasons": [dict(reason) for reason in qualification.reasons],
        }
        written = {**result, "provider": self.provider, "qualified_at": context.now}
        return Done(result, (EntityUpdate({"qualification": written}),))
