"""Read strictly where a request was sent to and which site it comes from."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

# none: a person typed the address, or chose a bookmark. Anything else is foreign, also same-site (another port of this
# host, or a sister domain) and values that no browser sends.
_OUR_SITES: Final = frozenset({"same-origin", "none"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_LAST_PORT: Final = 65_535


def host_of(request: Request) -> str | None:
    """Return the host of the one Host header, in small letters, without its port; None where it is none."""
    given: Sequence[str] = request.headers.getlist("host")
    found = _HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
    if found is None or int(found[2] or "80") not in range(1, _LAST_PORT + 1):
        return None
    return found[1]


def is_loopback(host: str | None) -> bool:
    """Return whether the host is a loopback name: a foreign name that resolves to us belongs to a foreign page."""
    return host in _LOOPBACK


def is_from_another_site(request: Request, *, is_ours_proven: bool = False) -> bool:
    """Return whether a page of another origin had the browser send a request.

    Browsers name the site in Sec-Fetch-Site, old ones in Origin or Referer; programs send none of these.
    ``is_ours_proven``: the headers must prove that the request comes from our pages, because a cookie counts.
    """
    site, origin, referer = (_said(request, name) for name in ("sec-fetch-site", "origin", "referer"))
    if site is not None and site not in _OUR_SITES:
        return True
    if origin is not None:
        return _place_of(origin) != request.headers.get("host", "").lower()
    if is_ours_proven:
        return site != "same-origin"
    is_vouched_for = site in _OUR_SITES or referer is None
    return not is_vouched_for and _place_of(referer or "") != request.headers.get("host", "").lower()


def _said(request: Request, name: str) -> str | None:
    """Return what the header of this name says, None where there is none; said twice it says nothing of use."""
    said: Sequence[str] = request.headers.getlist(name)
    return None if not said else said[0] if len(said) == 1 else ""


def _place_of(origin: str) -> str:
    """Return host and port as a browser writes them into the Host header too."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
