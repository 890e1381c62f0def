"""One run of the benchmark: everything of the plan in turn, contenders alternating, what was measured kept."""

import sys
from dataclasses import asdict
from functools import partial
from typing import Final

from benchmarks.burden import Neighbour, burden
from benchmarks.burst import burst, raw, unit_burst
from benchmarks.contender import Contender, Server, prepared
from benchmarks.growth import measure_growth
from benchmarks.idle import idle
from benchmarks.latency import due_to_fired, insert_to_task
from benchmarks.machine import machine_of
from benchmarks.mixed import mixed
from benchmarks.observer import own_lag
from benchmarks.plan import Plan
from benchmarks.results import BurdenResult, BurstResult, Results, SpreadResult
from benchmarks.workload import Workload

UNITS: Final = "transactions of 100 units"
QUEUED: Final = "reflexd, every execution queued"
PARTS: Final = ("burst", "one-in-ten", "update", "mixed", "latency", "delay", "idle", "memory", "burden", "growth")
_BOUNDS: Final = (Contender.TWO_PHASE, Contender.ONE_PHASE)


class Session:
    """Measures part by part; ``results`` grows meanwhile."""

    def __init__(self, server: Server, plan: Plan) -> None:
        self._server = server
        self._plan = plan
        self.results = Results(machine_of(server.uri), asdict(plan))

    async def measure(self, parts: list[str]) -> None:
        """Measure the named parts, all of ``PARTS`` at the most."""
        for part, measure in (
            ("idle", self._idle),
            ("burst", partial(self._burst, "W1, every lead matches", Workload(), has_raw=True)),
            ("one-in-ten", partial(self._burst, "W1, one lead in ten matches", Workload(one_in=10))),
            ("update", self._update),
            ("mixed", self._mixed),
            ("latency", self._latency),
            ("delay", self._delays),
            ("memory", self._memory),
            ("burden", self._burden),
            ("growth", self._growth),
        ):
            if part in parts:
                await measure()

    async def _burst(self, name: str, workload: Workload, *, has_raw: bool = False) -> None:
        leads = self._plan.leads
        result = BurstResult(name, leads, bounds={bound: [] for bound in _BOUNDS})
        self.results.bursts.append(result)
        contenders = [Contender.DAEMON, *_BOUNDS]
        for repetition in range(self._plan.repetitions):
            for contender in contenders if repetition % 2 == 0 else reversed(contenders):
                _tell(f"{name}: {contender}")
                run = await burst(self._server, contender, workload, leads)
                (result.daemon if contender is Contender.DAEMON else result.bounds[contender]).append(run)
            if has_raw:
                writes, drains = await raw(self._server, leads)
                self.results.writes_per_s.append(writes)
                self.results.drains_per_s.append(drains)

    async def _update(self) -> None:
        leads = self._plan.leads
        result = BurstResult("update_field", leads, bounds={UNITS: []})
        self.results.bursts.append(result)
        workload = Workload(action="update_field")
        for _ in range(self._plan.repetitions):
            _tell("update_field")
            result.daemon.append(await burst(self._server, Contender.DAEMON, workload, leads))
            result.bounds[UNITS].append(await unit_burst(self._server, leads))

    async def _mixed(self) -> None:
        leads = self._plan.leads // 2
        result = BurstResult("mixed: creations, updates, four workflows", leads, bounds={QUEUED: []})
        self.results.bursts.append(result)
        contenders = [("daemon", result.daemon), ("benchmarks.queued", result.bounds[QUEUED])]
        for repetition in range(self._plan.repetitions):
            for module, runs in contenders if repetition % 2 == 0 else reversed(contenders):
                _tell(f"{result.name}: {module}")
                runs.append(await mixed(self._server, module, leads))

    async def _latency(self) -> None:
        async with prepared(self._server) as database:
            self.results.observer_lag = await own_lag(database)
        for rate, leads in self._plan.steady:
            result = SpreadResult(f"W1 at {rate:.0f}/s: acknowledged → task")
            self.results.spreads.append(result)
            for _ in range(self._plan.latency_repetitions):
                _tell(result.name)
                result.daemon.append(await insert_to_task(self._server, Contender.DAEMON, leads, rate))
                result.bound.append(await insert_to_task(self._server, Contender.TWO_PHASE, leads, rate))

    async def _delays(self) -> None:
        plan = self._plan
        for name, leads, rate in (
            (f"W2, {plan.delayed} at 20/s", plan.delayed, 20.0),
            (f"W2, {plan.crowd} due within 2 s", plan.crowd, plan.crowd / 2),
        ):
            executed = SpreadResult(f"{name}: due → executed_at")
            seen = SpreadResult(f"{name}: due → task seen")
            self.results.spreads += [executed, seen]
            for _ in range(plan.latency_repetitions):
                for contender in (Contender.DAEMON, Contender.TWO_PHASE):
                    _tell(f"{name}: {contender}")
                    run = await due_to_fired(self._server, contender, leads, rate, plan.delay_s)
                    is_ours = contender is Contender.DAEMON
                    (executed.daemon if is_ours else executed.bound).append(run.executed)
                    (seen.daemon if is_ours else seen.bound).append(run.seen)

    async def _memory(self) -> None:
        if self._plan.long_burst:
            _tell("memory")
            self.results.long_burst = await burst(self._server, Contender.DAEMON, Workload(), self._plan.long_burst)

    async def _growth(self) -> None:
        if self._plan.growth is not None:
            self.results.growth = await measure_growth(self._server, self._plan.growth)

    async def _burden(self) -> None:
        for name, rate in (("saturated", None), ("100/s", 100.0)):
            result = BurdenResult(name, {neighbour: [] for neighbour in Neighbour})
            self.results.burdens.append(result)
            for repetition in range(self._plan.repetitions):
                for neighbour in Neighbour if repetition % 2 == 0 else reversed(Neighbour):
                    _tell(f"burden, {name}: {neighbour}")
                    result.runs[neighbour].append(await burden(self._server, neighbour, rate, self._plan.burden_s))

    async def _idle(self) -> None:
        for replicas in self._plan.replicas:
            _tell(f"idle, {replicas}")
            self.results.idle[replicas] = await idle(self._server, replicas, self._plan.idle_s)


def _tell(text: str) -> None:
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()
