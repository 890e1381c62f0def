"""Who e-mails are from."""

from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import getaddresses

from actions.email_address import parse_email_address
from config.error import ConfigError
from config.found import found


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of every message: ``header`` is the value of From, ``mailbox`` the address alone."""

    header: Address
    mailbox: str
    domain: str


def parse_sender(raw: str) -> Sender:
    """Return the sender that ``crm@example.com`` or ``CRM <crm@example.com>`` stands for; raise ConfigError."""
    addresses = getaddresses([raw]) if raw.isprintable() else []
    name, text = addresses[0] if len(addresses) == 1 else ("", "")
    address = parse_email_address(text)
    if address is None:
        expected = "an address such as crm@example.com or 'CRM <crm@example.com>'"
        raise ConfigError(f"REFLEXD_SMTP_FROM: expected {expected}, found {found(raw)}")
    username = address.mailbox.rpartition("@")[0]
    return Sender(Address(name, username, address.domain), address.mailbox, address.domain)
