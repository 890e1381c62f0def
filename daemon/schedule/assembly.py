"""Assemble the room that fires scheduled workflows, beside the reader."""

from datetime import timedelta

from daemon.foundation import Foundation
from daemon.poller import Poller
from daemon.schedule.scheduler import Scheduler
from daemon.schedule.sweep import Sweep
from daemon.service import Group
from daemon.stream.assembly import StreamRoom
from daemon.versions.definition import Definitions


def schedule_room(base: Foundation, stream: StreamRoom, definitions: Definitions) -> tuple[Scheduler, Group]:
    """Return the scheduler, and its group beside the reader. No schedule fires while the stream is read again."""
    settings, database, names = base.settings, base.database, base.settings.collections
    scheduler = Scheduler(
        database,
        names,
        stream.index,
        Sweep(database, names, settings.entities, stream.intake, stream.index, base.pace),
        definitions.one,
        base.clock,
        grace=timedelta(hours=settings.schedule_grace_hours),
        may_fire=lambda: not stream.intake.is_replaying,
    )
    return scheduler, Group(Poller("scheduler", scheduler.poll, signal=scheduler.signal, begin=scheduler.reload))
