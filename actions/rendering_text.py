"""Filters on texts, in the place of Liquid's, which take more than linear time or are wrong."""

import re
from typing import Final

from liquid import Environment, Markup, escape

# An attribute may hold a ">" between quotes. Possessive, so that a text without an end is walked through once.
_TAG: Final = re.compile(r"""<[a-zA-Z/!?](?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
_OPENS: Final = re.compile(r"<(?:(!--)|(script|style)\b|[a-zA-Z/!?])", re.IGNORECASE)
_CLOSES: Final = {name: re.compile(rf"</{name}", re.IGNORECASE) for name in ("script", "style")}
_BARE: Final = re.compile(r"&(?!(?:[a-zA-Z][a-zA-Z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});)")
_REFERENCE_OR_SPECIAL: Final = re.compile("[<>\"']")
_ESCAPED: Final = {"<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}


def strip_html(value: str) -> str:
    """Return a text without its tags, comments, scripts and styles, in one pass.

    A tag without an end is kept as text. An end that was searched for in vain is not searched for again.
    """
    stripped = _Stripping(value).result()
    return Markup(stripped) if isinstance(value, Markup) else stripped


class _Stripping:
    def __init__(self, text: str) -> None:
        self._text = text
        self._missing: set[str] = set()  # the kinds of parts that have no end in the rest of the text

    def result(self) -> str:
        kept: list[str] = []
        at = 0
        while (opens := _OPENS.search(self._text, at)) is not None:
            end = self._end_of(opens)
            if end is None:
                break
            kept.append(self._text[at : opens.start()])
            at = end
        kept.append(self._text[at:])
        return "".join(kept)

    def _end_of(self, opens: re.Match[str]) -> int | None:
        """Return the end of the part that ``opens``; None if no tag ends in the rest of the text."""
        comment, block = opens[1], (opens[2] or "").lower()
        if comment and "comment" not in self._missing:
            end = self._text.find("-->", opens.end())
            if end >= 0:
                return end + 3
            self._missing.add("comment")
        if block and block not in self._missing:
            closes = _CLOSES[block].search(self._text, opens.end())
            if closes is not None:
                return self._text.find(">", closes.end()) + 1 or None
            self._missing.add(block)
        if "quote" not in self._missing:
            tag = _TAG.match(self._text, opens.start())
            if tag is not None:
                return tag.end()
            self._missing.add("quote")
        return self._text.find(">", opens.end()) + 1 or None


def escape_once(value: str, *, environment: Environment) -> str:
    """Return a text escaped for HTML, except for the references it holds already."""
    escaped = _REFERENCE_OR_SPECIAL.sub(lambda match: _ESCAPED[match[0]], _BARE.sub("&amp;", value))
    return Markup(escaped) if environment.autoescape else escaped


def remove_last(value: str, sought: str) -> str:
    """Return a text without the last ``sought`` in it."""
    return replace_last(value, sought, "") if sought else value


def replace_last(value: str, sought: str, new: str) -> str:
    """Return a text with ``new`` in the place of the last ``sought``.

    Python searches backwards in quadratic time, forwards in linear time: so the text is reversed.
    """
    at = value[::-1].find(sought[::-1])
    if at < 0:
        return value
    if isinstance(value, Markup):
        new = escape(new)
    end = len(value) - at
    return value[: end - len(sought)] + new + value[end:]
