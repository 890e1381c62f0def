"""Put the dashboard together, and into the application: pages, login, live parts, static files."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from daemon.admin.administration import Administration
from daemon.admin.execution import Filter
from daemon.api.dashboard.command_route import command_router
from daemon.api.dashboard.feed import Feed
from daemon.api.dashboard.page import Pages
from daemon.api.dashboard.page_route import LISTED, page_router
from daemon.api.dashboard.visitor import Visitors, login_router
from daemon.api.session import Sessions
from daemon.api.wrong_token import WrongTokens

STREAMS: Final = ("/dashboard/live",)  # endless answers
_STATIC: Final = Path(__file__).parents[1] / "static"


class Dashboard:
    """The pages of one process. The guard uses ``visitors``; ``close`` ends the live parts."""

    def __init__(
        self,
        administration: Administration,
        sessions: Sessions,
        now: Callable[[], datetime],
        reasons: Callable[[], Awaitable[list[str]]],
        lag_s: Callable[[], float | None],
    ) -> None:
        """``now`` tells the server's time; ``reasons`` and ``lag_s`` are those of this process's health."""
        pages = Pages(now, has_login=sessions.are_needed)

        async def newest() -> str:
            executions, _ = await administration.executions.page(Filter(), LISTED)
            return pages.text("execution_rows.html", executions=executions)

        self._feed = Feed(newest)
        self.visitors = Visitors(sessions, pages)
        self.wrong_tokens = WrongTokens()
        self._routers = (
            login_router(sessions, pages, self.wrong_tokens),
            page_router(administration, pages, self._feed, reasons, lag_s),
            command_router(administration, pages),
        )

    def put_into(self, app: FastAPI) -> None:
        """Add the routes and the files that they need."""
        for router in self._routers:
            app.include_router(router)
        app.mount("/static", StaticFiles(directory=_STATIC))

    def close(self) -> None:
        """End the live parts, so that the server can stop."""
        self._feed.close()
