"""The settings, the MongoDB and the log of the demo.

Without MONGODB_URI the demo has a directory of its own, ``demo`` inside that of `make run`, and starts empty every
time. With MONGODB_URI it uses the configured database, which has to be empty: sample data never mixes with real leads.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from config.error import ConfigError
from config.log import LogFormat, configure_logging
from config.settings import Settings
from config.version import product_version
from daemon.mongo.client import open_client
from daemon.mongo.embedded import with_mongodb
from daemon.mongo.initialise import initialise
from daemon.mongo.private_directory import make_private
from daemon.mongo.topology import check_server

TIME_SCALE: Final = 20.0  # the minute of the first preset takes three seconds
# The demo plays a daemon that was down since yesterday; a day may have 25 hours.
SCHEDULE_GRACE_HOURS: Final = 26.0


def demo_settings(settings: Settings) -> Settings:
    """Return the settings of the demo's daemon: delays are shortened unless REFLEXD_TIME_SCALE says otherwise."""
    changes: dict[str, Any] = {
        "embedded_directory": settings.embedded_directory / "demo",
        "schedule_grace_hours": SCHEDULE_GRACE_HOURS,
    }
    if "time_scale" not in settings.model_fields_set:
        changes["time_scale"] = TIME_SCALE
    return settings.model_copy(update=changes)


@asynccontextmanager
async def prepared_database(settings: Settings) -> AsyncIterator[Settings]:
    """Yield settings that name a MongoDB with a database that is empty but for indexes, images and presets.

    Raises ConfigError if the configured database is not empty.
    """
    async with with_mongodb(settings) as connected:
        async with open_client(connected, "demo", has_time_limit=False) as client:
            database = client[connected.database_name]
            await check_server(database)
            if settings.mongodb_uri is None:
                await client.drop_database(database.name)
            elif found := await _filled(database):
                raise ConfigError(
                    f"MONGODB_DATABASE: expected an empty database for the demo, found documents in "
                    f"{', '.join(found)} of '{database.name}'; name another one, or leave MONGODB_URI out "
                    f"to use a MongoDB of the demo's own"
                )
            await initialise(database, connected)
        yield connected


async def _filled(database: AsyncDatabase[dict[str, Any]]) -> list[str]:
    """Return the names of the collections that have documents."""
    names = [name for name in await database.list_collection_names() if not name.startswith("system.")]
    return sorted([name for name in names if await database[name].find_one({}, {"_id": 1}) is not None])


@contextmanager
def log_in_file(settings: Settings, path: Path) -> Iterator[None]:
    """Send the daemon's log lines into a file meanwhile: on the screen they would hide the board."""
    make_private(path.parent)
    with path.open("a", encoding="utf-8") as stream:
        configure_logging(LogFormat.JSON, settings.log_level, product_version(), stream)
        try:
            yield
        finally:
            configure_logging(settings.log_format, settings.log_level, product_version())
