"""The action ``enrich_lead``: derives more data from the lead's own fields, without asking other services."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from actions.action import Action
from actions.context import Context
from actions.enricher import DERIVED_FIELDS
from actions.outcome import Done, EntityUpdate, Outcome, Skip


class EnrichLead(Action):
    """Write ``enrichment: {email?, phone?, company_domain?, name?, provider, enriched_at}``.

    ``email`` is ``{normalized, domain, is_free, is_disposable}``, ``phone`` ``{e164, region}``, ``name`` ``{first,
    last}``, without titles and degrees. The action overwrites nothing that a person typed, under ``enrichment``
    neither. ``region`` is for phone numbers that do not say their own; without it the lead's country or language does,
    else the daemon's default.
    """

    type: ClassVar[str] = "enrich_lead"

    provider: Literal["offline"] = "offline"
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None

    async def run(self, context: Context) -> Outcome:
        """Return the enrichment as a write; the result is ``{enriched, unreadable}``, names of fields."""
        enrichment = await context.services.enricher.enrich(context.entity, self.region)
        if not enrichment.fields and not enrichment.unreadable:
            return Skip("nothing_to_enrich")
        present = context.entity.get("enrichment")
        if present is not None and not isinstance(present, Mapping):
            return Skip("enrichment_is_taken")
        result = {"enriched": list(enrichment.fields), "unreadable": list(enrichment.unreadable)}
        written = {**enrichment.fields, "provider": self.provider, "enriched_at": context.now}
        update = _update(present or {}, written)
        return Done(result, (update,)) if update.set else Skip("nothing_to_enrich")


def _update(present: Mapping[str, Any], written: Mapping[str, Any]) -> EntityUpdate:
    """Return the write that keeps the fields that a person typed.

    Fields of an earlier enrichment (it set ``enriched_at``) are renewed. Where a person has written ``enrichment``,
    only missing fields are added, and no ``enriched_at``: the next enrichment must see that a person wrote it.
    """
    if not present:
        return EntityUpdate({"enrichment": written})
    if "enriched_at" in present:
        stale = [name for name in DERIVED_FIELDS if name in present and name not in written]
        return EntityUpdate(_under_enrichment(written), tuple(_under_enrichment(dict.fromkeys(stale))))
    return EntityUpdate(
        _under_enrichment({name: written[name] for name in DERIVED_FIELDS if name in written and name not in present})
    )


def _under_enrichment(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"enrichment.{name}": value for name, value in fields.items()}
