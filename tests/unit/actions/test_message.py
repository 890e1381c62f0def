"""E-mails in which no text becomes a header, and who they are from."""

from email.message import EmailMessage

import pytest

from actions.email_address import parse_email_address
from actions.message import build_message
from actions.sender import parse_sender
from config.error import ConfigError, PermanentActionError
from tests.unit.actions.factory import NOW


def a_message(subject: str = "Hello", sender: str = "crm@example.com", html: str | None = None) -> EmailMessage:
    to = parse_email_address("ana@example.com")
    assert to is not None
    return build_message(parse_sender(sender), to, "69a5:0", NOW, subject=subject, text="Olá, Ana", html=html)


@pytest.mark.parametrize("subject", ["a\r\nBcc: b@c.com", "a\nb", "a\rb", "a\0b", "a\u2028b", "a\x85b", "", "  "])
def test_subject_that_is_not_one_line_is_refused(subject: str) -> None:
    with pytest.raises(PermanentActionError, match=r"^subject: expected "):
        a_message(subject)


def test_message_is_ascii_on_the_wire() -> None:
    wire = a_message("Olá 🎉", "Vendas São Paulo <crm@example.com>", "<p>Olá</p>").as_bytes()

    assert wire.isascii()
    assert b"Bcc" not in wire


def test_message_without_html_has_one_part() -> None:
    assert a_message().get_content_type() == "text/plain"
    assert a_message(html="<p>x</p>").get_content_type() == "multipart/alternative"


def test_machines_are_asked_not_to_answer() -> None:
    assert a_message()["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("sender", ["", "nobody", "a@b.com, c@d.com", "CRM <crm@>", "CRM\r\nBcc: x <a@b.com>"])
def test_sender_that_is_not_one_address_refuses_to_start(sender: str) -> None:
    with pytest.raises(ConfigError, match="REFLEXD_SMTP_FROM: expected an address"):
        parse_sender(sender)
