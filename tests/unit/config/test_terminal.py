"""Nothing that came from outside acts on a terminal, or on the order of what stands around it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from config.terminal import escaped, escaped_json, escaped_lines

STEERING = [
    *("\x1b[31m", "\x9b31m", "\r", "\n", "\t", "\b", "\x7f"),
    *("\u2028", "\u202e", "\u2066", "\u200f", "\u061c", "\ufeff"),
]
any_text = st.text(st.characters(codec=None, categories=None))  # surrogates too


@given(any_text)
def test_what_is_shown_is_one_line_without_anything_that_steers(text: str) -> None:
    shown = escaped(text + "".join(STEERING))
    assert [each for each in STEERING if each in shown] == []
    assert len(shown.splitlines()) == 1
    shown.encode()


def test_letters_of_every_script_stay_as_they_are() -> None:
    text = "Ação 東京\u3000北 می‌خواهم 👩‍💻 [red]{x}\\d\u00a0"
    assert escaped(text) == text


def test_line_breaks_are_kept_where_they_are_ours() -> None:
    assert escaped_lines("a\x1b\nb") == "a\\x1b\nb"


@given(st.dictionaries(any_text, any_text | st.lists(any_text)))
def test_json_stays_what_it_was(value: object) -> None:
    text = escaped_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == json.loads(json.dumps(value))  # to JSON two halves of a character are that character
    assert all(each.isprintable() or each in "\n\u200c\u200d\u00a0\u3000" for each in text)
