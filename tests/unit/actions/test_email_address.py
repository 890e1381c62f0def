"""What counts as the address of one person."""

from typing import Any

import pytest

from actions.email_address import EmailAddress, UnusableAddress, is_empty, parse_email_address, read_email_address
from rules.path import MISSING


def test_domain_is_lowered_and_name_is_kept() -> None:
    assert parse_email_address(" Ana@Example.COM ") == EmailAddress("Ana@example.com", "Ana@example.com", "example.com")


def test_international_domain_is_sent_to_in_ascii() -> None:
    address = parse_email_address("ana@münchen.de")

    assert address == EmailAddress("ana@münchen.de", "ana@xn--mnchen-3ya.de", "xn--mnchen-3ya.de")


@pytest.mark.parametrize(
    "raw",
    ["a@b.com\u00a0", "\u3000a@b.com\r\n", "\ufeff\u200b a@b.com\u200e", "Ana <a@b.com>", "<a@b.com>", "Ana<a@b.com>",
     '"Silva, Ana <x>" < a@b.com >', "Silva, Ana <a@b.com>", "João 🎉 <a@b.com>\t", "a@b.com <a@b.com>",
     "x" * 500 + " <a@b.com>"],
)  # fmt: skip
def test_blanks_around_an_address_and_a_name_before_it_are_taken_off(raw: str) -> None:
    assert read_email_address(raw).mailbox == "a@b.com"


@pytest.mark.parametrize("raw", [None, MISSING, "", " ", "\u00a0\u3000\r\n\t\u200b", [], {}])
def test_a_field_without_anything_in_it_is_empty(raw: Any) -> None:
    assert is_empty(raw)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("a..b@example.com", "found 'a..b@example.com': An email address cannot have two periods in a row"),
        ("a@b.com, c@d.com", "found 'a@b.com, c@d.com': "),
        ("a@b.com;c@d.com", "found 'a@b.com;c@d.com': "),
        ("Ana <a@b.com>, Bo <c@d.com>", "there may be more than one"),
        ("a@b.com <c@d.com>", "there may be more than one"),
        ("Ana <a@b.com> x", "found 'Ana <a@b.com> x': "),
        ("a", "found 'a': "),
        ("a@b", "found 'a@b': "),
        ("a b@c.com", "found 'a b@c.com': "),
        ("a@c.com\r\nBcc: b@c.com", r"found 'a@c.com\r\nBcc: b@c.com': "),
        ("\x1b[31m\u202e@c.com", r"found '\x1b[31m\u202e@c.com': "),
        ("a" * 250 + "@example.com", "expected at most 254 characters, found 262"),
        ("a" * 1_000_000, "expected at most 254 characters, found 1,000,000"),
        (5, "expected a text, found 5"),
        (True, "expected a text, found true"),
        (["a@b.com"], "expected a text, found the list ['a@b.com']"),
    ],
)
def test_what_is_wrong_with_an_address_is_told_in_printable_text(raw: Any, problem: str) -> None:
    with pytest.raises(UnusableAddress) as refused:
        read_email_address(raw)

    assert not is_empty(raw)
    assert problem in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 350
    assert parse_email_address(raw) is None
