"""The catalogue of log events: operators may rely on these names and fields.

An event is one line here: its name, level, fields and meaning. ``docs/LOGS.md`` is made from this file, and a test
holds every ``emit`` in the source to it. Names and fields are a contract: they are added, not changed.
"""

from enum import StrEnum
from typing import Final, Self

# The fields that name an execution in every line about it: `Job.names`.
EXECUTION_FIELDS: Final = "execution_id workflow_id entity_type entity_id"
STEP_FIELDS: Final = f"{EXECUTION_FIELDS} step node action_type"


class Level(StrEnum):
    """The attention that an event asks of an operator."""

    DEBUG = "DEBUG"  # none: details
    INFO = "INFO"  # none: the normal course
    WARNING = "WARNING"  # a look, in working hours
    ERROR = "ERROR"  # a look, soon: something did not happen that should have


class Event(StrEnum):
    """One kind of log line: ``NAME = name, level, fields (separated by blanks), meaning``.

    The field ``error`` becomes ``error.*`` in the line, every other one ``reflexd.<field>``.
    """

    level: Level
    field_names: tuple[str, ...]
    meaning: str

    def __new__(cls, name: str, level: Level, fields: str, meaning: str) -> Self:
        """Return the member whose value is ``name``."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.level = level
        member.field_names = tuple(fields.split())
        member.meaning = meaning
        return member

    # The process
    DAEMON_STARTED = "daemon.started", Level.INFO, "replica database seconds", "The daemon is up and takes part."
    DAEMON_STOPPING = "daemon.stopping", Level.INFO, "signal", "The daemon was asked to stop; steps at work may finish."
    DAEMON_STOPPED = "daemon.stopped", Level.INFO, "exit_code seconds", "The daemon has stopped."
    SERVICE_FAILED = "service.failed", Level.ERROR, "service error", "A service of the daemon failed; the daemon stops."
    STATUS = (
        "status",
        Level.INFO,
        (
            "changes_per_s steps_per_s lag_s due oldest_due_s waiting running lanes is_reader "
            "executions completed failed cancelled"
        ),
        "The regular status line.",
    )
    EMBEDDED_STARTED = (
        "embedded.started",
        Level.WARNING,
        "uri directory",
        "MONGODB_URI is not set: an embedded MongoDB runs, for trying things out.",
    )
    PROCESS_CRASHED = "process.crashed", Level.ERROR, "error", "The process ended by an error that nothing caught."
    CONFIG_REFUSED = "config.refused", Level.ERROR, "error", "A setting is wrong: the daemon does not start."
    LOG_LEFT_OUT = "log.left_out", Level.INFO, "left_out count", "An event came too often: so many lines were left out."
    LIBRARY = (
        "library",
        Level.WARNING,
        "logger error",
        "A log line of a library, or of Python itself; at most ten a second of each logger.",
    )

    # Preparation of the database
    INIT_DONE = "init.done", Level.INFO, "collections indexes presets images seconds", "The database is prepared."
    INIT_SKIPPED = (
        "init.skipped",
        Level.WARNING,
        "collection command privilege error",
        "A part of the preparation was left out; an admin can do it with `reflexd init`.",
    )
    IMAGES_OFF = (
        "images.off",
        Level.WARNING,
        "collection",
        (
            "A collection keeps no images of its documents: old values are unknown, and conditions are judged on the "
            "entity as it is now."
        ),
    )

    # The stream
    READER_STARTED = (
        "reader.started",
        Level.INFO,
        "epoch position",
        "This replica reads the change stream, from this time on.",
    )
    READER_STOPPED = "reader.stopped", Level.INFO, "reason", "This replica no longer reads the change stream."
    READER_REOPENED = (
        "reader.reopened",
        Level.WARNING,
        "attempt delay_s error",
        "The change stream broke and is opened again from the checkpoint. Said once a second at most.",
    )
    READER_BEHIND = "reader.behind", Level.WARNING, "lag_s", "Changes are read later than they are made."
    CHECKPOINT_CORRUPT = (
        "checkpoint.corrupt",
        Level.ERROR,
        "error",
        "The stored stream position cannot be used: the reader has halted, the queue goes on.",
    )
    CHECKPOINT_RESET = "checkpoint.reset", Level.WARNING, "position", "The stream's position was moved by hand."
    HISTORY_LOST = (
        "history.lost",
        Level.ERROR,
        "gap_from gap_to policy error",
        "The stream position is no longer in the oplog: the changes of the gap are lost.",
    )
    INTAKE_ERROR = (
        "intake.error",
        Level.ERROR,
        "entity_type entity_id workflow_id error",
        "An error kept a change from being taken in; the change was skipped, and the decision is recorded.",
    )

    # Workflows
    WORKFLOW_ACCEPTED = (
        "workflow.accepted",
        Level.INFO,
        "workflow_id workflow_name version status",
        "A new version of a workflow is in force.",
    )
    WORKFLOW_INVALID = (
        "workflow.invalid",
        Level.WARNING,
        "workflow_id workflow_name version error",
        "A workflow document is invalid; its last good version, if any, stays in force.",
    )
    VERSION_CORRUPT = (
        "version.corrupt",
        Level.ERROR,
        "workflow_id version",
        "The newest version of a workflow, as the daemon stored it, was edited: the document is read anew.",
    )
    WORKFLOW_STATUS_CHANGED = (
        "workflow.status_changed",
        Level.INFO,
        "workflow_id workflow_name status previous",
        "Somebody switched a workflow.",
    )
    WORKFLOW_DELETED = (
        "workflow.deleted",
        Level.INFO,
        "workflow_id workflow_name",
        "A workflow document was deleted: its waiting executions are cancelled.",
    )
    LOOP_SUPPRESSED = (
        "loop.suppressed",
        Level.WARNING,
        "workflow_id entity_type entity_id chain reason",
        "A workflow would have re-entered its own chain, or the chain grew too long.",
    )
    THROTTLE_REFUSED = (
        "throttle.refused",
        Level.WARNING,
        "workflow_id entity_type entity_id runs",
        "A workflow ran too often for one entity within an hour.",
    )

    # Executions
    EXECUTION_CREATED = (
        "execution.created",
        Level.DEBUG,
        EXECUTION_FIELDS,
        "A change, a schedule or a request started an execution.",
    )
    EXECUTION_COMPLETED = "execution.completed", Level.INFO, EXECUTION_FIELDS, "Every step succeeded or was skipped."
    EXECUTION_FAILED = (
        "execution.failed",
        Level.WARNING,
        f"{EXECUTION_FIELDS} reason",
        "At least one step failed for good or is uncertain.",
    )
    EXECUTION_CANCELLED = (
        "execution.cancelled",
        Level.INFO,
        f"{EXECUTION_FIELDS} reason",
        "An execution was ended before its last step.",
    )
    EXECUTION_EDITED = (
        "execution.edited",
        Level.INFO,
        "execution_id status",
        "Somebody changed the status of an execution document by hand; the daemon completed the edit, or undid it.",
    )
    EXECUTION_CORRUPT = (
        "execution.corrupt",
        Level.ERROR,
        "execution_id error",
        "An execution document is not what the daemon wrote: it is ended as failed and never runs.",
    )
    STEP_FAILED = "step.failed", Level.WARNING, f"{STEP_FIELDS} error", "A step failed for good."
    STEP_RETRIED = (
        "step.retried",
        Level.INFO,
        f"{STEP_FIELDS} attempt due_at error",
        "A step failed and will be tried again.",
    )
    STEP_POSTPONED = (
        "step.postponed",
        Level.INFO,
        f"{STEP_FIELDS} due_at reason times",
        "A host or a full limit asks the step to come back later, which costs no attempt; from a day on it does.",
    )
    STEP_UNCERTAIN = (
        "step.uncertain",
        Level.ERROR,
        f"{STEP_FIELDS} error",
        "Whether the effect took place is unknown, and it is not repeated: a person decides.",
    )
    STEP_SKIPPED = (
        "step.skipped",
        Level.DEBUG,
        f"{STEP_FIELDS} reason",
        "A step had nothing to do.",
    )
    ACTION_CRASHED = (
        "action.crashed",
        Level.ERROR,
        f"{EXECUTION_FIELDS} action_type error",
        "An action raised an unexpected error: its step fails, and the action has a defect.",
    )
    RENDERING_ENDED = (
        "rendering.ended",
        Level.WARNING,
        "error",
        "A rendering was ended at a limit of its process, or the process ended: that step fails, or is tried again.",
    )

    # Replicas
    LEASE_ACQUIRED = "lease.acquired", Level.INFO, "leases", "This replica took over lanes or the reader role."
    LEASE_RELEASED = "lease.released", Level.INFO, "count", "This replica handed its leases over."
    LEASE_LOST = "lease.lost", Level.WARNING, "leases", "Leases ran out or were taken: their results are dropped."
    EXECUTOR_LEASE_LOST = (
        "executor.lease_lost",
        Level.WARNING,
        "execution_id step node",
        "A step ended after its lane had gone to another replica: its result was dropped.",
    )
    STORE_UNAVAILABLE = (
        "store.unavailable",
        Level.WARNING,
        "during error",
        "MongoDB does not answer; it is tried again. Said once a second at most for each thing that is tried.",
    )
    STORE_REFUSED = "store.refused", Level.ERROR, "error", "MongoDB does not answer or refuses: the command ends."

    # The HTTP API
    API_STARTED = "api.started", Level.INFO, "address", "The HTTP API listens."
    API_UNAVAILABLE = (
        "api.unavailable",
        Level.WARNING,
        "address error",
        "The HTTP API cannot listen on its default port: the daemon runs without it.",
    )
    API_CHANGED = (
        "api.changed",
        Level.INFO,
        "token method path status_code",
        "Somebody asked for a change over HTTP; status_code says whether it was made.",
    )
    API_REFUSED = "api.refused", Level.WARNING, "client path status_code", "A request came without a valid token."
    API_FAILED = "api.failed", Level.ERROR, "path error", "A request failed by an unexpected error."

    # Schedules
    SCHEDULE_FIRED = "schedule.fired", Level.INFO, "workflow_id fire_at", "A schedule came due and its sweep begins."
    SCHEDULE_MISSED = (
        "schedule.missed",
        Level.WARNING,
        "workflow_id fire_at",
        "A schedule came due while no daemon ran, too long ago to be made up for.",
    )
    SCHEDULE_SWEEP_DONE = (
        "schedule.sweep_done",
        Level.INFO,
        "workflow_id fire_at matched enqueued",
        "A sweep has read every entity that matches.",
    )
    SCHEDULE_CUT_OFF = (
        "schedule.cut_off",
        Level.WARNING,
        "workflow_id fire_at reason enqueued left error",
        (
            "A sweep ended before it had looked at every entity: its workflow was switched meanwhile, or it failed; "
            "left says how many it had still to look at, where that can be told."
        ),
    )
