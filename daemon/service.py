"""The contract of services, the supervised task, and the group of services.

``start()`` returns once the service runs; ``stop()`` waits, and tolerates not-started and twice. A task that
fails ends the daemon, with the reason in the log: ``tasks`` lists all tasks of a service, and its starter watches them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from daemon.event import Event
from daemon.telemetry import emit

CANCEL_AGAIN_S: Final = 1.0


class Service(Protocol):
    """A member of a group: starts and stops, and has tasks."""

    @property
    def tasks(self) -> "Sequence[Background]":
        """The tasks that the service runs between start and stop."""

    async def start(self) -> None:
        """Return once the service runs."""

    async def stop(self) -> None:
        """Return once nothing of the service runs any more."""


class Background:
    """One named task that is expected to run until it is stopped: the smallest service."""

    def __init__(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.name = name
        self._run = run
        self._on_failure: Callable[[str], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    @property
    def tasks(self) -> "Sequence[Background]":
        """The task itself."""
        return (self,)

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Call ``on_failure`` with the name when the task ends by itself, with or without an error."""
        self._on_failure = on_failure

    async def start(self) -> None:
        """Start the task; nothing happens if it runs already."""
        if self._task is None:
            self._is_stopping = False
            self._task = asyncio.create_task(self._run(), name=self.name)
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel the task and wait until it has ended."""
        self._is_stopping = True
        task, self._task = self._task, None
        if task is not None:
            await cancelled(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._is_stopping and error is None:
            return
        emit(Event.SERVICE_FAILED, service=self.name, error=error if error is not None else "ended by itself")
        if not self._is_stopping and self._on_failure is not None:
            self._on_failure(self.name)


class Ending:
    """A service that only acts when it stops."""

    tasks: Sequence[Background] = ()

    def __init__(self, end: Callable[[], Awaitable[None]]) -> None:
        self._end = end

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do the work."""
        await self._end()


class Group:
    """Services that start in order and stop in reverse order, as one."""

    def __init__(self, *services: Service) -> None:
        self.services = services

    @property
    def tasks(self) -> Sequence[Background]:
        """Those of all services."""
        return [task for service in self.services for task in service.tasks]

    async def start(self) -> None:
        """Start one after another."""
        for service in self.services:
            await service.start()

    async def stop(self) -> None:
        """Stop one after another, also those that were not started."""
        interrupted: asyncio.CancelledError | None = None
        for service in reversed(self.services):
            try:
                await service.stop()
            except asyncio.CancelledError as error:  # the others would run for ever
                interrupted = error
        if interrupted is not None:
            raise interrupted


async def cancelled(*tasks: asyncio.Task[Any], again_s: float = CANCEL_AGAIN_S) -> None:
    """Cancel tasks and return once all have ended, also where the caller is cancelled meanwhile: that is raised then.

    They are asked again after ``again_s``: where an operation of the driver ends in the very moment it is cancelled,
    ``asyncio.wait_for`` (Python 3.11) keeps the result and loses the cancellation. Exceptions of
    the cancelled tasks are dropped.
    """
    interrupted: asyncio.CancelledError | None = None
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=again_s)
        except asyncio.CancelledError as error:  # nobody else knows of them: they would run for ever
            interrupted = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio logs a warning
    if interrupted is not None:
        raise interrupted


async def first_failure(*tasks: asyncio.Task[None], again_s: float = CANCEL_AGAIN_S) -> None:
    """Run tasks that belong together: when one ends, end the others, and raise what it raised.

    A TaskGroup asks each task only once to end, and waits for ever for one that lost the question.
    """
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
    finally:
        await cancelled(*tasks, again_s=again_s)
    for task in failed:
        task.result()
