"""An hour of everything at a modest rate: does the daemon's memory grow?

Leads and updates of leads; workflows that run at once, wait for seconds and for minutes, retry for ever failing
e-mails, write into the entities they run for and set off one another; a schedule every minute, a switch every ten
seconds. ``python -m benchmarks.soak --minutes 60 --rate 100`` prints a line a minute.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import uvloop
from bson import ObjectId
from loguru import logger
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.contender import Arena, Contender, Server, arena
from benchmarks.place import served
from benchmarks.workload import MATCHING, lead_documents

_TICK_S: Final = 0.1
_SAMPLE_S: Final = 60.0
_SWITCH_S: Final = 10.0
_KNOWN: Final = 20_000  # leads that may be updated: entities come and go, so that caches are filled and emptied
_SETTINGS: Final = {
    "REFLEXD_SMTP_HOST": "127.0.0.1",
    "REFLEXD_SMTP_PORT": "9",  # nobody listens: each attempt fails and is tried again
    "REFLEXD_SMTP_SECURITY": "none",
    "REFLEXD_SMTP_FROM": "crm@example.com",
}
_CREATED: Final = {"type": "entity_created", "entity_type": "lead"}
_FROM_SITE: Final = [{"field": "source", "operator": "equals", "value": MATCHING}]
_RETRY: Final = {"max_attempts": 4, "initial": 2, "multiplier": 2}
_MAIL: Final = {"_id": "soak", "name": "soak", "subject": "Hello {{ entity.name }}", "text": "Hello {{ entity.name }}"}
_SWITCHED: Final = ObjectId("bec000000000000000000002")
_WORKFLOWS: Final[list[dict[str, Any]]] = [
    {"name": "At once", "trigger": _CREATED, "conditions": _FROM_SITE, "actions": [{"type": "create_task"}]},
    {
        "name": "Seconds and minutes",
        "trigger": _CREATED,
        "conditions": _FROM_SITE,
        "actions": [
            {"type": "send_notification", "message": "Look at {{ entity.name }}", "delay": 3},
            {"type": "update_field", "field": "is_touched", "value": True, "delay": "5m"},
        ],
    },
    {
        "name": "Fails and is tried again",
        "trigger": _CREATED,
        "conditions": [{"field": "budget", "operator": "less_than", "value": 10_000}],
        "actions": [{"type": "send_email", "template": "soak", "retry": _RETRY, "delivery": "at_least_once"}],
    },
    {
        "_id": _SWITCHED,
        "name": "Updates",
        "trigger": {"type": "field_updated", "entity_type": "lead", "field": "stage"},
        "enrollment": {"cooldown": "1m"},
        "actions": [{"type": "update_field", "field": "seen", "value": True}],
    },
    {
        "name": "Set off by the others",
        "trigger": {"type": "field_updated", "entity_type": "lead", "field": "is_touched"},
        "actions": [{"type": "create_task"}],
    },
    {
        "name": "Every minute",
        "trigger": {"type": "scheduled", "entity_type": "lead", "schedule": "* * * * *"},
        "conditions": [{"field": "budget", "operator": "less_than", "value": 200}],
        "enrollment": "once",
        "actions": [{"type": "create_task"}],
    },
]


@dataclass(slots=True)
class SoakRun:
    """What a soak did, and the daemon's memory in MB at its start and after each minute."""

    minutes: float = 0.0
    changes: int = 0
    ended: int = 0
    rss_mb: list[float] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        """From the second minute, when everything that is made once is there, to the end."""
        return self.rss_mb[-1] - self.rss_mb[min(2, len(self.rss_mb) - 1)]

    @property
    def slope_mb_per_h(self) -> float:
        """The growth in the second half, by a straight line through it."""
        half = self.rss_mb[len(self.rss_mb) // 2 :]
        middle, mean = (len(half) - 1) / 2, sum(half) / len(half)
        spread = sum((number - middle) ** 2 for number in range(len(half)))
        return 60 * sum((number - middle) * (mb - mean) for number, mb in enumerate(half)) / spread if spread else 0.0


async def soak(server: Server, minutes: float, rate: float) -> SoakRun:
    """Return how the memory of a daemon went under ``rate`` changes a second, a third of them updates."""
    run = SoakRun()
    async with arena(server, Contender.DAEMON, None, settings=_SETTINGS) as stage:
        await stage.database["email_templates"].insert_one(dict(_MAIL))
        await stage.database["workflows"].insert_many([{**each, "status": "active"} for each in _WORKFLOWS])
        until = time.monotonic() + minutes * 60
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_write(stage.database, run, rate, until))
            tasks.create_task(_switch(stage.database, until))
            await _sample(stage, run, until)
    run.minutes = minutes
    return run


async def _write(database: AsyncDatabase[dict[str, Any]], run: SoakRun, rate: float, until: float) -> None:
    dice = random.Random(7)
    known: deque[ObjectId] = deque(maxlen=_KNOWN)
    inserts, updates = int(rate * _TICK_S * 2 / 3), int(rate * _TICK_S / 3)
    next_at = time.monotonic()
    while next_at < until:
        leads = lead_documents(inserts, 2)
        for lead in leads:
            lead["budget"] = dice.randrange(100, 100_000)
        await database["leads"].insert_many(leads, ordered=False)
        known.extend(lead["_id"] for lead in leads)
        stages = [UpdateOne({"_id": dice.choice(known)}, {"$set": {"stage": dice.random()}}) for _ in range(updates)]
        await database["leads"].bulk_write(stages, ordered=False)
        run.changes += inserts + updates
        next_at += _TICK_S
        await asyncio.sleep(max(next_at - time.monotonic(), 0))


async def _switch(database: AsyncDatabase[dict[str, Any]], until: float) -> None:
    while time.monotonic() + _SWITCH_S < until:
        for status in ("paused", "active"):
            await asyncio.sleep(_SWITCH_S / 2)
            await database["workflows"].update_one({"_id": _SWITCHED}, {"$set": {"status": status}})


async def _sample(stage: Arena, run: SoakRun, until: float) -> None:
    next_at = time.monotonic()
    while True:
        run.rss_mb.append(round(stage.rss_mb(), 1))
        run.ended = await stage.ended()
        own, mongod = stage.cpu_s(), stage.server.cpu_s()
        sys.stderr.write(
            f"  minute {len(run.rss_mb) - 1}: {run.rss_mb[-1]:.1f} MB, {run.changes:,} changes, {run.ended:,} ended, "
            f"CPU {own:.0f} s and {mongod:.0f} s\n"
        )
        sys.stderr.flush()
        next_at += _SAMPLE_S
        if next_at > until:
            return
        await asyncio.sleep(max(next_at - time.monotonic(), 0))


def main() -> None:
    """Soak, and print the samples."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=100.0, help="changes a second")
    arguments = parser.parse_args()
    logger.disable("daemon")
    with served() as server:
        run = uvloop.run(soak(server, arguments.minutes, arguments.rate))
    told = {**asdict(run), "growth_mb": run.growth_mb, "slope_mb_per_h": run.slope_mb_per_h}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
