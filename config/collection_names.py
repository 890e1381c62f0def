"""The names of the collections that the daemon keeps or fills in the CRM's database."""

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Collections(BaseModel):
    """One name per collection, set by ``REFLEXD_COLLECTIONS__<NAME>`` or under ``[collections]`` in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflows: str = Field("workflows", description="Workflow documents, which admins edit.")
    versions: str = Field("workflow_versions", description="Every accepted version of a workflow.")
    executions: str = Field("workflow_executions", description="History and delay queue.")
    enrollments: str = Field("workflow_enrollments", description="Which entity has entered which workflow.")
    decisions: str = Field("workflow_decisions", description="Why candidates did not run.")
    requests: str = Field("workflow_requests", description="Requests to run a workflow, and commands on executions.")
    state: str = Field("workflow_state", description="Checkpoint, leases, schedules and counters.")
    effects: str = Field("workflow_effects", description="Cause records of the daemon's own writes.")
    announcements: str = Field(
        "workflow_announcements",
        description="Capped; an insert tells the other replicas to look for work.",
    )
    tasks: str = Field("tasks", description="Tasks that create_task inserts.")
    notifications: str = Field("notifications", description="Notifications that send_notification inserts.")
    email_templates: str = Field("email_templates", description="Templates that send_email reads first.")

    @field_validator("*")
    @classmethod
    def _is_a_collection_name(cls, name: str) -> str:
        return checked_collection_name(name)


def checked_collection_name(name: str) -> str:
    """Return ``name`` if MongoDB takes it as a collection's name; raise ValueError otherwise."""
    if not name or "$" in name or "\0" in name or name.startswith(("system.", ".")) or name.endswith("."):
        raise ValueError("expected the name of a collection: not empty, without $ and NUL, not under system.")
    return name
