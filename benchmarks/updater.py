"""The CRM's side, a process of its own: it updates single leads, one write after another in each of its threads.

Orders: ``{uri, database, seconds, threads, rate}``; ``rate`` in updates a second of all threads together, null for as
fast as they are acknowledged. Tells ``{updates, took_s, latencies_ms: [...]}``.
"""

import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection

from benchmarks.child import orders, say, wait_for_word


def main() -> None:
    """Update the leads that are there."""
    asked = orders()
    client: MongoClient[dict[str, Any]]
    with MongoClient(asked["uri"]) as client:
        leads: Collection[dict[str, Any]] = client[asked["database"]].get_collection(
            "leads", write_concern=WriteConcern(w="majority")
        )
        ids = [lead["_id"] for lead in leads.find({}, {"_id": 1})]
        say(ready=True)
        wait_for_word()
        began = time.monotonic()
        with ThreadPoolExecutor(asked["threads"]) as pool:
            each = None if asked["rate"] is None else asked["threads"] / asked["rate"]
            runs = [
                pool.submit(_update, leads, ids, number, began + asked["seconds"], each)
                for number in range(asked["threads"])
            ]
            latencies = [latency for run in runs for latency in run.result()]
        say(updates=len(latencies), took_s=time.monotonic() - began, latencies_ms=latencies)


def _update(
    leads: Collection[dict[str, Any]], ids: list[Any], seed: int, until: float, every_s: float | None
) -> list[float]:
    """Return how long each update took, in milliseconds."""
    dice = random.Random(seed)
    latencies = []
    began = time.monotonic()
    for number in itertools.count():
        if every_s is not None:
            time.sleep(max(began + number * every_s - time.monotonic(), 0))
        start = time.monotonic()
        if start >= until:
            break
        leads.update_one({"_id": dice.choice(ids)}, {"$set": {"stage": f"at {seed}-{number}"}})
        latencies.append((time.monotonic() - start) * 1e3)
    return latencies


if __name__ == "__main__":
    main()
