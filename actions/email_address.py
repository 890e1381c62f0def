"""Read the e-mail address of one person from a value of an entity."""

import re
from dataclasses import dataclass
from typing import Any, Final

from email_validator import EmailNotValidError, validate_email

from actions.blank import stripped
from config.error import ReflexdError
from config.found import found
from rules.path import MISSING

LONGEST: Final = 254

_LONGEST_WITH_NAME: Final = 1_000
_LONGEST_PROBLEM: Final = 200
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


class UnusableAddress(ReflexdError):
    """A value holds no address of one person; the message shows the value found, in printable text."""


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """A valid address: ``text`` as it is shown, ``mailbox`` as it is sent to, with an ASCII domain.

    ``domain`` is the ASCII domain. Only the part before the ``@`` of a mailbox may be other than ASCII.
    """

    text: str
    mailbox: str
    domain: str


def is_empty(raw: Any) -> bool:
    """Return whether the value for an address is missing or empty."""
    if isinstance(raw, str):
        return not stripped(raw)
    return raw is None or raw is MISSING or raw == [] or raw == {}


def read_email_address(raw: Any) -> EmailAddress:
    """Return the one address that ``raw`` holds, with blanks around it or a name before it: ``Ana <a@example.com>``.

    Raise UnusableAddress if the value holds none, several, or other text as well. Whether the address exists is not
    checked. The reserved domain ``.test`` is accepted.
    """
    if not isinstance(raw, str):
        raise UnusableAddress(f"expected a text, found {found(raw)}")
    text = stripped(raw)
    if len(text) > _LONGEST_WITH_NAME:
        raise UnusableAddress(f"expected at most {LONGEST} characters, found {len(text):,}")
    _, address = split_name(text)
    if len(address) > LONGEST:
        raise UnusableAddress(f"expected at most {LONGEST} characters, found {len(address):,}")
    try:
        valid = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise UnusableAddress(f"expected one address, found {found(address)}: {_printable(str(error))}") from error
    domain = valid.ascii_domain
    return EmailAddress(valid.normalized, valid.ascii_email or f"{valid.local_part}@{domain}", domain)


def parse_email_address(raw: Any) -> EmailAddress | None:
    """Return the one address that ``raw`` holds, or None."""
    try:
        return read_email_address(raw)
    except UnusableAddress:
        return None


def split_name(text: str) -> tuple[str, str]:
    """Return the name and the address of ``Ana <a@example.com>``; the name is empty where there is none.

    Raise UnusableAddress where the name may hold another address.
    """
    if not text.endswith(">") or "<" not in text:
        return "", text
    before, _, inside = text[:-1].rpartition("<")
    name, address = stripped(before), stripped(inside)
    quoted = _QUOTED.fullmatch(name)
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted[1]), address
    if any(mark in name for mark in "@<>") and name != address:
        raise UnusableAddress(f"expected one address, found {found(text)}: there may be more than one.")
    return name, address


def _printable(text: str) -> str:
    """Return a library's message, which may quote the value found, in printable characters."""
    return "".join(each if each.isprintable() else f"U+{ord(each):04X}" for each in text)[:_LONGEST_PROBLEM]
