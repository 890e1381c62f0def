"""The sender of e-mails."""

import unicodedata
from dataclasses import dataclass

from actions.blank import stripped, with_plain_blanks
from actions.email_address import UnusableAddress, read_email_address, split_name
from config.error import ConfigError
from config.found import found


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of every message: the ``name`` that people see, the ``mailbox``, and its ASCII ``domain``."""

    name: str
    mailbox: str
    domain: str


def parse_sender(raw: str) -> Sender:
    """Return the sender that ``crm@example.com`` or ``CRM <crm@example.com>`` stands for; raise ConfigError."""
    try:
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in raw):
            raise UnusableAddress("a control character")
        name, text = split_name(stripped(raw))
        address = read_email_address(text)
    except UnusableAddress:
        expected = "an address such as crm@example.com or 'CRM <crm@example.com>'"
        raise ConfigError(f"REFLEXD_SMTP_FROM: expected {expected}, found {found(raw)}") from None
    return Sender(" ".join(with_plain_blanks(name).split()), address.mailbox, address.domain)
