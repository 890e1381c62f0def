"""Saying what happened: one line per event of the catalogue."""

from typing import Any

from loguru import logger

from daemon.event import Event


def emit(event: Event, **fields: Any) -> None:
    """Log ``event`` with exactly the fields that its catalogue entry names, at its level.

    Nothing is checked here: a test holds every call in the source to the catalogue. Ids may be of any BSON type,
    ``error`` an exception (its stack goes into the line) or a text.
    """
    logger.bind(event=event.value, fields=fields).opt(depth=1).log(event.level.value, event.meaning)
