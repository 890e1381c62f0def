"""Show a mail server's answers without the password, which they may hold in any spelling.

Of answers to a login only the numbers are shown. Other texts are shown, because they say why an address or a message is
refused. A text that resembles the password is left out as a whole: removing one spelling would miss the next one.
"""

import re
import unicodedata
from base64 import b64encode
from typing import Final
from urllib.parse import quote

from aiosmtplib import SMTPException, SMTPResponseException

_SHOWN_CHARACTERS: Final = 300
_STATUS: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")  # RFC 3463
_NOT_SHOWN: Final = "(text not shown)"


def told_of(error: Exception, password: str | None, *, is_login: bool) -> str:
    """Return the text of an error of the conversation, on one line, without the password."""
    if isinstance(error, SMTPResponseException):
        return f"answered {_answer(error, password, is_login)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = str(error.message if isinstance(error, SMTPException) else error)
    if is_login and type(error) is not SMTPException:  # plain SMTPExceptions hold the library's own text
        return "the login broke off"
    return _on_one_line(_NOT_SHOWN if _resembles(said, password) else said)


def _answer(error: SMTPResponseException, password: str | None, is_login: bool) -> str:
    message = str(error.message)
    if not is_login and not _resembles(message, password):
        return _on_one_line(f"{error.code} {message}")
    status = _STATUS.match(message)
    return f"{error.code} {status[1] if status is not None else _NOT_SHOWN}"


def _resembles(text: str, password: str | None) -> bool:
    """Return whether ``text`` holds the password in some spelling: other case, odd blanks, reversed, hex, base64."""
    if not password:
        return False
    said = _skeleton(text)
    return password in text or any(spelled in said for spelled in _spellings(password) if spelled)


def _spellings(password: str) -> set[str]:
    spelled: set[str] = set()
    for secret in (password, password[::-1]):
        octets = secret.encode("utf-8", "surrogatepass")
        spelled |= {secret, octets.hex(), quote(octets)}
        for before in range(3):  # the bytes before it shift the groups of base64
            characters = b64encode(b"\0" * before + octets).decode()
            spelled.add(characters[(8 * before + 5) // 6 : (8 * (before + len(octets))) // 6])
    return set(map(_skeleton, spelled))


def _skeleton(text: str) -> str:
    """Return the letters and digits of ``text`` alone, all of one case."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def _on_one_line(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:_SHOWN_CHARACTERS]
