"""What counts as the address of one person."""

from dataclasses import dataclass
from typing import Any, Final

from email_validator import EmailNotValidError, validate_email

LONGEST: Final = 254


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """A valid address: ``text`` as it is shown, ``mailbox`` as it is sent to, with an ASCII domain.

    ``domain`` is the ASCII domain. Only the part before the ``@`` of a mailbox may be other than ASCII.
    """

    text: str
    mailbox: str
    domain: str


def parse_email_address(raw: Any) -> EmailAddress | None:
    """Return the one address that ``raw`` holds, or None if it holds none, several, or anything else as well.

    Nobody is asked whether the address exists. The reserved domain ``.test`` is let through: it harms nobody.
    """
    if not isinstance(raw, str) or len(raw) > LONGEST:
        return None
    try:
        valid = validate_email(raw.strip(" \t"), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    domain = valid.ascii_domain
    return EmailAddress(valid.normalized, valid.ascii_email or f"{valid.local_part}@{domain}", domain)
