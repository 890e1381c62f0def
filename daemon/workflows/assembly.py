"""Put the room together: what answers admins, applies their switches and removes old versions, beside the reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.executions.committed import Committed
from daemon.foundation import Foundation
from daemon.poller import Poller
from daemon.service import Group
from daemon.versions.edit_log import log_edits
from daemon.workflows.observer import Observer
from daemon.workflows.retention import Retention
from daemon.workflows.switcher import Switcher


@dataclass(frozen=True, slots=True)
class WorkflowsRoom:
    """The interface of the room. ``session`` is that of its transactions."""

    observer: Observer
    switcher: Switcher
    beside_reader: Group

    @property
    def session(self) -> Mapping[str, Any]:
        """That of the switcher's transactions."""
        return self.switcher.transactions.session_id

    def take(self, committed: Committed) -> None:
        """Answer and apply what the reader committed."""
        if committed.rewritten:
            self.observer.note(committed.rewritten, at_once=False)
        if committed.versions:
            self.observer.note(version.workflow_id for version in committed.versions)
            self.switcher.signal.send()
            log_edits(committed.edits)


def workflows_room(base: Foundation) -> WorkflowsRoom:
    """Return the room."""
    settings, database, clock, signals = base.settings, base.database, base.clock, base.signals
    observer = Observer(database, settings.collections, clock, base.metrics, lanes=settings.lanes)

    def applied(workflow_id: Any) -> None:
        observer.note([workflow_id])
        signals.queue.send()
        signals.others.send()

    switcher = Switcher(database, settings.collections, clock, base.metrics, lanes=settings.lanes, on_applied=applied)
    retention = Retention(database, settings, clock, base.pace)
    beside_reader = Group(
        Poller("observer", observer.poll, signal=observer.signal, begin=observer.reconcile, is_busy=base.is_busy),
        Poller("switcher", switcher.poll, signal=switcher.signal, begin=switcher.begin),
        Poller("retention", retention.poll, first_s=base.pace.upkeep_s, retry_s=base.pace.upkeep_s),
    )
    return WorkflowsRoom(observer, switcher, beside_reader)
