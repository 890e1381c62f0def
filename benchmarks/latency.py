"""How long after the CRM's insert a task exists, and how far from its due time a delayed step fires."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from benchmarks.burst import writing
from benchmarks.contender import Arena, Contender, Server, arena
from benchmarks.figures import Spread, spread_of
from benchmarks.observer import Observer, observing
from benchmarks.workload import Workload

_WARM_UP: Final = 40
_WARM_UP_RATE: Final = 100.0
_WITHIN_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class DelayRun:
    """Fired minus due: by the history's ``executed_at``, and by when the task was seen from outside."""

    executed: Spread
    seen: Spread


async def insert_to_task(server: Server, contender: Contender, leads: int, rate: float) -> Spread:
    """Return the time from the insert's acknowledgement to the sight of the task, at ``rate`` leads a second."""
    async with arena(server, contender, Workload()) as stage, observing(stage.database) as observer:
        await _insert(stage, observer, _WARM_UP, _WARM_UP_RATE)
        acknowledged = await _insert(stage, observer, leads, rate)
        return spread_of([(observer.seen[lead][0] - at) * 1_000 for lead, at in acknowledged])


async def due_to_fired(server: Server, contender: Contender, leads: int, rate: float, delay_s: float) -> DelayRun:
    """Return how late steps fire that are due ``delay_s`` after the change; negative is early."""
    workload = Workload(delay_s=delay_s)
    async with arena(server, contender, workload) as stage, observing(stage.database) as observer:
        await _insert(stage, observer, _WARM_UP, _WARM_UP_RATE)
        measured = {lead for lead, _ in await _insert(stage, observer, leads, rate)}
        executed: list[float] = []
        seen: list[float] = []
        fields = {"triggered_at": 1, "triggered_by_entity_id": 1, "actions_executed.executed_at": 1}
        async for execution in stage.database["workflow_executions"].find({}, fields):
            lead = str(execution["triggered_by_entity_id"])
            if lead in measured:
                due_at = execution["triggered_at"] + timedelta(seconds=delay_s)
                fired_at = execution["actions_executed"][0]["executed_at"]
                executed.append((fired_at - due_at).total_seconds() * 1_000)
                seen.append((observer.seen[lead][1] - due_at.timestamp()) * 1_000)
        return DelayRun(spread_of(executed), spread_of(seen))


async def _insert(stage: Arena, observer: Observer, leads: int, rate: float) -> list[tuple[str, float]]:
    """Insert leads, wait for their tasks; return the leads' ids and when each was acknowledged."""
    wanted = len(observer.seen) + leads
    async with writing(stage, leads, 1, rate) as writer:
        await writer.give_word()
        told = await writer.heard()
        await observer.has_seen(wanted, _WITHIN_S)
    return [(lead, at) for lead, at in told["acknowledged"]]
