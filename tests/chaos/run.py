"""A seeded chaos run: three nodes, two replicas, a CRM that writes, and everything that can go wrong meanwhile.

``python -m tests.chaos.run --seconds 60 --seed 7`` prints the seed, what was done and what broke, and ends with 1 if
an invariant did not hold. The seed decides which faults come, whom they hit and for how long; not how the machine
interleaves them.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from pymongo import AsyncMongoClient

from daemon.mongo.codec import CODEC
from tests.chaos.fault import Faults
from tests.support.invariants import violations
from tests.support.load import WELCOME, Load, deliveries, mail_settings, prepared_load
from tests.support.past import past_since
from tests.support.poll import eventually
from tests.support.prober import Prober, probing
from tests.support.replica import Replica, replicas_ended
from tests.support.replica_set import running_replica_set
from tests.support.smtp import MailServer, mail_server

LEASE_S: Final = 2.0
PACE_S: Final = 0.04  # between leads
LEADS: Final = 40  # for each fault
QUIET_S: Final = (0.2, 1.5)  # between faults
REST_S: Final = 120.0  # until everything has ended, at the most


@dataclass
class Report:
    """What a run did, and what did not hold."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"seed {self.seed}"]
        lines += [f"  {count:6} {name}" for name, count in self.counts.items()]
        lines += [f"  {count:6} times: {name}" for name, count in sorted(self.faults.items())]
        lines += [f"  BROKEN {breach}" for breach in self.breaches[:50]]
        return "\n".join([*lines, f"  {len(self.breaches) or 'no'} invariants broken"])


async def chaos(seconds: float, seed: int, directory: Path, least: int = 0) -> Report:
    """Run for about ``seconds`` and ``least`` faults, let everything come to rest, and report."""
    report = Report(seed)
    async with mail_server() as mails, running_replica_set(directory, through_proxies=True) as replica_set:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            replica_set.uri, w="majority", tz_aware=True, serverSelectionTimeoutMS=2_000, timeoutMS=5_000
        )
        database = client.get_database("chaos", codec_options=CODEC)
        load = await prepared_load(database, with_mail=True)
        settings = {"lease_s": LEASE_S, **mail_settings(mails), "smtp_timeout_s": 3}
        replicas = [
            Replica(replica_set.uri, database.name, directory, name, is_watched=True, **settings)
            for name in ("replica0", "replica1")
        ]
        async with client, replicas_ended(*replicas), probing(*replicas) as prober:
            for replica in replicas:
                await replica.start()
            await eventually(lambda: database.workflow_state.find_one({"_id": "checkpoint"}))
            load.witnesses += [*replicas, prober]
            faults = Faults(Random(seed), replica_set, replicas, mails, LEASE_S)
            await _break(faults, Random(seed), load, seconds, least, report)
            await replica_set.healthy()
            for replica in replicas:
                if not replica.is_alive:
                    replica.spawn()
            await _judge(load, mails, replicas, prober, report)
    return report


async def _break(faults: Faults, random: Random, load: Load, seconds: float, least: int, report: Report) -> None:
    """Write leads, and let one fault after the other happen."""
    until = time.monotonic() + seconds
    names = sorted(faults.by_name)
    while time.monotonic() < until or report.faults.total() < least:
        name = random.choice(names)
        report.faults[name] += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(_write(load))
            await faults.by_name[name]()
            await asyncio.sleep(random.uniform(*QUIET_S))


async def _write(load: Load) -> None:
    """Write the leads of one fault: however long it takes, no more than what can be done in time afterwards."""
    for _ in range(LEADS):
        await load.write(1)
        await asyncio.sleep(PACE_S)


async def _judge(load: Load, mails: MailServer, replicas: Sequence[Replica], prober: Prober, report: Report) -> None:
    """Wait until everything has ended, and ask all invariants."""
    database = load.database
    began = time.monotonic()
    await _reached(load.done(REST_S), f"I2: work did not end within {REST_S} s", report)
    await _reached(prober.all_ready(), "I8: a replica does not say that it is ready", report)
    for replica in replicas:
        await _reached(eventually(replica.leaks_no_socket), f"I7: {replica.name} keeps sockets", report)
    past = await past_since(database, load.since)
    expected = replace(load.expected(mails), clock_slack=timedelta(milliseconds=150))
    report.breaches += await violations(database, load.since, expected)
    once = [str(run["_id"]) async for run in database.workflow_executions.find({"workflow_id": WELCOME}, {"_id": 1})]
    times = Counter(deliveries(mails))
    report.breaches += [f"I5: {run} was mailed {times[f'{run}:0']} times" for run in once if times[f"{run}:0"] > 1]
    for replica in replicas:
        failed = replica.lines("service.failed") + replica.lines("action.crashed")
        report.breaches += [f"I7: {replica.name} said {line}" for line in failed]
    report.counts = {
        "leads": len(load.leads),
        "checkpoints": past.checkpoints,
        "moves of executions": past.moves,
        "executions": await database.workflow_executions.count_documents({}),
        "tasks": await database.tasks.count_documents({}),
        "notifications": await database.notifications.count_documents({}),
        "mails": len(mails.messages),
        "entities written": await database.leads.count_documents({"is_touched": True}),
        "uncertain": await database.workflow_executions.count_documents({"actions_executed.status": "uncertain"}),
        "late results dropped": sum(len(replica.lines("executor.lease_lost")) for replica in replicas),
        "answers of health": len(prober.answers),
        "answers that say not ready": sum(answer.status == 503 for answer in prober.answers),
        "longest stall in ms (0: none of 50)": round(
            1000 * max((stall.length_s for each in replicas for stall in each.stalls()), default=0)
        ),
        "seconds to come to rest": round(time.monotonic() - began),
    }


async def _reached(state: Coroutine[Any, Any, object], otherwise: str, report: Report) -> None:
    """Wait for a state, and report its absence as a breach."""
    try:
        await state
    except AssertionError as error:
        report.breaches.append(f"{otherwise}: {error}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", type=Path, default=None, help="keep the logs in this directory")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else Random().randrange(1_000_000)
    sys.stdout.write(f"seed {seed}, {arguments.seconds:g} s\n")
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        kept: Path = arguments.keep or Path(directory)
        kept.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(chaos(arguments.seconds, seed, kept))
    sys.stdout.write(report.text() + "\n")
    return 1 if report.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
