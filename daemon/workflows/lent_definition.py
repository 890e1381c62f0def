"""The definition of a stored version that has none of its own: a switch defines nothing anew.

The newest version of a workflow always holds its definition whole. Where the next version defines the same, the one
before it gives its own up, so a workflow that is switched to and fro is stored once: a version without ``definition``
has that of the first one after it which holds one, or None.
"""

from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

Document = dict[str, Any]


async def with_definition(
    versions: AsyncCollection[Document],
    version: Document,
    fields: Mapping[str, Any] | None = None,
    session: AsyncClientSession | None = None,
) -> Document:
    """Return a stored version with its definition; raise the driver's error if the database does not answer.

    ``version`` is whole, or has ``_id`` and ``definition`` where it has one. ``fields``: what to read of a definition.
    """
    if "definition" in version:
        return version
    key = version["_id"]
    later = {"workflow_id": key["workflow_id"], "version": {"$gt": key["version"]}, "definition": {"$exists": True}}
    lender = await versions.find_one(later, fields or {"definition": 1}, sort=[("version", 1)], session=session)
    return {**version, "definition": (lender or {}).get("definition")}
