"""Open lanes when their leases are gained, and close them when the leases are lost."""

from daemon.executions.executor import Executor
from daemon.executions.judge import Judge
from daemon.executions.lanes import Lanes
from daemon.executions.loader import Loader
from daemon.lease.store import READER, lane_of_name


class LaneOwner:
    """Follows the leases on lanes, not that of the reader."""

    def __init__(self, lanes: Lanes, loader: Loader, executor: Executor, judge: Judge) -> None:
        self._lanes = lanes
        self._loader = loader
        self._executor = executor
        self._judge = judge

    def lease_gained(self, name: str, epoch: int, *, after_crash: bool) -> None:
        """Run the lane's steps from now on; with intents if its last owner may have crashed because of one."""
        if name == READER:
            return
        lane = lane_of_name(name)
        if after_crash:
            self._judge.distrust(lane)
        self._lanes.open(lane)
        self._loader.add_lane(lane)

    def lease_lost(self, name: str) -> None:
        """Forget the lane and everything in it."""
        if name != READER:
            self._lanes.close(lane_of_name(name))
            self._executor.drop(lane_of_name(name))

    def lease_retiring(self, name: str) -> None:
        """Start nothing new of the lane; running steps may end."""
        if name != READER:
            self._lanes.retire(lane_of_name(name))
            self._executor.drop(lane_of_name(name))

    def is_idle(self, name: str) -> bool:
        """Return whether no step of the lane runs any more."""
        return name == READER or self._lanes.is_idle(lane_of_name(name))
