"""E-mails in which no text becomes a header, read by a reader that keeps to the letter, and who they are from."""

import pytest

from actions.email_address import read_email_address
from actions.mail_inspection import inspect
from actions.message import build_message
from actions.sender import parse_sender
from config.error import ConfigError, PermanentActionError
from tests.support.mail_reader import Mail, read_mail
from tests.unit.actions.factory import NOW

FIELDS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
WORD = "=?utf-8?q?Ana=0D=0ABcc=3A_all=40example.net?="
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
LONG_NAME = "Müller, Schmidt & Söhne, Großhandel für Öle und Fette, Niederlassung Düsseldorf, Abteilung Verkauf"


def wire_of(
    subject: str = "Hello",
    sender: str = "crm@example.com",
    to: str = "ana@example.com",
    text: str = "Olá, Ana",
    html: str | None = None,
) -> bytes:
    address = read_email_address(to)
    message = build_message(parse_sender(sender), address, "69a5:0", NOW, subject=subject, text=text, html=html)
    return message.content


def mail_of(*args: str, **options: str) -> Mail:
    mail = read_mail(wire_of(*args, **options))
    expected = FIELDS if "html" in options else [*FIELDS, "Content-Transfer-Encoding"]
    assert [name for name, _ in mail.fields] == expected
    return mail


@pytest.mark.parametrize(
    "subject",
    ["Hello", "a" * 300, "a  b", "Hello, Ana (of Acme) <x@y.com>: 20% \"off\"; it's \\ here",
     " ".join(f"word{number}" for number in range(60)), "x " * 300 + "y", "=?utf-8?q?Hello?=", WORD, f"Hi {WORD}!",
     "=?", "=?utf-8?b?", "Olá 🎉", "ü" * 300, "für  alle " * 40 + "!", "漢字 " * 100 + "字", f"Hi {FAMILY} " * 30 + "!",
     "می\u200cخواهم " * 20 + "!", "a" * 60 + " " + "é" * 60, "\u202eabc", "x" * 2_000],
)  # fmt: skip
def test_subject_is_shown_as_it_was_written(subject: str) -> None:
    assert mail_of(subject).subject == subject


@pytest.mark.parametrize("blank", ["\t", "\xa0", "\u1680", "\u2003", "\u202f", "\u205f", "\u3000"])
def test_blanks_of_every_kind_become_a_blank(blank: str) -> None:
    assert mail_of(f"Welcome, Ana{blank}Souza{blank}").subject == "Welcome, Ana Souza"


def test_half_a_character_is_replaced_and_two_halves_are_put_together() -> None:
    mail = mail_of("a\ud800b \ud83c\udf89", text="a\udc00b")

    assert mail.subject == "a\ufffdb 🎉"
    assert mail.parts == {"text/plain": "a\ufffdb\n"}


@pytest.mark.parametrize(
    ("subject", "problem"),
    [("a\r\nBcc: b@c.com", "a line break"), ("a\nb", "a line break"), ("a\u2028b", "a line break"),
     ("a\x85b", "a line break"), ("a\0b", r"the control character U\+0000"), ("a\x1b[1m", r"character U\+001B"),
     ("a\x9bb", r"character U\+009B"), ("", "an empty one"), (" \u3000 ", "an empty one"),
     ("x" * 2_001, "found 2,001")],
)  # fmt: skip
def test_subject_that_is_not_one_line_of_text_is_refused(subject: str, problem: str) -> None:
    with pytest.raises(PermanentActionError, match=rf"^subject: expected .*{problem}"):
        wire_of(subject)


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("crm@example.com", ""),
        ("CRM <crm@example.com>", "CRM"),
        ("Acme, Inc. <crm@example.com>", "Acme, Inc."),
        ('"Acme, \\"the\\" Inc. \\\\" <crm@example.com>', 'Acme, "the" Inc. \\'),
        ("Vendas\u3000São\xa0Paulo <crm@example.com>", "Vendas São Paulo"),
        (f"{FAMILY} CRM <crm@example.com>", f"{FAMILY} CRM"),
        ("=?utf-8?q?a=2C_b=40c.com?= <crm@example.com>", "=?utf-8?q?a=2C_b=40c.com?="),
        (f"{LONG_NAME} <crm@example.com>", LONG_NAME),
        (f'"{"Smith, Jones, Brown and Partners, " * 6}Ltd." <crm@example.com>',
         "Smith, Jones, Brown and Partners, " * 6 + "Ltd."),
        (f"{'x' * 200} <crm@example.com>", "x" * 200),
    ],
)  # fmt: skip
def test_name_of_the_sender_is_shown_as_it_was_set(sender: str, name: str) -> None:
    assert mail_of(sender=sender).sender == (name, "crm@example.com")


def test_long_name_with_commas_keeps_its_quotes_when_it_is_folded() -> None:
    wire = wire_of(sender=f'"{"Smith, Jones and Brown, " * 6}Ltd." <crm@example.com>')

    assert wire.startswith(b'From: "Smith, Jones and Brown, Smith')
    assert b' Ltd."\r\n <crm@example.com>\r\n' in wire


@pytest.mark.parametrize(
    "to",
    ["ana@example.com", "o'neil+x{y}|z~=?@example.com", "=?utf-8?q?a=2C_all=40example.net?=@example.com",
     "=?utf-8?q?a=0D=0ABcc=3A_x?=@example.com", "josé@example.com", "a" * 64 + "@" + "b" * 60 + ".example.com"],
)  # fmt: skip
def test_to_holds_the_one_mailbox_of_the_recipient(to: str) -> None:
    assert mail_of(to=to).to == [("", to)]


def test_encoded_words_in_an_address_are_hidden_from_readers_who_would_decode_them() -> None:
    wire = wire_of(to="=?utf-8?q?a=2C_all=40example.net?=@example.com")

    assert rb'To: "=\?utf-8\?q\?a=2C_all=40example.net\?="@example.com' in wire


@pytest.mark.parametrize(
    "text",
    ["", "a", "Olá\n\n.\n..\nFrom me\n", "a \nb\t\n", "x" * 5_000, "漢" * 5_000, "a\0b\x1b\x85", "a\r\nb\rc\n",
     "--=_69a5.0\n\n--=_69a5.0--\n", "=3D=\n", "a\u2028b\u3000c", "\n" * 100],
)  # fmt: skip
def test_text_and_html_arrive_as_they_were_rendered(text: str) -> None:
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    expected = expected if expected.endswith("\n") else f"{expected}\n"

    assert mail_of(text=text).parts == {"text/plain": expected}
    assert mail_of(text=text, html=f"<p>{text}").parts["text/html"].startswith("<p>")


def test_message_is_ascii_on_the_wire() -> None:
    assert wire_of("Olá 🎉", "Vendas São Paulo <crm@example.com>", html="<p>Olá</p>").isascii()


def test_machines_are_asked_not_to_answer() -> None:
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in wire_of()


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"Subject: Hello", b"Subject: Hello\r\nBcc: all@example.net"), (b"Date:", b"Date:\nBcc: x\r\nDate:"),
     (b"To: ana@example.com", b"To: ana@example.com, all@example.net"), (b"To: ana@", b"To: <ana@example.com> ana@"),
     (b"To: ana@example.com", b"To: bo@example.com"), (b"To: ana", b"To: =?utf-8?q?ana?="), (b"Hello", b"Hello\0"),
     (b"Hello", b"x" * 999), (b"Hello", b"\r\n\r\nx"), (b"Hello", b"a\rb"), (b"\r\nDate", b"\r\nSubject: x\r\nDate")],
)  # fmt: skip
def test_finished_message_that_nobody_meant_is_refused(old: bytes, new: bytes) -> None:
    names = [*FIELDS, "Content-Transfer-Encoding"]
    inspect(wire_of(), names, "ana@example.com")

    with pytest.raises(PermanentActionError, match=r"^(message|To): expected "):
        inspect(wire_of().replace(old, new), names, "ana@example.com")


@pytest.mark.parametrize(
    "sender",
    ["", "nobody", "a@b.com, c@d.com", "CRM <crm@>", "CRM\r\nBcc: x <a@b.com>", "CR\0M <a@b.com>", "x@y.com <a@b.com>"],
)
def test_sender_that_is_not_one_address_refuses_to_start(sender: str) -> None:
    with pytest.raises(ConfigError, match="REFLEXD_SMTP_FROM: expected an address"):
        parse_sender(sender)
