"""The CRM's side of a mixed load, a process of its own: leads are inserted, and half of them updated soon afterwards.

Orders: ``{uri, database, count}``; as fast as the writes are acknowledged. Tells ``{began, ended}``.
"""

import time
from typing import Any, Final

from pymongo import MongoClient, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database

from benchmarks.child import orders, say, wait_for_word
from benchmarks.workload import lead_documents

_MAJORITY: Final = WriteConcern(w="majority")
BATCH: Final = 100  # leads that are inserted, and updated, at once


def main() -> None:
    """Insert and update the leads."""
    asked = orders()
    leads = lead_documents(asked["count"], 2)
    client: MongoClient[dict[str, Any]]
    with MongoClient(asked["uri"]) as client:
        database: Database[dict[str, Any]] = client[asked["database"]]
        collection: Collection[dict[str, Any]] = database.get_collection("leads", write_concern=_MAJORITY)
        collection.find_one()
        say(ready=True)
        wait_for_word()
        began = time.monotonic()
        for start in range(0, len(leads), BATCH):
            some = leads[start : start + BATCH]
            collection.insert_many(some, ordered=False)
            changed = [UpdateOne({"_id": lead["_id"]}, {"$set": {"stage": "qualified"}}) for lead in some[::2]]
            collection.bulk_write(changed, ordered=False)
        say(began=began, ended=time.monotonic())


if __name__ == "__main__":
    main()
