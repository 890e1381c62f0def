"""Actions on a stage: a test decides what they do and sees every call. They stand in for remote hosts."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from actions.action import Action, Delivery, Reach
from actions.context import Context
from actions.outcome import Done, Outcome
from actions.registry import parse_action
from actions.services import Services

Act = Callable[[Context], Awaitable[Any]]


class Stage:
    """Knows some action types besides the real ones: ``remote`` reaches outside MongoDB, ``local`` does not.

    Both take a ``name``, by which ``plays`` says what they do; without it they succeed. ``remote`` takes a ``host`` and
    ``at_most_once`` too; ``telling`` is a ``remote`` that tells how far its effect has come.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Context]] = []
        self._acts: dict[str, Act] = {}

    def plays(self, name: str, act: Act) -> None:
        self._acts[name] = act

    def keys(self, name: str) -> list[str]:
        """Return the key of every call of that name, in order."""
        return [context.key for called, context in self.calls if called == name]

    async def perform(self, name: str, context: Context) -> Outcome:
        self.calls.append((name, context))
        act = self._acts.get(name)
        outcome: Outcome = Done({"name": name}) if act is None else await act(context)
        return outcome

    def parse_action(self, action_type: str, parameters: Mapping[str, Any], path: str) -> object:
        stage = self

        class Local(Action):
            type: ClassVar[str] = "local"
            name: str = "local"

            async def run(self, context: Context) -> Outcome:
                return await stage.perform(self.name, context)

        class Remote(Action):
            type: ClassVar[str] = "remote"
            reach: ClassVar[Reach] = Reach.OUTSIDE
            name: str = "remote"
            host: str | None = None
            at_most_once: bool = False

            def uses(self, services: Services) -> tuple[tuple[str, str | None], ...]:
                return (("host", self.host),) if self.host is not None else ()

            @property
            def delivery(self) -> Delivery:
                return Delivery.AT_MOST_ONCE if self.at_most_once else Delivery.AT_LEAST_ONCE

            async def run(self, context: Context) -> Outcome:
                return await stage.perform(self.name, context)

        class Telling(Remote):
            type: ClassVar[str] = "telling"
            tells_effect: ClassVar[bool] = True

        known: dict[str, type[Action]] = {"local": Local, "remote": Remote, "telling": Telling}
        if action_type in known:
            return known[action_type].model_validate(dict(parameters))
        return parse_action(action_type, parameters, path)
