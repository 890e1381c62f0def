"""Builds an e-mail to one person, in which no text can become a header or another recipient."""

import unicodedata
from base64 import encodebytes
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from actions.blank import LINE_BREAK, with_plain_blanks
from actions.email_address import EmailAddress
from actions.mail_header import mailbox_field, text_field
from actions.mail_inspection import inspect
from actions.sender import Sender
from config.error import PermanentActionError

LONGEST_SUBJECT: Final = 2_000  # characters

_FIELDS: Final = ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
_ENCODING: Final = "Content-Transfer-Encoding"


@dataclass(frozen=True, slots=True)
class Message:
    """A finished message: ``content`` are the bytes that go over the wire, before dots are doubled."""

    content: bytes
    message_id: str


def build_message(
    sender: Sender, to: EmailAddress, key: str, at: datetime, *, subject: str, text: str, html: str | None
) -> Message:
    """Return the message for the step with ``key``; its Message-ID is the same in every attempt.

    Raises PermanentActionError for a subject that is no single line of text, and where the check of the
    finished bytes fails: then nothing is sent.
    """
    identity = message_id(key, sender)
    head = [
        mailbox_field("From", sender.mailbox, sender.name),
        mailbox_field("To", to.mailbox),
        text_field("Subject", _checked(subject)),
        f"Date: {format_datetime(at)}",
        f"Message-ID: {identity}",
        "Auto-Submitted: auto-generated",  # asks robots not to answer (RFC 3834)
        "MIME-Version: 1.0",
    ]
    plain = _part("plain", text)
    if html:
        # Neither of the encodings of the parts can make "=_": no text can end its part.
        boundary = f"=_{key.replace(':', '.')}"
        parts = [f"--{boundary}\r\n{part}" for part in (plain, _part("html", html))]
        body = [f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n', *parts, f"--{boundary}--\r\n"]
    else:
        body = [plain]
    content = "\r\n".join([*head, *body]).encode()
    inspect(content, _FIELDS if html else (*_FIELDS, _ENCODING), to.mailbox)
    return Message(content, identity)


def message_id(key: str, sender: Sender) -> str:
    """Return the Message-ID of the step with ``key``, ``<execution id>:<step>``."""
    return f"<{key.replace(':', '.')}@{sender.domain}>"


def _checked(subject: str) -> str:
    """Return a subject with blanks of one kind; raise PermanentActionError if it is not one line of text."""
    subject = with_plain_blanks(_encodable(subject)).strip()
    if not subject:
        raise PermanentActionError("subject: expected a text, found an empty one")
    if len(subject) > LONGEST_SUBJECT:
        raise PermanentActionError(f"subject: expected at most {LONGEST_SUBJECT:,} characters, found {len(subject):,}")
    if LINE_BREAK.search(subject):
        raise PermanentActionError("subject: expected one line of text, found a line break")
    control = next((character for character in subject if unicodedata.category(character) == "Cc"), None)
    if control is not None:
        raise PermanentActionError(f"subject: expected a text, found the control character U+{ord(control):04X}")
    return subject


def _part(subtype: str, text: str) -> str:
    """Return a part in pure ASCII with short lines, so that every server takes it over unchanged."""
    lines = _encodable(text).replace("\r\n", "\n").replace("\r", "\n")
    octets = (lines if lines.endswith("\n") else f"{lines}\n").replace("\n", "\r\n").encode()
    readable, compact = b2a_qp(octets), encodebytes(octets).replace(b"\n", b"\r\n")
    encoding, encoded = "quoted-printable", readable
    if len(compact) < len(readable):
        encoding, encoded = "base64", compact
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\n{_ENCODING}: {encoding}\r\n\r\n'
    return head + encoded.decode("ascii")


def _encodable(text: str) -> str:
    """Return ``text`` with surrogate pairs joined, and lone surrogates replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
