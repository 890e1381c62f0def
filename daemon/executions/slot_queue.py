"""Queue the steps that wait for slots: one line for each workflow and set of slots, and the lines take turns.

So a slow host of one workflow delays neither other workflows nor steps of the same workflow that use another host. A
limited number of steps of a workflow wait in memory; the rest stays in MongoDB until half of them have left. Pure: the
caller passes the time, in seconds of a monotonic clock.
"""

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

from daemon.executions.job import Job
from daemon.executions.slots import Key, Slots, Taken

MOST_WAITING: Final = 1_000  # steps of one workflow
_Keys = tuple[Key, ...]  # the slots that all jobs of a line need; the first key is that of their workflow


class SlotQueue:
    """Keeps jobs that were taken from the lanes until there is a slot for them."""

    def __init__(self, slots: Slots, on_free: Callable[[], None] = lambda: None) -> None:
        """``on_free`` is called when slots were given back."""
        self._slots = slots
        self._on_free = on_free
        self._lines: OrderedDict[_Keys, deque[Job]] = OrderedDict()  # the first line has the next turn
        self._counts: Counter[Key] = Counter()  # of the jobs of a workflow
        self._saturated: dict[Key, Any] = {}
        self._next_at = math.inf
        self._seen = 0  # the count of released slots at the last check
        self._has_new = False

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return self._counts.total()

    @property
    def saturated(self) -> list[Any]:
        """The ids of the workflows that may have no more steps waiting here."""
        return list(self._saturated.values())

    @property
    def next_at(self) -> float:
        """The time at which the next job may get a slot even if none is released."""
        return self._next_at if self._lines and not self._slots.is_full else math.inf

    def put(self, job: Job, keys: _Keys) -> bool:
        """Let a job wait for slots of ``keys``; return False where too many of its workflow wait.

        After a refusal all further jobs of the workflow are refused until half of its waiting jobs have left, so that
        they return in order.
        """
        workflow = keys[0]
        if self._counts[workflow] >= MOST_WAITING:
            self._saturated[workflow] = job.workflow_id
        if workflow in self._saturated:
            return False
        self._lines.setdefault(keys, deque()).append(job)
        self._counts[workflow] += 1
        self._has_new = True
        return True

    def has_turn(self, now: float) -> bool:
        """Return whether a job may get a slot by now."""
        is_changed = self._has_new or self._seen != self._slots.released or now >= self._next_at
        return is_changed and bool(self._lines) and not self._slots.is_full

    def next(self, now: float) -> list[tuple[Job, Taken]]:
        """Return the jobs whose turn it is, each with its slots: one of each line, as long as there are slots.

        A line that finds no slot keeps its place, before those that had a turn.
        """
        if not self.has_turn(now):
            return []
        self._has_new, self._seen, self._next_at = False, self._slots.released, math.inf
        turns: list[tuple[Job, Taken]] = []
        passed_over: OrderedDict[_Keys, deque[Job]] = OrderedDict()
        while self._lines and not self._slots.is_full:
            keys, line = self._lines.popitem(last=False)
            taken = self._slots.take(keys, now)
            if not isinstance(taken, Taken):
                passed_over[keys] = line
                self._next_at = min(self._next_at, taken)
                continue
            turns.append((line.popleft(), taken))
            self._count_out(keys[0], 1)
            if line:
                self._lines[keys] = line
        self._lines = OrderedDict([*passed_over.items(), *self._lines.items()])
        return turns

    def take(self, keys: _Keys, now: float) -> Taken | None:
        """Return slots for a job that has waited for something else; None where it has to wait for them, too."""
        taken = self._slots.take(keys, now)
        return taken if isinstance(taken, Taken) else None

    def release(self, taken: Taken, *, has_begun: bool = True) -> None:
        """Take slots back; those of a step that has not begun count for nothing."""
        self._slots.release(taken, has_begun=has_begun)
        self._on_free()

    def drop(self, lane: int | None = None) -> list[Job]:
        """Forget the jobs of a lane, or all of them, and return them."""
        dropped: list[Job] = []
        for keys, line in list(self._lines.items()):
            gone = [job for job in line if lane is None or job.lane == lane]
            kept = deque(job for job in line if lane is not None and job.lane != lane)
            self._count_out(keys[0], len(gone))
            dropped += gone
            if kept:
                self._lines[keys] = kept
            else:
                del self._lines[keys]
        return dropped

    def _count_out(self, workflow: Key, jobs: int) -> None:
        self._counts[workflow] -= jobs
        if self._counts[workflow] <= MOST_WAITING // 2:
            self._saturated.pop(workflow, None)
        if not self._counts[workflow]:
            del self._counts[workflow]
