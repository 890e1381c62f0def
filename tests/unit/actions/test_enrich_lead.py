"""Adding what can be derived from what a lead left."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from bson import Decimal128, Int64

from actions.enrich_lead import EnrichLead
from actions.enricher import Enricher
from actions.outcome import Done, EntityUpdate, Skip
from actions.services import Services
from tests.unit.actions.factory import NOW, a_context

services = Services(enricher=Enricher(default_region="BR"))


SILVA = (
    "Ana Silva, MD", "Ana Silva MD", "Ana Silva, M.D., Ph. D.", "Ana Silva, PhD", "Ana Silva, Jr.", "Ana Silva Jr.",
    "Ana Silva, Sr.", "Ana Silva III", "Ana Silva, III", "Ana Silva, Eng.", "Ana Silva, Eng", "Eng. Ana Silva",
    "Ana Silva, Dr.", "Dr. Ana Silva", "Dr.Ana Silva", "Prof. Dr. h. c. Ana Silva, MBA, PMP", "Mr Ana Silva",
    "Mrs. Ana Silva", "Ms. Ana Silva", "Sra. Ana Silva", "Dr.ª Ana Silva", "Dipl.-Ing. Ana Silva", "Frau Ana Silva",
    "Silva, Ana, MD", "Silva, Ana", "Silva Jr., Ana", "Silva, Dra. Ana", "Ana\u00a0Silva,\u3000MD", "Ana Silva (MBA)",
    "Ana Silva - MD", "Ana Silva,", "Engr. Ana Silva", "Ana Silva, P.Eng.", "Ana Silva, FRCP", "Ana Silva, CEO",
)  # fmt: skip


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
        ({"phone": 11987654321}, "+5511987654321"),
        ({"phone": Int64(5511987654321)}, "+5511987654321"),
        ({"phone": 11987654321.0}, "+5511987654321"),
        ({"phone": Decimal128("1.1987654321E+10")}, "+5511987654321"),
        ({"phone": 351912345678}, "+351912345678"),
        ({"phone": 4915112345678, "country": "DE"}, "+4915112345678"),
        ({"phone": "00351912345678"}, "+351912345678"),
        ({"phone": "(00351) 912 345 678", "country": "US"}, "+351912345678"),
        ({"phone": "+351 (0) 912 345 678"}, "+351912345678"),
        ({"phone": "+ 351\u00a0912 345 678 ext. 12"}, "+351912345678"),
    ],
)
async def test_phone_number_is_read_in_the_region_it_is_from(entity: dict[str, Any], e164: str) -> None:
    written, _ = await enriched(**entity)

    assert written["phone"]["e164"] == e164


@pytest.mark.parametrize("phone", ["00351912345678", 351912345678, "+351 912 345 678"])
async def test_phone_number_that_says_its_country_needs_no_region(phone: object) -> None:
    outcome = await EnrichLead().run(a_context({"phone": phone}, services=Services(enricher=Enricher())))

    assert isinstance(outcome, Done)
    assert isinstance(outcome.writes[0], EntityUpdate)
    assert outcome.writes[0].set["enrichment"]["phone"] == {"e164": "+351912345678", "region": "PT"}


@pytest.mark.parametrize(
    "entity",
    [{"phone": math.nan}, {"phone": math.inf}, {"phone": 1e300}, {"phone": True}, {"phone": -5511987654321},
     {"phone": 11987654321.5}, {"phone": Decimal128("NaN")}, {"phone": Decimal128("1E+6000")}, {"phone": 10**400},
     {"phone": "00"}, {"phone": "12"}, {"phone": "call me"}, {"phone": "1" * 10_000}, {"phone": 5},
     {"phone": "123", "country": "??"},
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
        *((name, {"first": "Ana", "last": "Silva"}) for name in SILVA),
        ("Dr. med. Hans von der Heide", {"first": "Hans", "last": "von der Heide"}),
        ("João Silva Neto", {"first": "João", "last": "Silva Neto"}),
        ("Jack Ma", {"first": "Jack", "last": "Ma"}),
        ("JACK MA", {"first": "JACK", "last": "MA"}),
        ("Rahman, Md", {"first": "Md", "last": "Rahman"}),
        ("Don Draper", {"first": "Don", "last": "Draper"}),
        ("D. H. Lawrence", {"first": "D.", "last": "H. Lawrence"}),
        ("Eng Wei Ling", {"first": "Eng", "last": "Wei Ling"}),
        ("Dr.", {"first": "Dr.", "last": ""}),
        (", ,", {"first": "", "last": ""}),
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
