"""Play the demo: the daemon and the sample CRM in one process, on a real MongoDB, and a board."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorClient
from rich.console import Console

from config.preset import load_presets
from config.settings import Settings
from config.terminal import escaped
from daemon.app import Daemon
from daemon.demo.board import Board, LineBoard, LiveBoard, Topic
from daemon.demo.expectation import Expectation
from daemon.demo.history import DemoStuck, HistoryReader, until
from daemon.demo.place import demo_settings, log_in_file, prepared_database
from daemon.demo.report import show
from daemon.demo.sample_crm import SampleCrm
from daemon.demo.sample_workflow import STALE
from daemon.demo.scenario import Deals, Scenario
from daemon.demo.traffic import Traffic
from daemon.demo.watcher import Watcher
from daemon.mongo.client import open_client
from daemon.schedule.sweep import schedule_id
from daemon.signals import StopRequest

_LONGEST_DELAY_S: Final = 60  # of all workflows in the demo, before REFLEXD_TIME_SCALE shortens it
_QUIET_WITHIN_S: Final = 20.0
_INTERRUPTED: Final = 1
_PAUSES_S: Final = (0.3, 1.5)


async def perform(settings: Settings, *, once: bool) -> int:
    """Play once and compare, or for ever; return the exit code. SIGTERM and Ctrl-C end it in an orderly way."""
    console = Console()
    stop = StopRequest()
    stop.listen()
    chosen = demo_settings(settings)
    log = chosen.embedded_directory / "daemon.log"
    try:
        with ExitStack() as stack:
            stack.enter_context(log_in_file(chosen, log))
            is_live = console.is_terminal and not once
            board = stack.enter_context(LiveBoard(console)) if is_live else LineBoard(console)
            board.tell(Topic.DEMO, f"delays are divided by {chosen.time_scale:g} (REFLEXD_TIME_SCALE); log: {log}")
            stage = Stage(chosen, board, console, stop)
            ended = await _until_stopped(stop, stage.play_once() if once else stage.play_for_ever())
    except DemoStuck as error:
        console.print(f"{escaped(str(error))}; the log may say why: {log}", style="bold red", markup=False)
        return 1
    if stop.exit_code:
        console.print(f"a service of the daemon failed; the log says why: {log}", style="bold red", markup=False)
        return stop.exit_code
    if ended is None and once:
        console.print("stopped before its end: nothing was compared", style="bold red", markup=False)
        return _INTERRUPTED
    return ended or 0


async def _until_stopped(stop: StopRequest, playing: Coroutine[Any, Any, int]) -> int | None:
    """Return what ``playing`` returns, or None if it was stopped before its end."""
    play = asyncio.create_task(playing)
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({play, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not play.done():
        play.cancel()
        await asyncio.wait({play})
    return None if play.cancelled() else play.result()


class Stage:
    """The demo on one MongoDB."""

    def __init__(self, settings: Settings, board: Board, console: Console, stop: StopRequest) -> None:
        """``settings`` are those of ``demo_settings``; ``stop`` is called when a service of the daemon fails."""
        self._settings = settings
        self._board = board
        self._console = console
        self._stop = stop
        self._expected = Expectation()

    async def play_once(self) -> int:
        """Play the scenario, compare it with the expectation, and show the table; return the exit code."""
        async with prepared_database(self._settings) as connected, self._audience(connected) as (crm, history):
            scenario = Scenario(crm, history, self._expected, _no_pause)
            stuck: list[str] = []
            try:
                deals = await self._open(connected, scenario, history, crm)
                async with self._daemon(connected):
                    await scenario.play(deals)
                    await history.become_quiet(_LONGEST_DELAY_S / connected.time_scale + _QUIET_WITHIN_S)
            except DemoStuck as error:
                stuck.append(str(error))
            found = await history.read()
        differences = stuck + self._expected.differences(found)
        show(self._console, found, differences)
        return 1 if differences else 0

    async def play_for_ever(self) -> int:
        """Play the scenario slowly, then random traffic until cancelled."""
        async with prepared_database(self._settings) as connected, self._audience(connected) as (crm, history):
            scenario = Scenario(crm, history, self._expected, _pause)
            deals = await self._open(connected, scenario, history, crm)
            async with self._daemon(connected):
                await scenario.play(deals)
                await Traffic(crm, _pause, random.Random()).flow()
        return 0

    async def _open(self, connected: Settings, scenario: Scenario, history: HistoryReader, crm: SampleCrm) -> Deals:
        """Add workflows, then let the CRM work while the daemon is down and a schedule comes due."""
        schedule = schedule_id(next(preset.id for preset in load_presets() if preset.document["name"] == STALE))
        async with self._daemon(connected):
            await scenario.add_workflows()
            await until(lambda: history.schedule_position(schedule), "the position of the schedule")
        self._board.tell(Topic.DEMO, "the daemon is stopped; the CRM works on")
        deals = await scenario.work_without_daemon()
        self._board.tell(Topic.DEMO, "the stored schedule position is moved back, as if the daemon had been down a day")
        await crm.move_schedule(schedule, datetime.now(UTC) - timedelta(days=1))
        return deals

    @asynccontextmanager
    async def _audience(self, connected: Settings) -> AsyncIterator[tuple[SampleCrm, HistoryReader]]:
        """Yield the sample CRM and the reader of the daemon's collections; the board shows everything meanwhile."""
        assert connected.mongodb_uri is not None
        client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(connected.mongodb_uri.get_secret_value())
        database = client[connected.database_name]
        crm = SampleCrm(database, connected.entities, connected.collections, self._board)
        watcher = Watcher(database, connected.collections, crm.name_of, self._board, on_failure=self._stop.fail)
        try:
            async with watcher.watching():
                yield crm, HistoryReader(database, connected.collections, crm.name_of)
        finally:
            client.close()

    @asynccontextmanager
    async def _daemon(self, connected: Settings) -> AsyncIterator[None]:
        """Run the daemon meanwhile."""
        async with open_client(connected, "daemon") as client, open_client(connected, "reader") as reader_client:
            daemon = Daemon(connected, client, reader_client, on_failure=self._stop.fail)
            await daemon.start()
            self._board.tell(Topic.DEMO, "the daemon runs")
            try:
                yield
            finally:
                await daemon.stop()


async def _no_pause() -> None:
    """Play as fast as it goes."""


async def _pause() -> None:
    await asyncio.sleep(random.uniform(*_PAUSES_S))
