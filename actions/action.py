"""The contract of an action: a validated model of its parameters that can be run.

An action inside MongoDB does no I/O: it returns its writes as data, and the group commit makes them exactly
once. An action that reaches outside runs only after its intent is stored.
"""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from actions.context import Context
from actions.outcome import Outcome
from actions.services import Services
from rules.retry import DEFAULT_POLICY, OUTSIDE_POLICY, RetryPolicy


class Reach(StrEnum):
    """Where the effect of an action takes place."""

    INSIDE = "inside"  # in MongoDB: no I/O, writes are returned as data
    OUTSIDE = "outside"  # elsewhere: an intent is stored first


class Delivery(StrEnum):
    """How often an action is delivered if an attempt ends without a recorded outcome (promise 2)."""

    AT_MOST_ONCE = "at_most_once"  # the step ends uncertain and a person decides: e-mails and messages to people
    AT_LEAST_ONCE = "at_least_once"  # the action runs again with the same key: webhooks, AI calls


class Action(BaseModel, ABC):
    """One configured action. Subclasses declare their parameters as fields and their ``type`` as a class variable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: ClassVar[str]
    reach: ClassVar[Reach] = Reach.INSIDE
    only_inserts: ClassVar[bool] = False  # whether it does nothing but insert documents of its own
    tells_effect: ClassVar[bool] = False  # whether it sets ``context.effect`` when its effect begins and ends

    @property
    def delivery(self) -> Delivery:
        """How often the action is delivered if an attempt crashed; used only for actions that reach outside."""
        return Delivery.AT_LEAST_ONCE

    @property
    def default_retry(self) -> RetryPolicy:
        """The retry policy of steps that have none of their own."""
        return OUTSIDE_POLICY if self.reach is Reach.OUTSIDE else DEFAULT_POLICY

    def uses(self, services: Services) -> tuple[tuple[str, str | None], ...]:
        """Return what an attempt uses that may be limited: the name of each limit, and the host's where it is one."""
        return ()

    @abstractmethod
    async def run(self, context: Context) -> Outcome:
        """Run one attempt and return its outcome.

        Raise TransientActionError to be retried or postponed, PermanentActionError to fail. Any other exception
        fails the step and is reported.
        """
