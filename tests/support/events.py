"""What the daemons of this process say, as it is said: tests wait on it as operators' alerts do.

These are the lines of the catalogue (``daemon/event.py``), through the logger. Of what comes more than fifty times a
second some are left out: of a crowd the database is asked.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from daemon.event import Event
from tests.support.poll import REPEAT_S

if TYPE_CHECKING:
    from loguru import Message

_BY_NAME: Final = {event.value: event for event in Event}


class Events:
    """All events since it began to listen. ``next`` returns every one once."""

    def __init__(self) -> None:
        self._said: list[tuple[Event, dict[str, Any]]] = []
        self._returned: set[int] = set()
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def hear(self, message: "Message") -> None:
        """Take down a line; the logger calls it from any thread."""
        extra = message.record["extra"]
        if "event" in extra:
            self._said.append((_BY_NAME[extra["event"]], dict(extra["fields"])))
            self._loop.call_soon_threadsafe(self._news.set)

    def of(self, event: Event, **matching: Any) -> list[dict[str, Any]]:
        """Return the fields of every such event so far."""
        return [fields for _, fields in self._find(event, matching)]

    async def next(self, event: Event, within_s: float = REPEAT_S, **matching: Any) -> dict[str, Any]:
        """Return the fields of the first such event that was not returned before, as soon as there is one."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._news.clear()
                    for place, fields in self._find(event, matching):
                        if place not in self._returned:
                            self._returned.add(place)
                            return fields
                    await self._news.wait()
        except TimeoutError as error:
            raise AssertionError(f"{event} {matching} was not said within {within_s} s") from error

    def _find(self, event: Event, matching: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        for place, (each, fields) in enumerate(self._said):
            if each is event and all(fields.get(name) == value for name, value in matching.items()):
                yield place, fields


@contextmanager
def heard_events() -> Iterator[Events]:
    """Yield the events from now on; to be used within the event loop that waits for them."""
    events = Events()
    sink = logger.add(events.hear, level="DEBUG", format=lambda _: "")
    try:
        yield events
    finally:
        with suppress(ValueError):  # a test has set up logging anew
            logger.remove(sink)
