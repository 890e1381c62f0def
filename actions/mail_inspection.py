"""Check the finished bytes of an e-mail before they are sent.

The check does not trust the code that made the message: a message that passes has exactly the expected header fields,
one mailbox in ``To``, and lines that every server takes over unchanged.
"""

import re
from collections.abc import Sequence
from typing import Final

from config.error import PermanentActionError
from config.found import found

_LONGEST_LINE: Final = 998  # RFC 5322, section 2.1.1
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_LOCAL: Final = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED: Final = r'"(?:[^"\\\x00-\x1f\x7f]|\\[!-~ ])+"'
_MAILBOX: Final = re.compile(rf"(?P<local>{_LOCAL}|{_QUOTED})@(?P<domain>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")


def inspect(content: bytes, names: Sequence[str], mailbox: str) -> None:
    """Return if ``content`` has the header fields ``names``, in this order, and ``To`` holds ``mailbox`` alone.

    Raise PermanentActionError otherwise, and for lines that are too long or not ended by CRLF.
    """
    breaks = content.count(b"\r\n")
    if not content.endswith(b"\r\n") or content.count(b"\r") != breaks or content.count(b"\n") != breaks:
        raise PermanentActionError("message: expected lines ended by CRLF, found a line break of another kind")
    lines = content.split(b"\r\n")
    if b"\0" in content or max(map(len, lines)) > _LONGEST_LINE:
        raise PermanentActionError(f"message: expected lines of at most {_LONGEST_LINE} characters other than NUL")
    fields = _fields(lines)
    if [name for name, _ in fields] != list(names):
        present = ", ".join(name for name, _ in fields)
        raise PermanentActionError(f"message: expected no header fields but our own, found {found(present)}")
    to = dict(fields)["To"]
    if _mailbox(to) != mailbox:
        raise PermanentActionError(f"To: expected the one mailbox of the recipient, found {found(to)}")


def _fields(lines: Sequence[bytes]) -> list[tuple[str, str]]:
    """Return name and unfolded value of every header field."""
    fields: list[tuple[str, str]] = []
    for line in lines[: lines.index(b"")]:
        text = line.decode("utf-8", "replace")
        if fields and text[0] in " \t":
            name, value = fields[-1]
            fields[-1] = name, value + text
        else:
            name, _, value = text.partition(":")
            fields.append((name, value))
    return fields


def _mailbox(value: str) -> str | None:
    """Return the mailbox that a field holds, or None if any mail program could read anything else in it."""
    match = _MAILBOX.fullmatch(value.strip(" "))
    if match is None or "=?" in value:
        return None
    local, domain = match.group("local", "domain")
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    return f"{local}@{domain}"
