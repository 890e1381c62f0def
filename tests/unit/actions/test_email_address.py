"""What counts as the address of one person."""

from typing import Any

import pytest

from actions.email_address import EmailAddress, parse_email_address


def test_domain_is_lowered_and_name_is_kept() -> None:
    assert parse_email_address(" Ana@Example.COM ") == EmailAddress("Ana@example.com", "Ana@example.com", "example.com")


def test_international_domain_is_sent_to_in_ascii() -> None:
    address = parse_email_address("ana@münchen.de")

    assert address == EmailAddress("ana@münchen.de", "ana@xn--mnchen-3ya.de", "xn--mnchen-3ya.de")


@pytest.mark.parametrize(
    "raw", [None, 1, [], "", "a", "a@", "@b.com", "a@b", "a@b.com,c@d.com", "a@b.com\n", "a b@c.com"]
)
def test_anything_else_is_no_address(raw: Any) -> None:
    assert parse_email_address(raw) is None
