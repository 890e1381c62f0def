"""Adding what can be derived from what a lead left."""

from collections.abc import Mapping
from typing import Any

import pytest

from actions.enrich_lead import EnrichLead
from actions.enricher import Enricher
from actions.outcome import Done, EntityUpdate, Skip
from actions.services import Services
from tests.unit.actions.factory import NOW, a_context

services = Services(enricher=Enricher(default_region="BR"))


async def enriched(**entity: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what was written under ``enrichment``, and the result."""
    outcome = await EnrichLead().run(a_context({"_id": 1, **entity}, services=services))
    assert isinstance(outcome, Done)
    assert isinstance(outcome.writes[0], EntityUpdate)
    assert list(outcome.writes[0].set) == ["enrichment"]
    return outcome.writes[0].set["enrichment"], outcome.result


async def test_everything_is_written_under_enrichment() -> None:
    written, result = await enriched(name="Ana Maria Souza", email="Ana@Vendas.Acme.com.br", phone="(11) 98765-4321")

    assert written == {
        "email": {
            "normalized": "Ana@vendas.acme.com.br",
            "domain": "vendas.acme.com.br",
            "is_free": False,
            "is_disposable": False,
        },
        "phone": {"e164": "+5511987654321", "region": "BR"},
        "company_domain": "acme.com.br",
        "name": {"first": "Ana", "last": "Maria Souza"},
        "provider": "offline",
        "enriched_at": NOW,
    }
    assert result == {"enriched": ["email", "phone", "company_domain", "name"], "unreadable": []}


async def test_free_mailbox_says_nothing_of_a_company() -> None:
    written, _ = await enriched(email="ana@gmail.com")

    assert written["email"]["is_free"]
    assert "company_domain" not in written


async def test_disposable_mailbox_is_not_called_free() -> None:
    written, _ = await enriched(email="ana@mailinator.com")

    assert written["email"]["is_disposable"]
    assert not written["email"]["is_free"]
    assert "company_domain" not in written


@pytest.mark.parametrize("website", ["https://www.acme.co.uk/about?x=1", "www.acme.co.uk", "ACME.co.uk:8080"])
async def test_website_tells_the_company_even_with_a_free_mailbox(website: str) -> None:
    written, _ = await enriched(email="ana@gmail.com", website=website)

    assert written["company_domain"] == "acme.co.uk"


@pytest.mark.parametrize(
    ("entity", "e164"),
    [
        ({"phone": "+44 20 7946 0958"}, "+442079460958"),
        ({"phone": "020 7946 0958", "country": "gb"}, "+442079460958"),
        ({"phone": "020 7946 0958", "locale": "en_GB.UTF-8"}, "+442079460958"),
        ({"phone": "11 98765-4321"}, "+5511987654321"),
    ],
)
async def test_phone_number_is_read_in_the_region_it_is_from(entity: dict[str, Any], e164: str) -> None:
    written, _ = await enriched(**entity)

    assert written["phone"]["e164"] == e164


@pytest.mark.parametrize(
    "entity",
    [{"phone": "12"}, {"phone": "call me"}, {"phone": "1" * 10_000}, {"phone": 5}, {"phone": "123", "country": "??"},
     {"email": "nobody"}, {"email": ["a@b.com"]}, {"website": "http://[::1"}, {"website": "127.0.0.1"},
     {"website": {}}],
)  # fmt: skip
async def test_field_that_cannot_be_read_is_reported_and_no_error(entity: dict[str, Any]) -> None:
    _, result = await enriched(**entity)

    assert result["unreadable"] == [next(iter(entity))]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Ana", {"first": "Ana", "last": ""}),
        ("  Ana   de  Souza ", {"first": "Ana", "last": "de Souza"}),
        ("Souza, Ana Maria", {"first": "Ana Maria", "last": "Souza"}),
    ],
)
async def test_name_given_as_one_is_split(name: str, parts: dict[str, str]) -> None:
    written, _ = await enriched(name=name)

    assert written["name"] == parts


async def test_name_given_in_parts_is_left_alone() -> None:
    written, _ = await enriched(name="Ana Souza", first_name="Ana", email="ana@example.com")

    assert "name" not in written


async def test_lead_that_left_nothing_is_skipped() -> None:
    assert await EnrichLead().run(a_context({"_id": 1}, services=services)) == Skip("nothing_to_enrich")


async def update_of(enrichment: object) -> EntityUpdate:
    """Return the write for a lead that has an address, and this under ``enrichment``."""
    entity = {"_id": 1, "email": "ana@acme.com", "enrichment": enrichment}
    outcome = await EnrichLead().run(a_context(entity, services=services))
    assert isinstance(outcome, Done)
    assert isinstance(outcome.writes[0], EntityUpdate)
    return outcome.writes[0]


async def test_what_a_person_typed_under_enrichment_is_kept() -> None:
    update = await update_of({"email": "typed", "note": "by hand"})
    assert update == EntityUpdate({"enrichment.company_domain": "acme.com"})


async def test_an_earlier_enrichment_is_renewed_without_what_is_no_longer_so() -> None:
    update = await update_of({"email": {}, "phone": {}, "note": "by hand", "provider": "offline", "enriched_at": NOW})
    assert "enrichment.email" in update.set
    assert update.unset == ("enrichment.phone",)


async def test_an_enrichment_that_is_no_object_is_left_alone() -> None:
    entity = {"_id": 1, "email": "ana@acme.com", "enrichment": "typed"}
    assert await EnrichLead().run(a_context(entity, services=services)) == Skip("enrichment_is_taken")


async def test_an_enrichment_that_a_person_completed_needs_none() -> None:
    typed = {"email": "typed", "company_domain": "typed"}
    entity = {"_id": 1, "email": "ana@acme.com", "enrichment": typed}
    assert await EnrichLead().run(a_context(entity, services=services)) == Skip("nothing_to_enrich")
