"""Which privileges are missing."""

from typing import Any

from daemon.admin.privilege import missing_privileges

WANTED = {"": ("find", "changeStream"), "leads": ("find", "update")}


def on(collection: str, *actions: str, database: str = "crm") -> dict[str, Any]:
    return {"resource": {"db": database, "collection": collection}, "actions": list(actions)}


def test_nothing_is_missing_where_everything_is_granted() -> None:
    granted = [on("", "find", "changeStream"), on("leads", "update")]
    assert missing_privileges(granted, WANTED, "crm") == {}


def test_a_right_on_the_whole_database_holds_for_each_collection() -> None:
    granted = [on("", "find", "changeStream", "update")]
    assert missing_privileges(granted, WANTED, "crm") == {}


def test_a_right_on_another_database_does_not_count() -> None:
    granted = [on("", "find", "changeStream"), on("leads", "update", database="shop")]
    assert missing_privileges(granted, WANTED, "crm") == {"leads": ("update",)}


def test_a_right_on_every_database_counts() -> None:
    granted = [on("", "find", "changeStream", "update", database="")]
    assert missing_privileges(granted, WANTED, "crm") == {}
