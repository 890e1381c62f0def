"""The errors that a route may answer with, for OpenAPI."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from daemon.api.problem import CONTENT_TYPE
from daemon.api.shape import Problem

_MEANING: Final[Mapping[int, str]] = {
    400: "The request makes no sense; `errors` names the field.",
    401: "A bearer token is needed.",
    403: "The token may only read, or another site's page sent the request.",
    404: "The thing does not exist.",
    409: "The present state forbids it; `detail` says why.",
    412: "It was changed since it was read.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    422: "It is no valid workflow; `errors` names the path into the document.",
    429: "Too many wrong tokens were sent, or another backtest is at work; see `Retry-After`.",
    503: "MongoDB does not answer in time, or too many requests are at work; see `Retry-After`.",
}
_EVERYWHERE: Final = (400, 401, 403, 408, 413, 415, 429, 503)

Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """Return the errors that every route may answer with, and ``statuses``."""
    return {
        status: {"description": _MEANING[status], "content": {CONTENT_TYPE: {"schema": _problem()}}}
        for status in sorted({*_EVERYWHERE, *statuses})
    }


@cache
def _problem() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema
