"""Queue jobs in memory, and choose the step that starts next.

Due steps of one entity start by (due_at, seq), one at a time; a step that waits for a delay, a retry or a hold
does not block the others of its entity (promise 3). A lane is direct (the reader in this process hands over what it
commits) or polling. It becomes direct once a poll that began after commit S has found nothing due that memory lacks;
from then on it takes what has a seq above S. The jobs that a poll prefers, for fairness among workflows, go before the
others, and with them all that is due earlier of their entities, so that the steps of an entity keep their order.
"""

import heapq
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId

from daemon.executions.job import Job, Key

AHEAD: Final = timedelta(seconds=5)  # how far ahead of their time steps are kept in memory
_Entry = tuple[bool, datetime, int, int, Job]  # whether it is in the queue's own order, due at, seq, tie-breaker, job


class Lanes:
    """The jobs of the lanes owned here. One event loop only; nothing here waits."""

    def __init__(self, *, capacity: int) -> None:
        """``capacity``: how many jobs are kept in memory before lanes fall back to polling."""
        self._capacity = capacity
        self._jobs: dict[Key, Job] = {}
        self._heap: list[_Entry] = []
        self._busy: set[tuple[str, Any]] = set()
        self._blocked: dict[tuple[str, Any], list[_Entry]] = {}
        self._running: dict[Key, Job] = {}
        self._owned: set[int] = set()
        self._direct: set[int] = set()
        self._is_handed_over = False  # whether the reader is in this process
        self._aside: dict[Key, Job] = {}
        self._arriving: dict[int, list[Job]] = {}
        self._forgotten: set[int] = set()  # lanes given back while a poll is under way: the next one is for them
        self._gone: set[Key] | None = None  # released while a poll is under way: it may still have seen them
        self._ties = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def is_empty(self, all_lanes: int) -> bool:
        """Return whether no execution is due in any lane.

        That is known only here and only while all lanes are owned and direct: then memory holds whatever is due.
        """
        return not self._jobs and not self._aside and not self._running and len(self._direct) == all_lanes

    @property
    def known(self) -> int:
        """How many jobs a poll may find again: those in memory and those set aside."""
        return len(self._jobs) + len(self._aside)

    @property
    def is_full(self) -> bool:
        """Whether handing over more would make lanes fall back to polling."""
        return len(self._jobs) >= self._capacity

    @property
    def owned(self) -> frozenset[int]:
        """The lanes owned here."""
        return frozenset(self._owned)

    @property
    def polling(self) -> frozenset[int]:
        """The owned lanes whose due steps may be missing in memory."""
        return frozenset(self._owned - self._direct)

    def open(self, lane: int) -> None:
        """Own a lane; it polls until a poll has caught up."""
        self._owned.add(lane)
        self._direct.discard(lane)

    def retire(self, lane: int) -> None:
        """Start nothing new of a lane; running steps may end."""
        self._owned.discard(lane)
        self._direct.discard(lane)
        self._arriving.pop(lane, None)

    def close(self, lane: int) -> None:
        """Forget a lane and everything in it."""
        self.retire(lane)
        for jobs in (self._jobs, self._aside):
            for key in [key for key, job in jobs.items() if job.lane == lane]:
                del jobs[key]

    def is_idle(self, lane: int) -> bool:
        """Return whether no step of the lane is running."""
        return not any(job.lane == lane for job in self._running.values())

    def begin_hand_over(self) -> None:
        """Let lanes become direct from the next poll on: the reader in this process hands over what it commits."""
        self._is_handed_over = True
        self._arriving.clear()

    def end_hand_over(self) -> None:
        """Let every lane poll: another reader's commits are not handed over here."""
        self._is_handed_over = False
        self.make_polling()

    def make_polling(self) -> None:
        """Let every lane poll until the next poll has caught up."""
        self._direct.clear()
        self._arriving.clear()

    def hand_over(self, jobs: Iterable[Job]) -> None:
        """Take committed jobs of the reader in this process, in order; polling lanes find theirs by themselves."""
        for job in jobs:
            if job.lane in self._arriving:
                self._arriving[job.lane].append(job)
            elif job.lane in self._direct:
                if self.is_full:
                    self._direct.discard(job.lane)
                else:
                    self.add(job)

    def begin_poll(self) -> None:
        """Note that a poll starts: jobs handed over to polling lanes meanwhile are kept aside."""
        self._arriving = {lane: [] for lane in self.polling}
        self._gone = set()
        self._forgotten.clear()

    def end_poll(self, jobs: Iterable[Job], *, preferred: Iterable[Job] = (), is_complete: bool) -> None:
        """Take the jobs that a poll found; lanes it caught up with become direct if the reader is in this process.

        ``preferred`` are due by now, and among them is all that is due earlier of their entities.
        """
        gone, self._gone = self._gone or (), None

        def may_come(job: Job) -> bool:
            return job.lane in self._owned and job.lane not in self._forgotten and job.key not in gone

        for job in filter(may_come, preferred):
            self._prefer(job)
        for job in filter(may_come, jobs):
            self.add(job)
        arrived, self._arriving = self._arriving, {}
        for lane, late in arrived.items():
            if is_complete and self._is_handed_over and lane in self._owned and not self.is_full:
                self._direct.add(lane)
                self.hand_over(late)

    def add(self, job: Job) -> None:
        """Queue a job, unless it is in memory already."""
        if not self.has(job.key):
            self._jobs[job.key] = job
            self._push(job, is_in_order=True)

    def _prefer(self, job: Job) -> None:
        """Let a job go before those that are in the queue's order; where it is in memory, its place there is void."""
        if job.key not in self._aside and job.key not in self._running:
            self._push(self._jobs.setdefault(job.key, job), is_in_order=False)

    def _push(self, job: Job, *, is_in_order: bool) -> None:
        self._ties += 1
        heapq.heappush(self._heap, (is_in_order, job.due_at, job.seq, self._ties, job))

    def has(self, key: Key) -> bool:
        """Return whether a job is in memory: queued, running or set aside."""
        return key in self._jobs or key in self._aside

    @property
    def running(self) -> set[ObjectId]:
        """The executions with a job that was taken and is not released yet, even if its lane is closed."""
        return {job.execution_id for job in self._running.values()}

    def next_due_at(self) -> datetime | None:
        """Return when the earliest queued job is due, None if there is none."""
        return self._heap[0][1] if self._heap else None

    def take(self, now: datetime, limit: int) -> list[Job]:
        """Return up to ``limit`` due jobs of different entities, in order; each entity is busy until ``release``."""
        taken: list[Job] = []
        while self._heap and len(taken) < limit and self._heap[0][1] <= now:
            entry = heapq.heappop(self._heap)
            job = entry[-1]
            is_known = self._jobs.get(job.key) is job
            if not is_known or job.lane not in self._owned:
                if is_known:
                    del self._jobs[job.key]
                self._unblock(job.entity_key)
                continue
            if job.entity_key in self._busy:
                heapq.heappush(self._blocked.setdefault(job.entity_key, []), entry)
                continue
            self._busy.add(job.entity_key)
            self._running[job.key] = job
            taken.append(job)
        return taken

    def release(self, job: Job, *then: Job) -> None:
        """Forget a job that was taken, queue what follows it, and let the next step of its entity start."""
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        if self._gone is not None:
            self._gone.add(job.key)
        for following in then:
            if following.lane in self._owned:
                self.add(following)
        self._let_go(job)

    def give_back(self, job: Job) -> None:
        """Release a job that was taken and may not start, and forget the queue of its lane.

        A poll brings all jobs back in order: later ones must not overtake it.
        """
        self._direct.discard(job.lane)
        self._arriving.pop(job.lane, None)
        self._forgotten.add(job.lane)
        for key in [key for key, other in self._jobs.items() if other.lane == job.lane and key not in self._running]:
            del self._jobs[key]
        self.release(job)

    def _let_go(self, job: Job) -> None:
        """Make the entity of a running job free for its next step."""
        if self._running.pop(job.key, None) is not None:
            self._busy.discard(job.entity_key)
            self._unblock(job.entity_key)

    def set_aside(self, job: Job) -> None:
        """Remember a job that was taken and cannot run here, so that no poll finds it again; its entity goes on."""
        if self._jobs.get(job.key) is job:
            self._aside[job.key] = self._jobs.pop(job.key)
        self._let_go(job)

    def _unblock(self, entity: tuple[str, Any]) -> None:
        """Let the first blocked step of an entity compete again."""
        blocked = self._blocked.get(entity)
        if blocked:
            heapq.heappush(self._heap, heapq.heappop(blocked))
            if not blocked:
                del self._blocked[entity]
