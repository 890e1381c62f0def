"""The workflows that the demo's admin adds to the three presets, one for each thing there is to see.

None sends e-mail: a demo must not write to people, and needs no mail server.
"""

from collections.abc import Mapping
from typing import Any, Final

from config.preset import load_presets

QUALIFY, STALE, WON = (str(preset.document["name"]) for preset in load_presets())

REFERRAL: Final = "Call referred leads"
IMPORTED: Final = "Check imported leads"
LARGE: Final = "Mark large deals"
HAND_OVER: Final = "Hand a deal over"
GREET: Final = "Greet new contacts"
GONE: Final = "Say that a contact is gone"
REVIEWED: Final = "Review what was flagged"
FLAGGED: Final = "Flag what was reviewed"
BROKEN: Final = "Written in a hurry"


def _created(entity_type: str) -> dict[str, Any]:
    return {"type": "entity_created", "entity_type": entity_type}


def _updated(entity_type: str, field: str, **more: Any) -> dict[str, Any]:
    return {"type": "field_updated", "entity_type": entity_type, "field": field, **more}


def _equals(field: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": "equals", "value": value}


SAMPLE_WORKFLOWS: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "name": REFERRAL,
        "description": "A task at once, and a reminder a little later",
        "trigger": _created("lead"),
        "conditions": [_equals("source", "referral")],
        "actions": [
            {"type": "create_task", "title": "Call the referred lead", "priority": "urgent", "due_in": "1d"},
            {"type": "send_notification", "message": "Has anybody called?", "delay": 40},
        ],
    },
    {
        "name": IMPORTED,
        "description": "The first step fails where the address is a plain text; the second one runs all the same",
        "trigger": _created("lead"),
        "conditions": [_equals("source", "import")],
        "actions": [
            {"type": "update_field", "field": "address.is_checked", "value": False},
            {"type": "create_task", "title": "Check the address"},
        ],
    },
    {
        "name": LARGE,
        "description": "Fires on a nested field; tells the owner, where there is one",
        "trigger": _updated("deal", "value.amount"),
        "conditions": [{"field": "value.amount", "operator": "greater_or_equal", "value": 10_000}],
        "actions": [
            {"type": "update_field", "field": "tier", "value": "large"},
            {
                "type": "send_notification",
                "message": "Your deal has become a large one",
                "conditions": [{"field": "owner", "operator": "exists"}],
            },
        ],
    },
    {
        "name": HAND_OVER,
        "description": "Runs only when somebody asks for it",
        "trigger": {"type": "manual", "entity_type": "deal"},
        "actions": [{"type": "create_task", "title": "Hand the deal over to delivery"}],
    },
    {
        "name": GREET,
        "description": "Switched off and on again while contacts come in",
        "trigger": _created("contact"),
        "actions": [{"type": "create_task", "title": "Say hello"}],
    },
    {
        "name": GONE,
        "trigger": {"type": "entity_deleted", "entity_type": "contact"},
        "actions": [{"type": "send_notification", "message": "A contact was deleted"}],
    },
    {
        "name": REVIEWED,
        "description": "Undoes what the next one does: together they would run for ever",
        "trigger": _updated("contact", "is_flagged", to=True),
        "actions": [{"type": "update_field", "field": "is_flagged", "value": False}],
    },
    {
        "name": FLAGGED,
        "trigger": _updated("contact", "is_flagged", to=False),
        "actions": [{"type": "update_field", "field": "is_flagged", "value": True}],
    },
    {
        "name": BROKEN,
        "description": "An invalid document: it says so in `observed`, and harms nobody",
        "trigger": _created("lead"),
        "actions": [{"type": "create_tsak"}],
    },
)
