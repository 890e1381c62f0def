"""Routes that read JSON strictly: a key named twice and NaN are refused by name."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator

from daemon.admin.identifier import LONGEST_ID
from daemon.admin.json_form import parse_json
from daemon.api.envelope import path_text

# A part of the path that is an id, as `daemon.admin.identifier` writes it.
PathId = Annotated[str, BeforeValidator(path_text), Path(min_length=1, max_length=LONGEST_ID)]


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route of the API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers a request."""
        answer = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await answer(_StrictRequest(request.scope, request.receive))

        return strictly
