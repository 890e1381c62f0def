"""The Link header that leads to the next page of a list (RFC 8288)."""

from urllib.parse import urlencode


def next_page(path: str, **query: str | int | None) -> dict[str, str]:
    """Return ``Link: <path?query>; rel="next"``; nothing where the last of ``query``, the cursor, is None."""
    *_, cursor = query.values()
    if cursor is None:
        return {}
    given = {name: value for name, value in query.items() if value is not None}
    return {"Link": f'<{path}?{urlencode(given)}>; rel="next"'}
