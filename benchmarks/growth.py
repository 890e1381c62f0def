"""Whether costs grow with what is merely there: workflows, waiting executions, deals, switches."""

import sys
from dataclasses import dataclass, field

from benchmarks.contender import Server
from benchmarks.limits import StallRun, largest, toggles
from benchmarks.matching import MatchingRun, matching
from benchmarks.plan import GrowthPlan
from benchmarks.sweeping import SweepRun, sweep
from benchmarks.waiting import DueRun, WaitingRun, due_at_once, waiting


@dataclass(slots=True)
class Growth:
    """What was measured: sizes side by side, in the order in which they were measured."""

    matching: list[MatchingRun] = field(default_factory=list)
    waiting: list[WaitingRun] = field(default_factory=list)
    due: list[DueRun] = field(default_factory=list)
    sweeps: list[SweepRun] = field(default_factory=list)
    stalls: list[StallRun] = field(default_factory=list)


async def measure_growth(server: Server, plan: GrowthPlan) -> Growth:
    """Measure everything of the plan; sizes alternate where the plan says so."""
    found = Growth()
    for workflows in plan.workflows:
        _tell(f"beside {workflows:,} workflows")
        found.matching.append(await matching(server, workflows, plan.updates))
    for count in plan.waiting:
        _tell(f"beside {count:,} waiting executions")
        found.waiting.append(await waiting(server, count, plan.leads))
    _tell(f"{plan.due:,} due at once")
    found.due.append(await due_at_once(server, plan.due))
    _tell(f"sweep over {plan.deals:,} deals")
    found.sweeps.append(await sweep(server, plan.deals))
    _tell(f"{plan.switches:,} switches, {plan.largest} of the largest workflows")
    found.stalls.append(await toggles(server, plan.switches))
    found.stalls.append(await largest(server, plan.largest, plan.edits))
    return found


def _tell(text: str) -> None:
    sys.stderr.write(f"  growth: {text}\n")
    sys.stderr.flush()
