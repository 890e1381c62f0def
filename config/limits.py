"""The limits on steps of one replica that work outside MongoDB."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_AtOnce = Annotated[int, Field(ge=1, le=10_000)]
_PerSecond = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]


class Limits(BaseModel):
    """One limit a field, set by ``REFLEXD_LIMITS__<NAME>`` or under ``[limits]`` in the file; None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow_at_once: _AtOnce | None = Field(None, description="Steps of one workflow at once.")
    workflow_per_second: _PerSecond | None = Field(None, description="Steps of one workflow that begin a second.")
    host_at_once: _AtOnce | None = Field(None, description="Steps at once that speak to one host.")
    host_per_second: _PerSecond | None = Field(None, description="Steps that begin a second and speak to one host.")
    email_at_once: _AtOnce | None = Field(
        None, description="E-mails at once; for a mail server that takes few connections."
    )
    email_per_second: _PerSecond | None = Field(None, description="E-mails begun a second; 0.5 is one in two seconds.")
