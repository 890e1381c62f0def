"""Read the form that a page sent: small, URL-encoded, each name once."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from daemon.admin.problem import Malformed

_MOST_FIELDS: Final = 20


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of the body; raise Malformed where it is no form."""
    try:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise Malformed("body", f"expected a form of at most {_MOST_FIELDS} fields") from error


def way_back(form: dict[str, str]) -> str:
    """Return the page that a form was sent from: a path of ours, whatever the form says."""
    back = form.get("back", "/")
    is_ours = back == "/" or back.startswith(("/?", "/dashboard/"))
    return back if is_ours and back.isprintable() and "\\" not in back else "/"
