"""The action ``enrich_lead``: adds what can be derived from what the lead left, without asking anybody."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from actions.action import Action
from actions.context import Context
from actions.outcome import Done, EntityUpdate, Outcome, Skip


class EnrichLead(Action):
    """Write ``enrichment: {email?, phone?, company_domain?, name?, provider, enriched_at}``.

    ``email`` is ``{normalized, domain, is_free, is_disposable}``, ``phone`` ``{e164, region}``, ``name``
    ``{first, last}``. Nothing that a person typed is written over. ``region`` is for phone numbers that do not say
    their own; without it the lead's country or language does, else the daemon's default.
    """

    type: ClassVar[str] = "enrich_lead"

    provider: Literal["offline"] = "offline"
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None

    async def run(self, context: Context) -> Outcome:
        """Return the enrichment as a write; the result is ``{enriched, unreadable}``, names of fields."""
        enrichment = await context.services.enricher.enrich(context.entity, self.region)
        if not enrichment.fields and not enrichment.unreadable:
            return Skip("nothing_to_enrich")
        result = {"enriched": list(enrichment.fields), "unreadable": list(enrichment.unreadable)}
        written = {**enrichment.fields, "provider": self.provider, "enriched_at": context.now}
        return Done(result, (EntityUpdate({"enrichment": written}),))
