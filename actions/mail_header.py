"""Write the header fields of an e-mail: the only place where foreign text becomes part of a header.

A value is written unchanged only if every mail program reads it unchanged. Other values become encoded words (RFC
2047), quoted strings and folded lines (RFC 5322), by code of our own: the standard library decodes encoded words in its
input, so a text could smuggle in line breaks and commas.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

_LINE: Final = 78  # characters of a line (RFC 5322, section 2.1.1)
_ENCODED_LINE: Final = 76  # characters of a line with encoded words (RFC 2047, section 2)
_ENCODED_WORD: Final = 75
_LONGEST_WORD: Final = 60  # a longer one is encoded, so that lines can be kept short
_START: Final = "=?utf-8?b?"
_END: Final = "?="
_MARK: Final = "=?"  # starts an encoded word
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


def text_field(name: str, text: str) -> str:
    """Return the field ``name`` that every reader shows as ``text``, without its last line break.

    ``text`` has no line breaks and no control characters.
    """
    if _is_plain(text):
        return _folded([f"{name}:"], text.split(" "))
    return f"{name}:" + "\r\n".join(_encoded_lines(text, len(name) + 1))


def mailbox_field(name: str, mailbox: str, display: str = "") -> str:
    """Return the field ``name`` that holds one mailbox, with the name ``display`` before it where there is one.

    ``mailbox`` is one that ``parse_email_address`` returned. ``display`` has no line breaks, control characters or
    runs of blanks.
    """
    address = written_address(mailbox)
    if not display:
        return f"{name}: {address}"
    if not _is_plain(display):
        lines = _encoded_lines(display, len(name) + 1)
        return _folded([f"{name}:{lines[0]}", *lines[1:]], [f"<{address}>"])
    words = display if _ATOMS.fullmatch(display) else '"' + re.sub(r'(["\\])', r"\\\1", display) + '"'
    return _folded([f"{name}:"], [*words.split(" "), f"<{address}>"])


def written_address(mailbox: str) -> str:
    """Return a mailbox as it is written in a header and told to a server.

    Some programs decode encoded words even in addresses, where they mean nothing (RFC 2047, section 5). So a local part
    that looks like one is quoted, each question mark by itself: the address stays the same, and holds no encoded word.
    """
    local, _, domain = mailbox.rpartition("@")
    return '"' + local.replace("?", r"\?") + f'"@{domain}' if _MARK in local else mailbox


def _is_plain(text: str) -> bool:
    is_text = text.isascii() and text.isprintable() and _MARK not in text
    return is_text and all(0 < len(word) <= _LONGEST_WORD for word in text.split(" "))


def _folded(lines: Sequence[str], words: Sequence[str]) -> str:
    """Return the lines with the words put behind the last one, each after a blank, in new lines where they are full."""
    lines = list(lines)
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _LINE:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _encoded_lines(text: str, taken: int) -> list[str]:
    """Return ``text`` as one encoded word a line, each after a blank; ``taken`` characters stand before the first.

    No character is split over two words, and the blanks of the text are inside of words: mail programs drop blanks
    between words. A word ends at a blank where there is one, for programs that keep them.
    """
    lines: list[str] = []
    held = b""
    for character in text:
        octets = character.encode()
        while len(held) + len(octets) > _room(0 if lines else taken):
            end = held.rfind(b" ") + 1 or len(held)
            lines.append(_encoded(held[:end]))
            held = held[end:]
        held += octets
    return [*lines, _encoded(held)]


def _room(taken: int) -> int:
    """Return how many bytes fit into an encoded word after ``taken`` characters and a blank."""
    longest = min(_ENCODED_WORD, _ENCODED_LINE - taken - 1)
    return (longest - len(_START) - len(_END)) // 4 * 3


def _encoded(octets: bytes) -> str:
    return f" {_START}{b64encode(octets).decode()}{_END}"
