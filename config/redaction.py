"""Remove credentials from text: no log line, error message or screen shows the password of a URI."""

import re
from typing import Final

# Up to the last @ before a blank, because a password may hold an unescaped @. The repetitions are bounded, so that a
# hostile text costs linear time.
_CREDENTIALS: Final = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,31}://)(?P<user>[^\s:/@]{0,256}):[^\s]{0,1024}@")


def redacted(text: str) -> str:
    """Return ``text`` with the password of every URI in it replaced: ``scheme://user:***@host``."""
    return _CREDENTIALS.sub(r"\g<scheme>\g<user>:***@", text) if "://" in text else text
