"""Models of bodies and answers, for OpenAPI and to read small bodies; ``rules`` reads workflows."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from daemon.admin.identifier import LONGEST_ID
from rules.tree import NODE_PATTERN
from rules.validation import Whole

_OBJECT: Final[dict[str, Any]] = {"type": "object", "additionalProperties": True}

_Number = Annotated[int, Whole, Field(ge=0, le=1000)]
_Node = Annotated[str, Field(pattern=NODE_PATTERN, max_length=100)]

# Its schema depends on the installation's entity types: the application puts it in place of this reference.
WORKFLOW_REF: Final = "#/components/schemas/Workflow"
PATCH_REF: Final = "#/components/schemas/WorkflowPatch"
WorkflowBody = Annotated[dict[str, Any], WithJsonSchema({"$ref": WORKFLOW_REF})]
PatchBody = Annotated[dict[str, Any], WithJsonSchema({"$ref": PATCH_REF})]
Document = Annotated[dict[str, Any], WithJsonSchema(_OBJECT)]  # a stored document as it is


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RunBody(_Body):
    """The entity that a workflow is to run for."""

    entity_id: str = Field(min_length=1, max_length=LONGEST_ID, description="Id of the entity.")
    entity_type: str | None = Field(None, description="Needed where the workflow is open to all types.")
    force: bool = Field(False, description="Whether to ignore conditions and enrollment.")


class DryRunBody(_Body):
    """The entity that a workflow is to be played dry for."""

    entity_id: str = Field(min_length=1, max_length=LONGEST_ID, description="Id of the entity.")
    entity_type: str | None = Field(None, description="Needed where the workflow is open to all types.")


class BacktestBody(_Body):
    """How far to look back."""

    days: float = Field(7.0, ge=0.001, le=90, description="Days to look back.")


class ResolveBody(_Body):
    """How an uncertain step ended."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)

    outcome: Literal["success", "failed"] = Field(alias="as", description="How the step ended.")
    step: _Number | _Node | None = Field(None, description="Its number, or its node, where more than one is uncertain.")


class WorkflowSummary(BaseModel):
    """One line of the list of workflows."""

    id: str
    name: str
    status: str
    execution_count: int


class Created(BaseModel):
    """The id of the new workflow, and which of its keys define nothing."""

    id: str
    ignored: list[str] = []


class Switched(BaseModel):
    """The status that a switch set."""

    status: Literal["activated", "paused", "draining", "stopped"]


class Validity(BaseModel):
    """Whether a document is a workflow, and if not, where it is wrong."""

    valid: bool
    errors: list["FieldProblem"]
    ignored: list[str] = Field([], description="Top-level keys that define nothing.")


class FieldProblem(BaseModel):
    """One thing that is wrong."""

    field: str
    problem: str


class ExecutionBrief(BaseModel):
    """One line of a workflow's history."""

    id: str
    status: str
    triggered_at: str | None
    actions_count: int


class ExecutionPage(BaseModel):
    """A page of executions; ``next`` is the ``before`` of the page after it."""

    items: list[Document]
    next: str | None


class RunAnswer(BaseModel):
    """The answer to a request to run: ``pending`` where no daemon has answered yet."""

    status: Literal["accepted", "pending"]
    request_id: str
    execution_id: str | None = None


class Moved(BaseModel):
    """The status of an execution after a command."""

    status: str


class Health(BaseModel):
    """Whether the daemon can do its job, and if not, why."""

    status: Literal["ok", "ready", "not_ready"]
    reasons: list[str] = []


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []
