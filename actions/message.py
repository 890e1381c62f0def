"""Builds an e-mail to one person, in which no text can become a header or another recipient."""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from actions.email_address import EmailAddress
from actions.sender import Sender
from config.error import PermanentActionError

_POLICY = SMTP.clone(cte_type="7bit")  # so that it passes every server unchanged


def build_message(
    sender: Sender, to: EmailAddress, key: str, at: datetime, *, subject: str, text: str, html: str | None
) -> EmailMessage:
    """Return the message for the step with ``key``; its Message-ID is the same in every attempt.

    Raises PermanentActionError for a subject of more than one line: that is what a name that means to add headers
    makes of it, so nothing is sent.
    """
    subject = subject.strip()
    if not subject:
        raise PermanentActionError("subject: expected a text, found an empty one")
    if not subject.isprintable():
        raise PermanentActionError("subject: expected one line of text, found a line break or a control character")
    message = EmailMessage(_POLICY)
    message["From"] = sender.header
    name, _, domain = to.mailbox.rpartition("@")
    message["To"] = Address(username=name, domain=domain)  # as addr_spec it could be nothing but ASCII
    message["Subject"] = subject
    message["Date"] = at
    message["Message-ID"] = message_id(key, sender)
    message["Auto-Submitted"] = "auto-generated"  # asks robots not to answer (RFC 3834)
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


def message_id(key: str, sender: Sender) -> str:
    """Return the Message-ID of the step with ``key``, ``<execution id>:<step>``."""
    return f"<{key.replace(':', '.')}@{sender.domain}>"
