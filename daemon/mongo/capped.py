"""The capped collection through which replicas signal each other."""

from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

CAPPED_BYTES: Final = 64 * 1024


async def create_capped(database: AsyncDatabase[dict[str, Any]], name: str) -> None:
    """Create the collection of announcements; raise the driver's error, also where there is one of that name."""
    await database.create_collection(name, check_exists=False, capped=True, size=CAPPED_BYTES)
