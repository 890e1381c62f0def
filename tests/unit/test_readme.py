"""What the README says a workflow may be is what this version knows: a name that is left out is found here."""

import re
from pathlib import Path
from typing import Final

import pytest

from actions.action import Action
from actions.registry import ACTIONS
from daemon.event import Event
from rules.operators import OPERATORS
from rules.trigger import TriggerType

README: Final = (Path(__file__).parents[2] / "README.md").read_text()
_ONE_CHOICE: Final = ("provider", "channel", "region")  # nothing to choose in this version, or a setting does
QUOTED: Final = set(re.findall(r"`\"?([a-z_]+)\"?`", README))


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_named(name: str) -> None:
    assert name.removeprefix("not_") in QUOTED


@pytest.mark.parametrize("name", list(TriggerType))
def test_every_trigger_is_named(name: TriggerType) -> None:
    assert f'"{name}"' in README or name in QUOTED


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.type)
def test_every_action_is_named_with_its_parameters(action: type[Action]) -> None:
    (row,) = (line for line in README.splitlines() if line.startswith("|") and f"`{action.type}`" in line.split("|")[1])
    named = {field.alias or name for name, field in action.model_fields.items() if name not in _ONE_CHOICE}
    assert {name for name in named if f"`{name}`" not in row} == set()


def test_no_event_is_named_that_does_not_exist() -> None:
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`", README))
    assert {name for name in named if name.split(".")[0] in {each.value.split(".")[0] for each in Event}} <= set(Event)
