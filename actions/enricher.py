"""Derive data about a person from the address, the phone number and the name, without asking other services.

The lists and tables behind it take a tenth of a second to load, so they are loaded in a thread, at the first use.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from actions.blank import stripped
from actions.directory import Directory, load_directory
from actions.email_address import EmailAddress, parse_email_address
from actions.person_name import split_name
from actions.phone_text import phone_readings
from actions.template import parse_language
from rules.path import value_at

DERIVED_FIELDS: Final = ("email", "phone", "company_domain", "name")

# Characters of a field that are looked at: a longer value is no name and no address, and must not cost time.
_LONGEST: Final = {"name": 200, "website": 2_000}


@dataclass(frozen=True, slots=True)
class Enrichment:
    """The derived data, by field, and the names of the fields that cannot be read."""

    fields: Mapping[str, Any]
    unreadable: tuple[str, ...]


class Enricher:
    """Derives data; one for the process."""

    def __init__(self, default_region: str | None = None) -> None:
        """Keep the region, such as ``BR``, of phone numbers that do not say their own."""
        self._default_region = default_region
        self._directory: Directory | None = None
        self._loading = asyncio.Lock()

    async def enrich(self, entity: Mapping[str, Any], region: str | None = None) -> Enrichment:
        """Return the data derived from ``entity``; ``region`` is that of phone numbers that name none."""
        directory = await self._loaded()
        address = parse_email_address(entity.get("email"))
        derived = {
            "email": _email(address, directory) if address else None,
            "phone": _phone(entity, region or _region_of(entity) or self._default_region, directory),
            "company_domain": _company_domain(entity, address, directory),
            "name": _name(entity),
        }
        unreadable = tuple(
            field
            for field, found in (("email", "email"), ("phone", "phone"), ("website", "company_domain"))
            if _is_given(entity, field) and derived[found] is None
        )
        return Enrichment({field: value for field, value in derived.items() if value is not None}, unreadable)

    async def _loaded(self) -> Directory:
        async with self._loading:
            if self._directory is None:
                self._directory = await asyncio.to_thread(load_directory)
            return self._directory


def _email(address: EmailAddress, directory: Directory) -> dict[str, Any]:
    is_disposable = directory.is_disposable(address.domain)
    return {
        "normalized": address.text,
        "domain": address.domain,
        # The list of free domains holds disposable ones too.
        "is_free": not is_disposable and directory.is_free(address.domain),
        "is_disposable": is_disposable,
    }


def _phone(entity: Mapping[str, Any], region: str | None, directory: Directory) -> dict[str, str] | None:
    for reading in phone_readings(entity.get("phone"), region):
        number = directory.phone_number(reading.text, reading.region)
        if number is not None and reading.expected in (None, number["region"]):
            return number
    return None


def _company_domain(entity: Mapping[str, Any], address: EmailAddress | None, directory: Directory) -> str | None:
    """Return the domain of the website, else that of the address, unless the domain is free or disposable."""
    website = _text(entity, "website")
    if website:
        return directory.registered_domain(_host(website))
    if address is None or directory.is_disposable(address.domain) or directory.is_free(address.domain):
        return None
    return directory.registered_domain(address.domain)


def _name(entity: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the parts of a name that was given as one."""
    name = _text(entity, "name")
    if not name or _is_given(entity, "first_name") or _is_given(entity, "last_name"):
        return None
    return split_name(name)


def _region_of(entity: Mapping[str, Any]) -> str | None:
    """Return the region that the entity names: its country's two letters, or the end of its language (``pt-BR``)."""
    country = value_at(entity, "country")
    if isinstance(country, str) and len(country.strip()) == 2:
        return country.strip().upper()
    language = parse_language(entity.get("locale")) or parse_language(entity.get("language")) or ""
    region = language.rpartition("-")[2] if "-" in language else ""
    return region.upper() if len(region) == 2 else None


def _host(website: str) -> str:
    try:
        return urlsplit(website if "//" in website else f"//{website}").hostname or ""
    except ValueError:
        return ""


def _is_given(entity: Mapping[str, Any], field: str) -> bool:
    value = entity.get(field)
    return bool(stripped(value)) if isinstance(value, str) else value is not None


def _text(entity: Mapping[str, Any], field: str) -> str:
    value = entity.get(field)
    return stripped(value) if isinstance(value, str) and len(value) <= _LONGEST[field] else ""
