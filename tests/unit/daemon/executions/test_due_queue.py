"""A poll of the queue beside other tasks of the event loop."""

import asyncio
from typing import Any

from daemon.executions.due_queue import DueQueue
from tests.support.jobs import NOW, execution_of

MANY = 10_000  # about 80 ms of processor time


class Executions:
    """A queue in MongoDB that answers at once."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.documents = documents

    def find(self, query: object, fields: object) -> "Executions":
        return self

    def sort(self, order: object) -> "Executions":
        return self

    def limit(self, count: int) -> "Executions":
        return self

    def batch_size(self, count: int) -> "Executions":
        return self

    async def to_list(self) -> list[dict[str, Any]]:
        return self.documents


async def test_the_loop_turns_while_many_executions_become_jobs() -> None:
    executions: Any = Executions([execution_of(seq=number) for number in range(MANY)])
    nobody: Any = None
    queue = DueQueue(executions, nobody, nobody, nobody, nobody)
    poll = asyncio.create_task(queue.find([0], (None, NOW), MANY, []))
    turns = 0
    while not poll.done():
        await asyncio.sleep(0)
        turns += 1
    jobs, count = poll.result()
    assert ([job.seq for job in jobs], count) == (list(range(MANY)), MANY)
    assert turns >= 4
