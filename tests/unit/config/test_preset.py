"""The three workflows come exactly as they were asked for, under ids that never change."""

from importlib.resources import files

from bson import ObjectId

from config.preset import load_presets

AUTO_QUALIFY = {
    "name": "Auto-qualify new leads from website",
    "description": "Automatically qualify leads that come from website forms",
    "trigger": {"type": "entity_created", "entity_type": "lead"},
    "conditions": [{"field": "source", "operator": "equals", "value": "website_form"}],
    "actions": [{"type": "qualify_lead"}, {"type": "enrich_lead", "delay": 60}],
    "status": "active",
}
STALE_DEALS = {
    "name": "Follow-up on stale deals",
    "description": "Create task when deal has no activity for 7 days",
    "trigger": {"type": "scheduled", "schedule": "0 9 * * *"},
    "conditions": [
        {"field": "last_activity_days_ago", "operator": "greater_than", "value": 7},
        {"field": "status", "operator": "equals", "value": "open"},
    ],
    "actions": [{"type": "create_task", "title": "Follow-up on stale deal", "priority": "high"}],
    "status": "active",
}
DEAL_WON = {
    "name": "Congratulate on deal won",
    "description": "Send notification when deal is won",
    "trigger": {"type": "field_updated", "entity_type": "deal", "field": "status"},
    "conditions": [{"field": "status", "operator": "equals", "value": "won"}],
    "actions": [{"type": "send_notification", "message": "🎉 Congratulations! Deal won!"}],
    "status": "active",
}


def test_the_first_and_the_third_are_to_the_letter() -> None:
    first, _, third = load_presets()
    assert first.document == AUTO_QUALIFY
    assert third.document == DEAL_WON


def test_the_second_is_to_the_letter_but_for_two_additions() -> None:
    _, second, _ = load_presets()
    document = dict(second.document)
    assert document.pop("enrollment") == {"once_per": "last_activity_at"}
    document["trigger"] = dict(document["trigger"])
    assert document["trigger"].pop("entity_type") == "deal"
    assert document == STALE_DEALS


def test_the_ids_are_the_ones_that_installs_remember() -> None:
    expected = [ObjectId(f"7265666c657800000000000{number}") for number in (1, 2, 3)]
    assert [preset.id for preset in load_presets()] == expected


def test_every_preset_file_is_loaded() -> None:
    shipped = [file.name for file in (files("config") / "presets").iterdir() if file.name.endswith(".json")]
    assert len(shipped) == len(load_presets())
